"""Requests that come and go: as one caption ends, the next image is asked for.

Of a server, or an engine, that computes many captions at once, a batch would wait for its longest
one while all others stand idle. Here always the same number is in flight. A request that fails
stops no other: no new ones are begun, those in flight end and are given back, and then the failure
is raised, with its image alone in work.
"""

from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any

import numpy as np

from vprcap.captioners import Generated
from vprcap.captioners.in_flight import TICK_SECONDS, InFlight
from vprcap.errors import Interrupted

Ask = Callable[[np.ndarray, int | None], Coroutine[Any, Any, Generated]]
"""Asks for the caption of one image, sampled by a seed or greedy."""

Meaning = Callable[[Exception, Callable[[], bool]], Exception]
"""Takes what was raised, and whether it is time to stop; gives what to raise."""


def _itself(problem: Exception, _: Callable[[], bool]) -> Exception:
    return problem


class RunningRequests:
    """A running batch (`vprcap.captioners.Running`) of requests."""

    def __init__(
        self, in_flight: InFlight, ask: Ask, num_slots: int, meaning: Meaning = _itself
    ) -> None:
        """Begin nothing yet.

        Args:
            in_flight: where requests live.
            ask: makes one.
            num_slots: how many are in flight at most.
            meaning: says what is raised in place of an interruption or a failure.
        """
        self._in_flight, self._ask, self._num_slots = in_flight, ask, num_slots
        self._meaning = meaning
        self._names: dict[Future[Generated], str] = {}
        self._failed: list[Exception] = []

    @property
    def wanted(self) -> int:
        """How many images it would take now."""
        return 0 if self._failed else self._num_slots - len(self._names)

    def advance(
        self,
        names: Sequence[str],
        pixels: Sequence[np.ndarray],
        seeds: Sequence[int],
        should_stop: Callable[[], bool],
    ) -> list[tuple[str, Generated]]:
        """Ask for captions, and wait until one is there.

        Args:
            names: of the images that enter, not more than are wanted.
            pixels: of these images.
            seeds: one an image, where the temperature is above 0.
            should_stop: asked several times a second.

        Returns:
            Names and captions of those that were answered.

        Raises:
            Interrupted: `should_stop` became true; everything in flight is cancelled.
            Exception: what a request that failed raised, once no other is in flight.
        """
        own: Sequence[int | None] = seeds or [None] * len(names)
        for name, image, seed in zip(names, pixels, own, strict=True):
            self._names[self._in_flight.begin(partial(self._ask, image, seed))] = name
        written: list[tuple[str, Generated]] = []
        while self._names and not written:
            for future in self._done(should_stop):
                name, problem = self._names.pop(future), future.exception()
                if problem is None:
                    written.append((name, future.result()))
                elif isinstance(problem, Exception):
                    self._failed.append(problem)
        if self._failed and not written:
            raise self._meaning(self._failed[0], should_stop)
        return written

    def _done(self, should_stop: Callable[[], bool]) -> set[Future[Generated]]:
        """Wait for requests that have ended, in any way."""
        while True:
            done, _ = wait(self._names, TICK_SECONDS, FIRST_COMPLETED)
            if done:
                return done
            if should_stop():
                for future in self._names:
                    future.cancel()
                stopped = Interrupted("stopped while requests were in flight")
                raise self._meaning(stopped, should_stop)
