"""Decode images in worker processes, ahead of the model and in order.

Processes, not threads: decoding holds the interpreter for much of its time and a broken decoder
may end its process. The workers import neither torch nor transformers, so they start in a
fraction of a second.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import islice
from pathlib import Path

from PIL import Image

from vprcap.errors import InvalidError
from vprcap.images import DecodedImage, Framing, decode_image
from vprcap.views import View, show

Job = tuple[Path, View | None]
"""An image, and how it is shown; None: as it was photographed."""
Batch = tuple[Job, ...]
"""What a worker gets in one go."""
_MOST_AT_ONCE = 16
"""Handing over costs less an image when several go together; beyond this it hardly does."""
_BATCHES_EACH = 2
"""In work for each worker, so that one with slow images does not let the others wait."""
Ahead = int | Callable[[], int]
"""How many images to keep in work; or what says how many now."""
Decode = Callable[[Path, Framing | None, float], DecodedImage]


class DecodePool:
    """Worker processes that turn paths into pixels; use as a context manager."""

    def __init__(self, num_workers: int, framing: Framing | None, max_megapixels: float) -> None:
        self._num_workers = num_workers
        self._arguments = (framing, max_megapixels)
        self._executor = self._start(num_workers)

    def _start(self, num_workers: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(num_workers, context, initializer=_initialise_worker)

    def decode(self, paths: Iterable[Path], ahead: Ahead) -> Iterator[DecodedImage]:
        """Yield the image of each path in order, keeping up to `ahead` of them in work."""
        return self.show(((path, None) for path in paths), ahead)

    def show(self, jobs: Iterable[Job], ahead: Ahead) -> Iterator[DecodedImage]:
        """Yield the view of each job in order, keeping up to `ahead` of them in work."""
        waiting: deque[tuple[Batch, Future[list[DecodedImage]]]] = deque()
        remaining, most = iter(jobs), ahead if callable(ahead) else lambda: ahead
        while batch := tuple(islice(remaining, self._at_once(most()))):
            waiting.append((batch, self._submit(batch)))
            while sum(len(each) for each, _ in waiting) >= most():
                yield from self._result(waiting)
        while waiting:
            yield from self._result(waiting)

    def _at_once(self, ahead: int) -> int:
        """Return how many images a worker gets in one go."""
        return min(_MOST_AT_ONCE, max(1, ahead // (_BATCHES_EACH * self._num_workers)))

    def _submit(self, batch: Batch) -> Future[list[DecodedImage]]:
        try:
            return self._start_batch(self._executor, batch)
        except BrokenProcessPool as broken:  # `_result` recovers when it is this batch's turn
            failed: Future[list[DecodedImage]] = Future()
            failed.set_exception(broken)
            return failed

    def _start_batch(
        self, executor: ProcessPoolExecutor, batch: Batch
    ) -> Future[list[DecodedImage]]:
        return executor.submit(_decode_batch, decode_image, batch, *self._arguments)

    def _result(
        self, waiting: deque[tuple[Batch, Future[list[DecodedImage]]]]
    ) -> list[DecodedImage]:
        batch, future = waiting.popleft()
        try:
            return future.result()
        except BrokenProcessPool:
            self._executor.shutdown(wait=False, cancel_futures=True)
            decoded = [self._decode_alone(job) for job in batch]
        self._executor = self._start(self._num_workers)
        for position, (other, _) in enumerate(waiting):
            waiting[position] = (other, self._submit(other))
        return decoded

    def _decode_alone(self, job: Job) -> DecodedImage:
        """Decode an image alone: if that ends its process again, the image is to blame."""
        with self._start(1) as alone:
            _check_alive(alone)
            try:
                return self._start_batch(alone, (job,)).result()[0]
            except BrokenProcessPool:
                return DecodedImage("decode_error", "ends the decoder's process; fetch it again")

    def __enter__(self) -> "DecodePool":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


def _decode_batch(
    decode: Decode, batch: Batch, framing: Framing | None, max_megapixels: float
) -> list[DecodedImage]:
    return [_shown(decode(path, framing, max_megapixels), view) for path, view in batch]


def _shown(decoded: DecodedImage, view: View | None) -> DecodedImage:
    if view is None or decoded.pixels is None:
        return decoded
    return replace(decoded, pixels=show(Image.fromarray(decoded.pixels), view))


def _check_alive(executor: ProcessPoolExecutor) -> None:
    """Tell a worker that cannot start from one that an image ends."""
    try:
        executor.submit(os.getpid).result()
    except BrokenProcessPool:
        raise InvalidError(
            "decode workers cannot start; in a script, call vprcap from under "
            "`if __name__ == '__main__':`, and look for a limit on memory or processes"
        ) from None


def default_workers() -> int:
    """Workers for the CPUs this process may use; four keep most models busy."""
    return min(4, len(os.sched_getaffinity(0)))


def _initialise_worker() -> None:
    """Leave signals to stop to the parent, and do not outlive it when it is killed.

    Pillow's own pixel limit is lifted: `decode_image` checks the size before it decodes.
    """
    Image.MAX_IMAGE_PIXELS = None
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
