"""Pictures on their way into a running batch: prefilled while captions are being written.

A thread makes inputs of pictures, runs the vision tower over them and the language model over their
prompts, so that a free row can begin to write at once and no other row waits for that. On a CPU it
takes half the threads, or all if nobody writes; on a GPU it works in a stream of its own, from
pinned memory, and only waits for itself.
"""

import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from vprcap.errors import Interrupted

_SECONDS_BETWEEN_QUESTIONS = 0.1
Entries = Float[torch.Tensor, "rows heads length size"]


@dataclass(frozen=True)
class Prefilled:
    """Pictures with their prompts, read by the language model."""

    num_prompt: int
    """Tokens of picture and prompt, the same in each row."""
    entries: list[tuple[Entries, Entries]]
    """Keys and values of each layer."""
    logits: Float[torch.Tensor, "rows 1 vocabulary"]
    """Of the first token of the caption."""


class Beside:
    """Runs prefill beside everything else; lives as long as a loaded model."""

    def __init__(self, device: str) -> None:
        self._stream: torch.cuda.Stream | None = None
        if device == "cuda":
            self._stream = torch.cuda.Stream()
            self._stream.wait_stream(torch.cuda.current_stream())  # the weights are there
        self._most = torch.get_num_threads()
        self._thread = ThreadPoolExecutor(1, "prefill")

    def begin(self, prefill: Callable[[], Prefilled], *, alone: bool) -> Future[Prefilled]:
        """Prefill in the thread; what is returned is ready for use in any stream.

        Args:
            prefill: what to run.
            alone: take all threads of a CPU, not half of them.
        """
        num_threads = self._most if alone else max(1, self._most // 2)
        return self._thread.submit(self._run, prefill, num_threads)

    def _run(self, prefill: Callable[[], Prefilled], num_threads: int) -> Prefilled:
        torch.set_num_threads(num_threads)  # of this thread
        stream: AbstractContextManager[Any] = nullcontext()
        if self._stream is not None:
            stream = torch.cuda.stream(self._stream)
        with stream, torch.inference_mode():
            prefilled = prefill()
        if self._stream is not None:
            self._stream.synchronize()  # holds up this thread alone
        return prefilled


class WaitingRoom:
    """Pictures that were let in and have no row yet, a few at a time, in order."""

    def __init__(
        self, prefill: Callable[[Sequence[np.ndarray]], Prefilled], beside: Beside, together: int
    ) -> None:
        """Wait for nobody yet.

        Args:
            prefill: reads pictures and their prompts.
            beside: where that happens.
            together: how many pictures are read, and let out, at a time.
        """
        self._prefill, self._beside, self._together = prefill, beside, together
        self._groups: deque[tuple[list[Any], Future[Prefilled]]] = deque()
        weakref.finalize(self, _give_up, self._groups)  # nothing is read for nobody

    def __len__(self) -> int:
        """How many are waiting."""
        return sum(len(names) for names, _ in self._groups)

    def let_in(self, names: Sequence[Any], pixels: Sequence[np.ndarray], *, alone: bool) -> None:
        """Begin to prefill pictures.

        Args:
            names: given back with what was made of their pictures.
            pixels: of the pictures.
            alone: nobody writes until the first of them are there.
        """
        for start in range(0, len(names), self._together):
            own, pictures = names[start:][: self._together], pixels[start:][: self._together]
            first = alone and not self._groups
            future = self._beside.begin(partial(self._prefill, pictures), alone=first)
            self._groups.append((list(own), future))

    def wait(self, should_stop: Callable[[], bool]) -> None:
        """Wait until the first group is ready.

        Raises:
            Interrupted: `should_stop` became true.
        """
        while self._groups and not self._groups[0][1].done():
            if should_stop():
                raise Interrupted("stopped while pictures were being read")
            wait_for([self._groups[0][1]], _SECONDS_BETWEEN_QUESTIONS)

    def let_out(self, num_free: int) -> Iterator[tuple[list[Any], Prefilled]]:
        """Yield the first groups that fit into free rows and are ready.

        Raises:
            Exception: what `prefill` raised.
        """
        while self._groups and len(self._groups[0][0]) <= num_free:
            names, future = self._groups[0]
            if not future.done():
                return
            try:
                prefilled = _here(future.result())
            finally:  # an error holds this frame, and the future the error: it would be a circle
                del future
            self._groups.popleft()
            num_free -= len(names)
            yield names, prefilled

    def close(self, *, wait: bool) -> None:
        """Give up everybody.

        Args:
            wait: until what is being prefilled is there, so that its memory is free.
        """
        futures = [future for _, future in self._groups]
        _give_up(self._groups)
        if wait:
            wait_for(futures)


def _give_up(groups: deque[tuple[list[Any], Future[Prefilled]]]) -> None:
    while groups:
        groups.pop()[1].cancel()


def _here(prefilled: Prefilled) -> Prefilled:
    """Keep what another stream made from being taken back while this one reads it."""
    for tensor in (prefilled.logits, *(each for pair in prefilled.entries for each in pair)):
        if tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream())
    return prefilled
