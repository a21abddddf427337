"""What workers agree on, with none or one of them there, and the directory that others write."""

import numpy as np

from ban_tf.distribution.workers import Workers
from ban_tf.runs.rundir import ReadOnlyDirectory, RunDirectory
from ban_tf.system.signals import StopRequest


def test_one_worker_is_the_chief_and_waits_for_nobody():
    workers = Workers()
    assert (workers.count, workers.index, workers.replicas, workers.chief) == (1, 0, 1, True)
    np.testing.assert_array_equal(workers.all_gather([3, 4]), [[3, 4]])
    assert workers.run_on_chief_first(lambda: "done") == "done"
    assert workers.broadcast(lambda number: number > 1)(2) is True
    requests = StopRequest()
    assert workers.requests(requests) is requests
    workers.check_equal([np.zeros(3)], "Generation 0")
    workers.shutdown()


def test_a_directory_is_read_as_another_process_writes_it(tmp_path):
    with RunDirectory(tmp_path) as writer:
        reader = ReadOnlyDirectory(tmp_path)
        assert reader.names() == []
        writer.commit({"file": b"one"}, metadata={"number": 1})
        assert (reader.read("file"), reader.metadata) == (b"one", {"number": 1})
        writer.commit({"file": b"two"}, metadata={"number": 2})
        assert (reader.read("file"), reader.metadata) == (b"two", {"number": 2})
        reader.commit({"other": b"three"}, metadata={"number": 3}, remove=["file"])
        reader.write_untracked("loose", b"four")
        (tmp_path / "orphan.partial").write_bytes(b"")
        reader.remove_untracked(("orphan",))
        assert writer.names() == ["file"]
        assert reader.metadata == {"number": 2}
        assert not (tmp_path / "loose").exists()
        assert (tmp_path / "orphan.partial").exists()
    assert reader.writes is False


def test_a_signal_or_a_callback_of_one_worker_stops_all():
    class Two(Workers):
        """The first of two workers; the other one has what is in `other`."""

        count, other = 2, (0, False)

        def __init__(self):
            self.index = 0

        def all_gather(self, numbers):
            return np.array([numbers, self.other], np.int32)

    workers, own = Two(), StopRequest()
    shared = workers.requests(own)
    assert not shared.share(ending=False) and not shared
    assert shared.share(ending=True) and not shared
    workers.other = (0, True)
    assert shared.share(ending=False) and not shared
    workers.other = (15, False)
    assert not shared.share(ending=False) and shared.signal_number == 15
    own.signal_number, workers.other = 2, (0, False)
    assert not shared.share(ending=False) and shared.signal_number == 2
