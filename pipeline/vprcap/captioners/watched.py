"""A captioner at work, and what is learnt about it: the batch that fits, how long a call takes.

Lives as long as its worker, from shard to shard.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from vprcap.captioners import (
    Captioner,
    Generated,
    OutOfMemory,
    Running,
    RunningCaptioner,
    Unavailable,
    row_seeds,
)
from vprcap.captioners.automatic_batch_size import AutomaticBatchSize
from vprcap.captioners.batch_size import BatchSize
from vprcap.captioners.watch import TIMEOUT_SECONDS, TimedOut, Watch
from vprcap.commit_protocol.attempts import Attempts
from vprcap.errors import DependencyError, Interrupted, InvalidError, first_line
from vprcap.images import DecodedImage

Result = TypeVar("Result")

# Failures one after the other that are the model's and not the images': at the start of a run
# few are enough to know.
_FIRST_FAILURES = 3
_MOST_FAILURES = 16


class WatchedCaptioner:
    """Calls a captioner so that no batch can stop the run."""

    def __init__(
        self,
        captioner: Captioner,
        batch_size: BatchSize | AutomaticBatchSize,
        timeout_seconds: float = TIMEOUT_SECONDS,
        load: Callable[[], None] = lambda: None,
    ) -> None:
        self.batch_size = batch_size
        self._captioner = captioner
        self._load = load
        self._watch = Watch(timeout_seconds)
        self._failed_in_a_row = 0
        self._succeeded = False

    @property
    def prompt(self) -> str:
        """What the model is told with every image."""
        return self._captioner.config.prompt

    def caption(
        self,
        image_ids: Sequence[str],
        pixels: Sequence[np.ndarray],
        attempts: Attempts,
        should_stop: Callable[[], bool],
        sha256s: Sequence[str | None] = (),
    ) -> list[Generated]:
        """Caption a batch.

        Raises:
            OutOfMemory: the batch is too large; the next one will be smaller.
            TimedOut: it took too long.
            Interrupted: asked to stop.
            DependencyError: whoever writes the captions was away for as long as a batch may take.
        """
        self._load()
        seeds = row_seeds(self._captioner.config, sha256s)
        self.batch_size.begin()
        written = self._call(
            lambda stop: self._captioner.caption(pixels, stop, seeds),
            image_ids,
            attempts,
            should_stop,
        )
        self.batch_size.succeeded(len(pixels))
        self._succeeded, self._failed_in_a_row = True, 0
        return written

    def running(self, attempts: Attempts) -> Running | None:
        """Start a running batch.

        None where the captioner has none, where the shard needs care, and while batches of several
        sizes are timed against each other.
        """
        if attempts.careful or not isinstance(self._captioner, RunningCaptioner):
            return None
        if not self.batch_size.is_settled:
            return None
        self._load()
        return self._captioner.running(self.batch_size.now)

    def advance(
        self,
        batch: Running,
        entering: Sequence[tuple[str, DecodedImage]],
        in_work: Sequence[str],
        attempts: Attempts,
        should_stop: Callable[[], bool],
    ) -> list[tuple[str, Generated]]:
        """Let images enter a running batch, and write until a caption ends.

        Args:
            batch: the running batch.
            entering: images with their names.
            in_work: names of all images in work, the new ones included.
            attempts: at the shard of these images.
            should_stop: asked between tokens.

        Raises:
            OutOfMemory: the batch is too large; the next one will be smaller.
            TimedOut: no caption ended for too long.
            Interrupted: asked to stop.
            DependencyError: whoever writes the captions was away for as long as a call may take.
        """
        names = [image_id for image_id, _ in entering]
        pixels = [image.pixels for _, image in entering if image.pixels is not None]
        seeds = row_seeds(self._captioner.config, [image.sha256 for _, image in entering])
        ended = self._call(
            lambda stop: batch.advance(names, pixels, seeds, stop), in_work, attempts, should_stop
        )
        if entering:
            self.batch_size.succeeded(len(in_work))
        self._succeeded, self._failed_in_a_row = True, 0
        return ended

    def _call(
        self,
        work: Callable[[Callable[[], bool]], Result],
        image_ids: Sequence[str],
        attempts: Attempts,
        should_stop: Callable[[], bool],
    ) -> Result:
        """Call the captioner; where a server is away, say so in the end."""
        allowed = self._watch.seconds
        try:
            return self._call_watched(work, image_ids, attempts, should_stop)
        except Unavailable as problem:
            if should_stop():
                raise Interrupted("stopped while a server was away") from None
            if problem.ended_at_work:
                attempts.note_death(image_ids)
            raise DependencyError(
                f"{first_line(problem)}, for {round(allowed, 1):g} s; every caption so far is "
                "kept: run the same command again when it works"
            ) from None

    def _call_watched(
        self,
        work: Callable[[Callable[[], bool]], Result],
        image_ids: Sequence[str],
        attempts: Attempts,
        should_stop: Callable[[], bool],
    ) -> Result:
        """Call the captioner under the watch's eyes, its images noted."""
        allowed = self._watch.seconds
        with (
            attempts.trying(image_ids),
            self._watch.over(lambda: attempts.note_hang(image_ids)) as late,
        ):
            try:
                return work(lambda: should_stop() or late())
            except OutOfMemory:
                # A running batch has let some in that wait for a row.
                self.batch_size.failed(min(len(image_ids), self.batch_size.now))
                raise
            except Interrupted:
                if should_stop() or not late():
                    raise
                raise TimedOut(f"no caption within {allowed:g} s") from None

    def note_failure(self, problem: Exception) -> None:
        """Stop where it is not an image's fault: a thousand such rows would help nobody.

        Raises:
            InvalidError: too many images failed one after the other.
        """
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= (_MOST_FAILURES if self._succeeded else _FIRST_FAILURES):
            raise InvalidError(
                f"the captioner fails on every image: {first_line(problem)}"
            ) from problem
