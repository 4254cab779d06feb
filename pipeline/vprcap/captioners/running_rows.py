"""The images of a shard in a running batch: which are in work, and what each one costs.

A step of the model serves all rows in work alike, so each bears its share of the time; the seconds
of all captions add up to those of the model.
"""

import time
from collections.abc import Callable, Sequence

from vprcap.captioners import Generated, Running
from vprcap.captioners.watched import WatchedCaptioner
from vprcap.commit_protocol.attempts import Attempts
from vprcap.images import DecodedImage

Item = tuple[str, DecodedImage]


class RunningRows:
    """Images that enter a running batch, and leave it with their captions."""

    def __init__(
        self,
        captioner: WatchedCaptioner,
        batch: Running,
        attempts: Attempts,
        should_stop: Callable[[], bool],
    ) -> None:
        self._captioner, self._batch = captioner, batch
        self._attempts, self._should_stop = attempts, should_stop
        self._in_work: dict[str, tuple[Item, float]] = {}
        self._share = 0.0
        """Seconds that an image has cost which was in work from the start."""

    @property
    def wanted(self) -> int:
        """How many images may enter now; 0: first, captions must end."""
        return self._batch.wanted

    @property
    def items(self) -> list[Item]:
        """Images in work, those that were entering when an error ended the batch included."""
        return [item for item, _ in self._in_work.values()]

    def advance(self, entering: Sequence[Item]) -> list[tuple[Item, Generated, float]]:
        """Let images enter and write until captions end; return these with their seconds.

        Raises:
            OutOfMemory: the batch is lost, and so it is with any other error.
            TimedOut: no caption ended for too long.
            Interrupted: asked to stop.
        """
        self._in_work |= {item[0]: (item, self._share) for item in entering}
        begun = time.perf_counter()
        ended = self._captioner.advance(
            self._batch, entering, list(self._in_work), self._attempts, self._should_stop
        )
        self._share += (time.perf_counter() - begun) / max(1, len(self._in_work))
        done = []
        for image_id, written in ended:
            item, share = self._in_work.pop(image_id)
            done.append((item, written, self._share - share))
        return done
