"""Requests that come and go."""

import asyncio
import time
from collections.abc import Callable

import numpy as np
import pytest

from vprcap.captioners import Generated, Running
from vprcap.captioners.in_flight import InFlight
from vprcap.captioners.running_requests import RunningRequests
from vprcap.errors import Interrupted


def never() -> bool:
    return False


def picture(seconds: float) -> np.ndarray:
    """Make an image that says how long its caption takes, in hundredths of a second."""
    return np.full((1, 1, 3), round(100 * seconds), np.uint8)


class Service:
    """Captions an image after the time that it says; at 2.55 s it fails instead."""

    def __init__(self) -> None:
        self.now = self.peak = self.cancelled = 0

    async def ask(self, image: np.ndarray, seed: int | None) -> Generated:
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            if image[0, 0, 0] == 255:
                raise KeyError("broken picture")
            await asyncio.sleep(float(image[0, 0, 0]) / 100)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.now -= 1
        return Generated(f"{image[0, 0, 0]} by {seed}", "stop", None, None)


def work(
    running: RunningRequests, seconds: list[float], should_stop: Callable[[], bool] = never
) -> list[tuple[str, Generated]]:
    """Let images enter as they are wanted; return names and captions in the order of their end."""
    left = [(str(number), picture(each)) for number, each in enumerate(seconds)]
    done: list[tuple[str, Generated]] = []
    while len(done) < len(seconds):
        entering, left = left[: running.wanted], left[running.wanted :]
        names, pixels = [name for name, _ in entering], [image for _, image in entering]
        done += running.advance(names, pixels, [], should_stop)
    return done


def test_one_takes_the_place_of_another_as_soon_as_that_is_answered() -> None:
    service = Service()
    running = RunningRequests(InFlight(), service.ask, 2)
    assert isinstance(running, Running)
    begun = time.monotonic()
    done = work(running, [0.6, 0.1, 0.1, 0.1, 0.1])
    assert [name for name, _ in done] == ["1", "2", "3", "4", "0"]
    assert time.monotonic() - begun < 0.95  # batches of two: 0.6 + 0.1 + 0.1, and waits
    assert service.peak == 2 and running.wanted == 2


def test_seeds_go_with_their_images() -> None:
    running = RunningRequests(InFlight(), Service().ask, 2)
    names, pixels = ["a", "b"], [picture(0.01), picture(0.02)]
    written = dict(running.advance(names, pixels, [7, 8], never))
    while running.wanted < 2:
        written |= dict(running.advance([], [], [], never))
    assert {name: each.text for name, each in written.items()} == {"a": "1 by 7", "b": "2 by 8"}


def test_a_failure_waits_for_those_in_flight_and_lets_none_begin() -> None:
    running = RunningRequests(InFlight(), Service().ask, 3)
    pixels = [picture(0.2), picture(2.55), picture(0.3)]
    written = running.advance(["a", "bad", "c"], pixels, [], never)
    assert [name for name, _ in written] == ["a"] and running.wanted == 0
    assert [name for name, _ in running.advance([], [], [], never)] == ["c"]
    with pytest.raises(KeyError, match="broken picture"):
        running.advance([], [], [], never)


def test_asked_to_stop_it_cancels_everything_in_flight() -> None:
    service = Service()
    running = RunningRequests(InFlight(), service.ask, 2)
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        running.advance(["a", "b"], [picture(2), picture(2)], [], lambda: True)
    assert time.monotonic() - begun < 1
    while service.cancelled < 2:
        assert time.monotonic() - begun < 5
        time.sleep(0.01)


def test_an_interruption_may_mean_something_else() -> None:
    in_flight = InFlight()
    meaning = lambda problem, should_stop: ValueError(f"{problem}: {should_stop()}")  # noqa: E731
    running = RunningRequests(in_flight, Service().ask, 1, meaning)
    with pytest.raises(ValueError, match="stopped while requests were in flight: True"):
        running.advance(["a"], [picture(2)], [], lambda: True)
