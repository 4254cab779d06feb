"""How many threads a decoding step is fastest with, found while captions are written.

A step of a small model is many small products: to wake a second thread for each costs more than it
gives, and decode workers want the core. A step of a large one reads all weights, and wants every
thread. So a few steps are timed with each number, in turns, and the fastest is kept. Prefill, which
is a few large products, always gets all threads.
"""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_SAMPLES = 12
"""Steps that are timed with each number of threads."""


class StepThreads:
    """Lives as long as a loaded model on a CPU."""

    def __init__(self) -> None:
        self._most = torch.get_num_threads()
        choices = {1, max(1, self._most // 2), self._most}
        self._seconds: dict[int, list[float]] = {number: [] for number in sorted(choices)}
        self.best: int | None = self._most if len(choices) == 1 else None
        """None while it is not known."""

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run one step with the best number of threads, or time it with one that may be."""
        tried = self.best or min(self._seconds, key=lambda each: len(self._seconds[each]))
        torch.set_num_threads(tried)
        begun = time.perf_counter()
        try:
            yield
        finally:
            torch.set_num_threads(self._most)
        if self.best is None:
            self._note(tried, time.perf_counter() - begun)

    def _note(self, tried: int, seconds: float) -> None:
        self._seconds[tried].append(seconds)
        if all(len(own) >= _SAMPLES for own in self._seconds.values()):
            self.best = min(self._seconds, key=lambda each: statistics.median(self._seconds[each]))
