"""How a decoding step is fastest, found while captions are written.

Threads: a step of a small model is many small products: to wake a second thread for each costs more
than it gives, and prefill wants the core. A step of a large one reads all weights, and wants every
thread.

Drafts: to check guessed tokens of each row (`vprcap.captioners.drafts`) costs more than a step of
one token, and wins as many as were guessed right, which depends on how alike captions are.

So every way is timed, in turns, again and again, and most steps go the way that has given most
tokens a second of late. In float32 no way changes what is written.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

DRAFTS = (0, 2, 5)
"""Guessed tokens of a row in one step, at most."""
_SAMPLES = 8
"""Steps that go each way before one is preferred."""
_EVERY = 32
"""Of so many steps one goes the way that was timed least, to see how that does now."""
_MEMORY = 0.9
"""What an earlier step still counts when one more goes the same way."""


@dataclass
class Way:
    """One way to take a step, and how it did."""

    threads: int | None
    """None: there is no choice."""
    drafts: int
    num_timed: int = 0
    tokens: float = 0.0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Tokens a second, of late."""
        return self.tokens / self.seconds

    def note(self, tokens: int, seconds: float) -> None:
        """Count one step that went this way."""
        self.num_timed += 1
        self.tokens = self.tokens * _MEMORY + tokens
        self.seconds = self.seconds * _MEMORY + seconds


class StepChoice:
    """Lives as long as a loaded model."""

    def __init__(self, device: str) -> None:
        self._most = torch.get_num_threads()
        half = max(1, self._most // 2)
        threads = sorted({1, half, self._most}) if device == "cpu" else [None]
        self._kinds = list(itertools.product(threads, DRAFTS))
        self._ways: dict[int, list[Way]] = {}

    def choose(self, num_rows: int) -> Way:
        """Choose the way of the next step; note there how it did.

        Args:
            num_rows: that write: steps of few rows say nothing about those of many.
        """
        ways = self.ways(num_rows)
        least = min(ways, key=lambda way: way.num_timed)
        num_taken = 1 + sum(way.num_timed for way in ways)
        if least.num_timed < _SAMPLES or num_taken % _EVERY == 0:
            return least
        return max(ways, key=lambda way: way.rate)

    def ways(self, num_rows: int) -> list[Way]:
        """Return the ways for about as many rows: up to twice as many as the fewest."""
        size = num_rows.bit_length()
        if size not in self._ways:
            self._ways[size] = [Way(*kind) for kind in self._kinds]
        return self._ways[size]

    @contextmanager
    def threads(self, way: Way) -> Iterator[None]:
        """Compute with as many threads as the way has."""
        if way.threads is None:
            yield
            return
        torch.set_num_threads(way.threads)
        try:
            yield
        finally:
            torch.set_num_threads(self._most)
