"""Requests in flight: coroutines in a loop of its own, awaited by code that is not asynchronous.

The loop lives in one thread for as long as its owner, so connections and an engine's tasks outlast
a batch. Whoever waits looks several times a second whether to stop; what is then still in flight
is cancelled, which closes connections and aborts generations.
"""

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

from vprcap.errors import Interrupted

TICK_SECONDS = 0.1
_ENDING_SECONDS = 30.0
"""For what was entered to be left; an engine ends its processes."""
Result = TypeVar("Result")


class InFlight:
    """An event loop in a thread of its own; it ends with this object."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        thread = threading.Thread(target=_run, args=(self._loop, self._stack), daemon=True)
        thread.start()
        weakref.finalize(self, _end, self._loop, thread)

    def enter(self, context: AbstractAsyncContextManager[Result]) -> Result:
        """Enter an asynchronous context that is left when this object goes."""
        entering = asyncio.run_coroutine_threadsafe(
            self._stack.enter_async_context(context), self._loop
        )
        return entering.result()

    def begin(self, request: Callable[[], Coroutine[Any, Any, Result]]) -> Future[Result]:
        """Make a request; to cancel what is returned closes it."""
        return asyncio.run_coroutine_threadsafe(request(), self._loop)

    def all(
        self,
        requests: Sequence[Callable[[], Coroutine[Any, Any, Result]]],
        should_stop: Callable[[], bool],
    ) -> list[Result]:
        """Make all requests at once and return their results in order.

        Raises:
            Interrupted: `should_stop` became true; everything in flight is cancelled.
            Exception: what the first request that failed raised; the others are cancelled.
        """
        futures: list[Future[Result]] = []
        try:
            for request in requests:
                futures.append(self.begin(request))
            while not _settled(futures):
                if should_stop():
                    raise Interrupted("stopped while requests were in flight")
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def _settled(futures: Sequence[Future[Result]]) -> bool:
    """Wait a moment; say whether all are done, or one has failed, which is raised."""
    done, waiting = wait(futures, TICK_SECONDS, FIRST_EXCEPTION)
    for future in done:
        future.result()
    return not waiting


def _run(loop: asyncio.AbstractEventLoop, stack: AsyncExitStack) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(stack.aclose())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():  # objects are collected in any thread
        thread.join(timeout=_ENDING_SECONDS)
