import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from vprcap.captioners.in_flight import InFlight
from vprcap.errors import Interrupted


def never() -> bool:
    return False


def after(seconds: float, result: Any) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def wait() -> Any:
        await asyncio.sleep(seconds)
        if isinstance(result, Exception):
            raise result
        return result

    return wait


def test_results_are_in_order_whatever_comes_first() -> None:
    requests = [after(seconds, seconds) for seconds in (0.05, 0.0, 0.02)]
    assert InFlight().all(requests, never) == [0.05, 0.0, 0.02]
    assert InFlight().all([], never) == []


def test_the_first_failure_ends_the_others() -> None:
    in_flight, begun = InFlight(), time.monotonic()
    with pytest.raises(KeyError, match="mine"):
        in_flight.all([after(60, 1), after(0.0, KeyError("mine")), after(60, 2)], never)
    assert time.monotonic() - begun < 5
    assert in_flight.all([after(0.0, "still alive")], never) == ["still alive"]


def test_asked_to_stop_it_cancels_what_is_in_flight() -> None:
    cancelled = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(Interrupted):
        InFlight().all([hang], lambda: True)
    assert cancelled.wait(5)


def test_what_was_entered_is_left_when_it_goes() -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def noted() -> AsyncIterator[str]:
        steps.append("entered")
        yield "inside"
        await asyncio.sleep(0)
        steps.append("left")

    in_flight = InFlight()
    assert in_flight.enter(noted()) == "inside"
    assert steps == ["entered"]
    del in_flight
    gc.collect()
    assert steps == ["entered", "left"]


def test_it_may_be_collected_in_its_own_thread() -> None:
    """Garbage is collected in whichever thread asks for memory."""
    holder = [InFlight()]
    [thread] = [each for each in threading.enumerate() if each.name.startswith("Thread")][-1:]

    async def drop() -> None:
        holder.clear()

    loop = holder[0]._loop
    asyncio.run_coroutine_threadsafe(drop(), loop).result(5)
    thread.join(5)
    assert not thread.is_alive() and loop.is_closed()
