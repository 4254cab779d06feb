"""Watches a call to the model: first asks it to stop when it takes too long, then gives it up.

A generation that steps too slowly sees its `should_stop` become true and returns. One that never
comes back (a driver, a deadlock) cannot be ended from inside its process: after a period of grace
the process ends, and whoever started it starts another, which knows the suspects.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HUNG_EXIT_CODE = 75
"""Of a worker whose model did not return: a temporary failure, start it again."""
TIMEOUT_SECONDS = 1800.0
"""A batch of a large model on a GPU takes seconds; on a slow CPU, minutes."""
_TIMES_THE_SLOWEST = 10
_GRACE = 0.5
"""Of the timeout, until the process is ended."""


class TimedOut(Exception):  # noqa: N818 - an event that is answered with a smaller batch
    """The model took too long and stopped when it was asked to."""


class Watch:
    """Times calls one after the other; allows much more than the slowest good one took."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._slowest = 0.0

    @property
    def seconds(self) -> float:
        """How long a call may take before it is asked to stop."""
        return max(self._timeout, _TIMES_THE_SLOWEST * self._slowest)

    @contextmanager
    def over(self, on_hang: Callable[[], None]) -> Iterator[Callable[[], bool]]:
        """Watch the body; gives what says whether it is late.

        Args:
            on_hang: called from another thread before the process is ended.
        """
        begun, allowed = time.monotonic(), self.seconds
        last_resort = threading.Timer(allowed * (1 + _GRACE), _end, (on_hang, allowed))
        last_resort.daemon = True
        last_resort.start()
        try:
            yield lambda: time.monotonic() - begun > allowed
            self._slowest = max(self._slowest, time.monotonic() - begun)
        finally:
            last_resort.cancel()


def _end(on_hang: Callable[[], None], allowed: float) -> None:
    try:
        on_hang()
    finally:
        print(
            f"vprcap: the model has not returned, asked after {allowed:g} s to stop; this worker "
            "ends, the next one tries its images in smaller batches: run the same command again",
            file=sys.stderr,
            flush=True,
        )
        os._exit(HUNG_EXIT_CODE)
