"""What commands print: plain results on standard output, progress and complaints on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def say(text: str = "") -> None:
    """One line of result."""
    print(text)


def complain(text: str) -> None:
    """An error, on standard error."""
    print(f"error: {text}", file=sys.stderr)


def print_json(value: Any) -> None:
    """A result that a program may read."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """A plain table; the columns numbered in `right` are aligned to the right."""
    from rich.cells import cell_len

    widths = [max(cell_len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        cells = []
        for column, (text, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell_len(text))
            cells.append(space + text if column in right else text + space)
        print("  ".join(cells).rstrip())


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with rate and remaining time on standard error; hand what it gives to the library as `progress`.

    A total of 0 means unknown: then only the count and the rate are shown.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.text import Text

    class Count(ProgressColumn):
        def render(self, task: Any) -> Text:
            done = f"{int(task.completed):,}" + (f"/{int(task.total):,}" if task.total else "")
            speed = task.finished_speed or task.speed
            rate = f", {speed:,.{0 if speed >= 10 else 1}f}/s" if speed else ""
            return Text(f"{done} {unit}{rate}")

    columns = (TextColumn("{task.description}"), BarColumn(), Count(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        try:
            yield advance
        except BaseException:
            if not bar.tasks[0].completed:  # refused before it began: the error alone is shown
                bar.update(task, visible=False)
            raise


def counted(progress: Callable[[int, int], None], total: int) -> Callable[[int], None]:
    """For work that reports how much more was done: adds it up for a progress bar."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(done, total)

    return advance
