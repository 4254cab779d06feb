"""Progress of long work on stderr: a live bar on a terminal, a line every 30 s in a batch log."""

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

REPORT_SECONDS = 30.0


class Progress:
    """Counts finished items of a known total; says how fast and how much longer."""

    def __init__(
        self,
        label: str,
        total: int,
        unit: str,
        listener: Callable[[int], None] | None = None,
    ) -> None:
        """Show progress, or tell a listener of it: how many items were finished just now."""
        self.label, self.total, self.unit = label, total, unit
        self.done = self._resumed = 0
        self._begun = self._reported = time.monotonic()
        self._listener = listener
        self._bar = _bar() if sys.stderr.isatty() and listener is None else None

    def start_clock(self) -> None:
        """Begin to measure speed now: what came before was loading."""
        self._begun = time.monotonic()

    def resume(self, count: int) -> None:
        """Count items that an earlier run finished: done, but no measure of speed."""
        self._resumed += count
        self._count(count)

    def advance(self, count: int = 1) -> None:
        """Count finished items and show them when it is time."""
        if self._listener is not None:
            self._listener(count)
        self._count(count)

    def say(self, line: str) -> None:
        """Print a line on stderr without garbling the bar."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def _count(self, count: int) -> None:
        self.done += count
        if self._listener is not None:
            return
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, speed=self.speed())
        elif time.monotonic() - self._reported >= REPORT_SECONDS:
            self._report()

    def speed(self) -> str:
        """Rate and remaining time, e.g. ``31.2 images/s, ETA 0:01:04``."""
        rate = (self.done - self._resumed) / max(time.monotonic() - self._begun, 1e-9)
        left = duration((self.total - self.done) / rate) if rate else "?"
        return f"{rate:.1f} {self.unit}/s, ETA {left}"

    def _report(self) -> None:
        self._reported = time.monotonic()
        line = f"{self.label}: {self.done:,} of {self.total:,}, {self.speed()}"
        print(line, file=sys.stderr, flush=True)

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=self.total, speed="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self.done and self._listener is None:
            self._report()


def _bar() -> RichProgress:
    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def duration(seconds: float) -> str:
    """Write a time as ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
