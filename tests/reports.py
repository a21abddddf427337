"""Reports of runs that tests have trained without one."""

from ban_tf.cli import report


def written(directory):
    """Returns the text of a run's report, which is written first if there is none."""
    page = directory / "report.html"
    if not page.exists():
        assert report.main([str(directory)]) == 0
    return page.read_text(encoding="utf-8")
