"""Pictures on their way into a running batch: encoded while captions are being written.

A thread makes inputs of pictures and runs the vision tower over them, so that the language model
finds them ready when a row is free. On a CPU it takes a share of the threads; on a GPU it works in
a stream of its own, from pinned memory, and only waits for itself.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64


@dataclass(frozen=True)
class Encoded:
    """Pictures with their prompt, as the language model takes them."""

    input_ids: Int64[torch.Tensor, "rows length"]
    features: list[Float[torch.Tensor, "tokens size"]]
    """Of each picture, in the language model's space."""


class Beside:
    """Runs the encoding of pictures beside everything else; lives as long as a loaded model."""

    def __init__(self, device: str) -> None:
        self._stream = torch.cuda.Stream() if device == "cuda" else None
        share = max(1, torch.get_num_threads() // 2)
        self._thread = ThreadPoolExecutor(
            1, "encode", initializer=torch.set_num_threads, initargs=(share,)
        )

    def begin(self, encode: Callable[[], Encoded]) -> Future[Encoded]:
        """Encode in the thread; what is returned is ready for use in any stream."""
        return self._thread.submit(self._run, encode)

    def _run(self, encode: Callable[[], Encoded]) -> Encoded:
        stream: AbstractContextManager[Any] = nullcontext()
        if self._stream is not None:
            stream = torch.cuda.stream(self._stream)
        with stream, torch.inference_mode():
            encoded = encode()
        if self._stream is not None:
            self._stream.synchronize()  # holds up this thread alone
        return encoded


class WaitingRoom:
    """Pictures that were let in and have no row yet, a few at a time, in order."""

    def __init__(
        self, encode: Callable[[Sequence[np.ndarray]], Encoded], beside: Beside, together: int
    ) -> None:
        """Wait for nobody yet.

        Args:
            encode: makes of pictures what the language model takes.
            beside: where that happens.
            together: how many pictures are encoded, and let out, at a time.
        """
        self._encode, self._beside, self._together = encode, beside, together
        self._groups: deque[tuple[list[Any], Future[Encoded]]] = deque()

    def __len__(self) -> int:
        """How many are waiting."""
        return sum(len(names) for names, _ in self._groups)

    def let_in(self, names: Sequence[Any], pixels: Sequence[np.ndarray]) -> None:
        """Begin to encode pictures; `names` are given back with them."""
        for start in range(0, len(names), self._together):
            own, pictures = names[start:][: self._together], pixels[start:][: self._together]
            future = self._beside.begin(lambda pictures=pictures: self._encode(pictures))  # type: ignore[misc]
            self._groups.append((list(own), future))

    def let_out(self, num_free: int) -> tuple[list[Any], Encoded] | None:
        """Give as many of the first as fit into free rows, once they are encoded.

        Raises:
            Exception: what encoding raised.
        """
        names: list[Any] = []
        found: list[Encoded] = []
        while self._groups and len(names) + len(self._groups[0][0]) <= num_free:
            own, future = self._groups.popleft()
            names += own
            found.append(_here(future.result()))
        if not names:
            return None
        ids = torch.cat([each.input_ids for each in found])
        return names, Encoded(ids, [feature for each in found for feature in each.features])


def _here(encoded: Encoded) -> Encoded:
    """Keep what another stream made from being taken back while this one reads it."""
    for tensor in (encoded.input_ids, *encoded.features):
        if tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream())
    return encoded
