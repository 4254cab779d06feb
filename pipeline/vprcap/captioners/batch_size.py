"""The batch size that fits into memory, found while working.

Memory is not a constant: other processes come and go, and one picture needs more than another. A
size that fails is left at once; what was lost is won back in small steps after many good batches,
but never up to a size that has failed twice.
"""

from collections import Counter

_GOOD_BATCHES = 32
"""Before the next step up: a failed try costs one batch, so it should be rare."""
_STEPS = 8
"""Steps up from a size to about its double."""


class BatchSize:
    """A number of images: halves when memory runs out, grows back slowly."""

    is_settled = True
    """No other sizes are being timed."""

    def __init__(self, wanted: int) -> None:
        self.now = self._most = wanted
        self._failures: Counter[int] = Counter()
        self._good_in_a_row = 0
        self._proven = 0

    def begin(self) -> None:
        """Note that a batch begins; nothing is measured of it."""

    def succeeded(self, size: int) -> None:
        """Note a batch that fitted; only full ones say anything about the size."""
        if size < self.now:
            return
        self._good_in_a_row += 1
        if self._good_in_a_row >= _GOOD_BATCHES:
            self._proven, self._good_in_a_row = self.now, 0
            self.now = min(self._most, self.now + max(1, self.now // _STEPS))

    def failed(self, size: int) -> None:
        """Note a batch that did not fit: half of it, or the last size that went well for long."""
        self._failures[size] += 1
        if self._failures[size] >= 2:
            self._most = min(self._most, max(1, size - 1))
        if self._proven >= size:  # it does not hold any more
            self._proven = 0
        self.now = max(1, size // 2, min(self._proven, self._most))
        self._good_in_a_row = 0
