"""Programs in processes of their own that need not import TensorFlow again.

Importing TensorFlow takes seconds, in each of the many processes that tests start. Here a process
that has imported it, and no more, is forked for each program. What such a process does is what a
new one does, except for what depends on the import itself: its order, its messages, and
environment variables that are read by it.
"""

from __future__ import annotations

import array
import functools
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import tempfile

_TESTS = pathlib.Path(__file__).parent


# Elsewhere there is no fork, or libraries do not survive one: programs are started as usual.
_FORKS = sys.platform == "linux"


def start(command, *, cwd=None, env=None):
    """Starts a program; returns it, like a `subprocess.Popen` with text in pipes."""
    if _FORKS:
        return _Forked(command, cwd=cwd, env=env)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(list(map(str, command)), cwd=cwd, env=env, **pipes)


class _Forked:
    """A program in a process that is forked from one that has imported TensorFlow."""

    def __init__(self, command, *, cwd, env):
        """Starts a program.

        Args:
            command: As for `subprocess`; `sys.executable` and `-m MODULE`, `-c CODE` or a path.
            cwd: Its folder; that of the tests by default.
            env: All of its environment variables; those of the tests by default.
        """
        self.args = [str(part) for part in command]
        assert self.args[0] == sys.executable
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `communicate`)
        reading, writing = os.pipe()
        environment = dict(os.environ if env is None else env)
        request = {
            "arguments": self.args[1:],
            "cwd": str(cwd or pathlib.Path.cwd()),
            "environment": environment,
        }
        self._server = _server(environment.get("KERAS_BACKEND", "tensorflow"))
        self.pid = _ask(self._server, request, [writing, self._errors.fileno()])
        os.close(writing)
        self.stdout = os.fdopen(reading, encoding="utf-8", errors="replace")
        self.returncode = None

    def send_signal(self, number):
        """Sends a signal to the program."""
        os.kill(self.pid, number)

    @property
    def stderr(self):
        """What the program has written to standard error so far."""
        self._errors.seek(0)
        return self._errors

    def poll(self):
        """Returns the exit code, or None while the program runs."""
        return self.wait() if self.returncode is not None or self._ends_within(0) else None

    def _ends_within(self, timeout):
        process = os.pidfd_open(self.pid)
        try:
            return bool(select.select([process], [], [], timeout)[0])
        finally:
            os.close(process)

    def wait(self, timeout=None):
        """Waits until the program ends, and returns its exit code; minus the signal if it died."""
        if self.returncode is None:
            if timeout is not None and not self._ends_within(timeout):
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = os.waitstatus_to_exitcode(_ask(self._server, {"wait": self.pid}))
        return self.returncode

    def communicate(self):
        """Waits until the program ends, and returns what it printed and did not read yet."""
        output = self.stdout.read()
        self.stdout.close()
        self.wait()
        errors = self.stderr.read()
        self._errors.close()
        return output, errors


def run(command, *, cwd=None, env=None, check=False):
    """Runs a program to its end, as `subprocess.run` with `capture_output` and `text`.

    Raises:
        subprocess.CalledProcessError: It failed, and `check` is set.
    """
    process = start(command, cwd=cwd, env=env)
    output, errors = process.communicate()
    if check and process.returncode:
        print(output, errors)  # for pytest to show
        raise subprocess.CalledProcessError(process.returncode, command, output, errors)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _ask(connection, request, descriptors=()):
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
    content = json.dumps(request).encode()
    connection.sendmsg([len(content).to_bytes(4, "little")], [rights] if descriptors else [])
    connection.sendall(content)
    return int.from_bytes(_read(connection, 8), "little")


def _read(connection, size):
    content = b""
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            raise EOFError
        content += part
    return content


@functools.cache
def _server(backend):
    """Returns the connection to a process that has imported Keras with a backend."""
    ours, theirs = socket.socketpair()
    subprocess.Popen(
        [sys.executable, str(pathlib.Path(__file__)), str(theirs.fileno())],
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
    )
    theirs.close()
    return ours


def _serve(connection):
    """Forks for each request; returns in the child, with what it is to run."""
    import keras  # noqa: F401 (that the child need not)
    import tensorflow  # noqa: F401

    while True:
        try:
            size, descriptors, *_ = socket.recv_fds(connection, 4, 2)
            if not size:
                sys.exit()
            request = json.loads(_read(connection, int.from_bytes(size, "little")))
        except (EOFError, ConnectionResetError):
            sys.exit()
        if "wait" in request:
            _, answer = os.waitpid(request["wait"], 0)
        else:
            answer = os.fork()
            if not answer:
                connection.close()
                for number, descriptor in enumerate(descriptors, start=1):
                    os.dup2(descriptor, number)
                    os.close(descriptor)
                return request
        for descriptor in descriptors:
            os.close(descriptor)
        connection.sendall(answer.to_bytes(8, "little"))


def _become(request):
    """Makes this process what Python is at the start of a program; returns code and its name."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup would have ignored
    # The former streams know the former files.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, "utf-8", "backslashreplace", closefd=False)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [path for path in paths if path and path not in sys.path]
    kind, *rest = request["arguments"]
    if kind in ("-m", "-c"):
        sys.path.insert(0, request["cwd"])
        sys.argv = [kind, *rest[1:]]
        return kind, rest[0]
    sys.path.insert(0, str(pathlib.Path(kind).parent))
    sys.argv = [kind, *rest]
    return "", kind


if __name__ == "__main__":
    import runpy

    sys.path.remove(str(_TESTS))
    _kind, _what = _become(_serve(socket.socket(fileno=int(sys.argv[1]))))
    if _kind == "-m":
        runpy.run_module(_what, run_name="__main__", alter_sys=True)
    elif _kind == "-c":
        exec(compile(_what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(_what, run_name="__main__")
