"""A progress bar for work that takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(title: str, total: int, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Shows a bar on a terminal until the block ends; elsewhere nothing.

    Args:
        title: The word before the bar.
        total: The amount of work.
        shown: Whether there is a bar at all.

    Yields:
        A function that advances the bar by an amount.
    """
    from rich import progress

    with progress.Progress(
        f"  {title}",
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeRemainingColumn(),
        transient=True,
        disable=not shown,
    ) as bars:
        # Without a terminal there is nothing to redraw.
        task = bars.add_task(title, total=total, visible=bars.console.is_terminal)
        yield lambda count: bars.advance(task, count)
