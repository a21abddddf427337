"""The files for Slurm and Kubernetes are whole, and their commands are commands of ours."""

import json
import pathlib
import re
import shlex
import subprocess

from absl import flags

from ban_tf.config import options
from ban_tf.distribution import cluster

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "cluster"


def check_command(words):
    """Reads the flags of `python -m ban_tf.main ...`."""
    assert words[:3] == ["python", "-m", "ban_tf.main"]
    values = flags.FlagValues()
    options.define_flags(values)
    arguments = [re.sub(r"^--flagfile=", f"--flagfile={ROOT}/", word) for word in words[3:]]
    assert values(["main", *arguments])[1:] == []
    assert options.from_flags(values).strategy == "multiworker"


def test_the_batch_file_of_slurm_is_a_shell_script(tmp_path):
    path = FOLDER / "slurm.sbatch"
    subprocess.run(["bash", "-n", path], check=True)
    text = path.read_text().replace("\\\n", " ")
    command = re.search(r"python -m ban_tf\.main.*", text)[0]
    check_command(shlex.split(re.sub(r"\$\{SHARED_DIRECTORY:[^}]*\}", str(tmp_path), command)))
    assert re.search(r"^#SBATCH --ntasks-per-node=1$", text, re.MULTILINE)


def test_the_manifest_of_kubernetes_gives_each_pod_its_place():
    manifest = json.loads((FOLDER / "kubernetes.json").read_text())
    service, job = manifest["items"]
    assert (manifest["kind"], service["kind"], job["kind"]) == ("List", "Service", "Job")
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    pod = job["spec"]["template"]["spec"]
    assert pod["subdomain"] == service["metadata"]["name"]
    (container,) = pod["containers"]
    text = {entry["name"]: entry.get("value") for entry in container["env"]}["TF_CONFIG"]
    for index in range(job["spec"]["completions"]):
        found = cluster.read({"TF_CONFIG": text.replace("$(WORKER)", str(index))})
        assert found.index == index
        assert len(found.addresses) == job["spec"]["completions"]
        name = f"{job['metadata']['name']}-{index}.{pod['subdomain']}"
        port = container["ports"][0]["containerPort"]
        assert found.addresses[index] == f"{name}:{port}"
    workdir = next(entry for entry in container["command"] if entry.startswith("--workdir="))
    assert workdir.startswith(f"--workdir={container['volumeMounts'][0]['mountPath']}/")
    command = [entry for entry in container["command"] if entry != workdir]
    check_command(command)
