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
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

from PIL import Image

from vprcap.errors import InvalidError
from vprcap.images import DecodedImage, Framing, decode_image
from vprcap.views import View, show

Job = tuple[Path, View | None]
"""An image, and how it is shown; None: as it was photographed."""


class DecodePool:
    """Worker processes that turn paths into pixels; use as a context manager."""

    def __init__(self, num_workers: int, framing: Framing | None, max_megapixels: float) -> None:
        self._num_workers = num_workers
        self._arguments = (framing, max_megapixels)
        self._executor = self._start(num_workers)

    def _start(self, num_workers: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(num_workers, context, initializer=_initialise_worker)

    def decode(self, paths: Iterable[Path], ahead: int) -> Iterator[DecodedImage]:
        """Yield the image of each path in order, keeping up to `ahead` of them in work."""
        return self.show(((path, None) for path in paths), ahead)

    def show(self, jobs: Iterable[Job], ahead: int) -> Iterator[DecodedImage]:
        """Yield the view of each job in order, keeping up to `ahead` of them in work."""
        waiting: deque[tuple[Job, Future[DecodedImage]]] = deque()
        for job in jobs:
            waiting.append((job, self._submit(job)))
            if len(waiting) >= ahead:
                yield self._result(waiting)
        while waiting:
            yield self._result(waiting)

    def _submit(self, job: Job) -> Future[DecodedImage]:
        try:
            return self._start_job(self._executor, job)
        except BrokenProcessPool as broken:  # `_result` recovers when it is this image's turn
            failed: Future[DecodedImage] = Future()
            failed.set_exception(broken)
            return failed

    def _start_job(self, executor: ProcessPoolExecutor, job: Job) -> Future[DecodedImage]:
        path, view = job
        if view is None:
            return executor.submit(decode_image, path, *self._arguments)
        return executor.submit(_decode_view, path, view, *self._arguments)

    def _result(self, waiting: deque[tuple[Job, Future[DecodedImage]]]) -> DecodedImage:
        job, future = waiting.popleft()
        try:
            return future.result()
        except BrokenProcessPool:
            return self._recover(job, waiting)

    def _recover(self, job: Job, waiting: deque[tuple[Job, Future[DecodedImage]]]) -> DecodedImage:
        """Decode an image alone: if that ends its process again, the image is to blame."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        with self._start(1) as alone:
            _check_alive(alone)
            try:
                decoded = self._start_job(alone, job).result()
            except BrokenProcessPool:
                decoded = DecodedImage("decode_error", "ends the decoder's process; fetch it again")
        self._executor = self._start(self._num_workers)
        for position, (other, _) in enumerate(waiting):
            waiting[position] = (other, self._submit(other))
        return decoded

    def __enter__(self) -> "DecodePool":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


def _decode_view(
    path: Path, view: View, framing: Framing | None, max_megapixels: float
) -> DecodedImage:
    decoded = decode_image(path, framing, max_megapixels)
    if decoded.pixels is None:
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
    """Leave Ctrl-C to the parent, and do not outlive it when it is killed.

    Pillow's own pixel limit is lifted: `decode_image` checks the size before it decodes.
    """
    Image.MAX_IMAGE_PIXELS = None
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
