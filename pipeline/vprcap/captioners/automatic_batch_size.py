"""The batch size that is fastest and fits, found while working.

It starts small and doubles as long as captions come faster that way and as there is memory for
it. Doubling takes at most as much again as the batch itself took, whatever the model, so nothing
need be known of it. What was measured wrong, or changes later, `BatchSize` answers as ever.
"""

import time
from collections.abc import Callable

from vprcap.captioners.batch_size import BatchSize
from vprcap.captioners.memory_meter import MemoryMeter

_FIRST = 4
_LARGEST = 256
"""More has not been seen to be faster, and that many captions are lost when a run is killed."""
_TIMED = 3
"""Batches of each size that count, after one that warms up."""
_GAIN = 1.05
"""A larger size that is not faster than this is not worth its memory."""
_MISSES = 2
"""Larger sizes that were not faster, until that is believed: others may have been at work."""
_SHARE = 0.7
"""Of the memory that is free: the rest is for pictures that need more and for other processes."""
_LEAST_STEP = 0.25
"""Of the size: a smaller step is not worth its trials."""


class AutomaticBatchSize:
    """A number of images: grows while that is faster, then as `BatchSize`."""

    def __init__(self, memory: MemoryMeter, clock: Callable[[], float] = time.perf_counter) -> None:
        self._memory, self._clock = memory, clock
        self._fixed = BatchSize(_FIRST)
        self._growing = True
        self._best_size, self._best_rate, self._misses = _FIRST, 0.0, 0
        self._least_taken: int | None = None
        self._begun = 0.0
        self._seconds: list[float] = []

    @property
    def now(self) -> int:
        """Images of the next batch."""
        return self._fixed.now

    @property
    def is_settled(self) -> bool:
        """Whether the size is found."""
        return not self._growing

    def begin(self) -> None:
        """Note that a batch begins."""
        if not self._growing:
            return
        self._memory.start()
        taken = self._memory.peak()
        # The least of all: a batch may leave memory behind that only looks taken.
        self._least_taken = taken if self._least_taken is None else min(taken, self._least_taken)
        self._begun = self._clock()

    def succeeded(self, size: int) -> None:
        """Note a batch that fitted; only full ones say anything about the size."""
        self._fixed.succeeded(size)
        if not self._growing or size < self.now:
            return
        self._seconds.append(self._clock() - self._begun)
        if len(self._seconds) > _TIMED:
            self._grow(size, size * _TIMED / sum(self._seconds[1:]))

    def failed(self, size: int) -> None:
        """Note a batch that did not fit: so much for growing."""
        self._growing = False
        self._fixed.failed(size)

    def _grow(self, size: int, rate: float) -> None:
        """Go on from a size that was timed: to a larger one, or to the best one for good."""
        if rate >= _GAIN * self._best_rate:
            self._best_size, self._best_rate, self._misses = size, rate, 0
        else:
            self._misses += 1
        larger = min(_LARGEST, size + int(size * self._step()))
        self._growing = larger > size and self._misses < _MISSES
        self._seconds = []
        if (wanted := larger if self._growing else self._best_size) != size:
            self._fixed = BatchSize(wanted)

    def _step(self) -> float:
        """Return the share of its size by which the batch may grow; 0: it is not worth it."""
        assert self._least_taken is not None, "a batch has begun"
        taken = max(1, self._memory.peak() - self._least_taken)
        step = min(1.0, _SHARE * self._memory.room() / taken)
        return step if step >= _LEAST_STEP else 0.0
