"""From decoded images to rows, batch by batch; one bad image never stops or poisons its batch.

Images that could not be decoded become rows at once. The others enter a running batch where the
captioner has one, and are gathered into batches where not, or where a running batch has failed. A
batch that does not fit into memory is tried again in smaller ones; a batch that fails or times out
is tried image by image, so the one at fault gets the blame and the rest captions.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from vprcap.caption_sets.qa import flags_of
from vprcap.caption_sets.reuse import Reuse
from vprcap.captioners import Generated, OutOfMemory
from vprcap.captioners.running_rows import Item, RunningRows
from vprcap.captioners.watch import TimedOut
from vprcap.captioners.watched import WatchedCaptioner
from vprcap.commit_protocol.attempts import Attempts
from vprcap.errors import VprcapError, first_line
from vprcap.images import DecodedImage

Row = dict[str, Any]


class RowWriter:
    """Captions the decoded images of one shard."""

    def __init__(
        self,
        captioner: WatchedCaptioner,
        attempts: Attempts,
        should_stop: Callable[[], bool],
        reuse: Reuse,
    ) -> None:
        self._captioner = captioner
        self._attempts = attempts
        self._should_stop = should_stop
        self._reuse = reuse
        self._running: RunningRows | None = None

    def rows(self, images: Iterable[Item]) -> Iterator[list[Row]]:
        """Yield finished rows, about a batch at a time, in any order.

        Raises:
            Interrupted: asked to stop; the images of the running batch have no row.
        """
        batch: list[Item] = []
        size = 0
        for image_id, image in images:
            if image.status != "ok":
                yield [_row(image_id, image)]
                continue
            if (copied := self._reuse.row(image_id, image)) is not None:
                yield [copied]
                continue
            size = size or self._start()
            batch.append((image_id, image))
            if len(batch) >= size:
                yield from self._take(batch)
                batch, size = [], self._wanted
        if batch:
            yield from self._take(batch)
        while self._running is not None and self._running.items:
            yield from self._advance([])

    def _start(self) -> int:
        """Start a running batch, where there can be one; return how many images go first."""
        batch = self._captioner.running(self._attempts)
        if batch is not None:
            self._running = RunningRows(self._captioner, batch, self._attempts, self._should_stop)
        return self._wanted

    @property
    def _wanted(self) -> int:
        running = self._running
        return self._captioner.batch_size.now if running is None else running.wanted

    def _take(self, batch: Sequence[Item]) -> Iterator[list[Row]]:
        """Caption a batch, or let it enter the running one until that takes more."""
        if self._running is None:
            yield from self._caption(batch)
            return
        yield from self._advance(batch)
        while self._running is not None and not self._running.wanted:
            yield from self._advance([])

    def _advance(self, entering: Sequence[Item]) -> Iterator[list[Row]]:
        """Write until captions of the running batch end.

        Where it fails, its images go batch by batch: there each error finds its image. So do all
        that follow where it was too large or too late: there a size is found that fits.
        """
        assert self._running is not None
        try:
            ended = self._running.advance(entering)
        except VprcapError:
            raise
        except (OutOfMemory, TimedOut):
            goes_on = False
        except Exception:  # noqa: BLE001 - whatever a model raises on an image
            goes_on = True
        else:
            rows = [self._made(*each) for each in ended]
            self._reuse.remember(rows)
            yield rows
            return
        left = self._running.items
        self._running = None
        yield from self._caption(left)
        if goes_on:
            self._start()

    def _caption(self, batch: Sequence[Item]) -> Iterator[list[Row]]:
        """Caption a batch in as many pieces as memory asks for."""
        done = 0
        while done < len(batch):
            part = batch[done : done + self._captioner.batch_size.now]
            rows = self._try(part)
            if rows is not None:
                self._reuse.remember(rows)
                yield rows
                done += len(part)

    def _try(self, part: Sequence[Item]) -> list[Row] | None:
        """Caption a piece; None if it must be smaller.

        What is retried is retried behind the handlers: an error holds the frames, and with them
        the memory, of the call that it ended.
        """
        begun = time.perf_counter()
        try:
            written = self._write(part)
        except OutOfMemory:
            if len(part) > 1:
                return None
        except VprcapError:
            raise
        except TimedOut as problem:
            if len(part) == 1:
                return self._give_up(part[0], problem)
        except Exception:  # noqa: BLE001 - whatever a model raises on an image
            pass
        else:
            seconds = (time.perf_counter() - begun) / len(part)
            done = zip(part, written, strict=True)
            return [self._made(item, each, seconds) for item, each in done]
        return [row for item in part for row in self._caption_alone(item)]

    def _write(self, batch: Sequence[Item]) -> list[Generated]:
        image_ids = [image_id for image_id, _ in batch]
        pixels = [image.pixels for _, image in batch if image.pixels is not None]
        sha256s = [image.sha256 for _, image in batch]
        return self._captioner.caption(
            image_ids, pixels, self._attempts, self._should_stop, sha256s
        )

    def _caption_alone(self, item: Item) -> list[Row]:
        begun = time.perf_counter()
        try:
            written = self._write([item])[0]
        except VprcapError:
            raise
        except Exception as problem:  # noqa: BLE001
            return self._give_up(item, problem)
        return [self._made(item, written, time.perf_counter() - begun)]

    def _made(self, item: Item, written: Generated, seconds: float) -> Row:
        """Build the row of a caption; its flags are found here, once."""
        flags = flags_of(written.text, written.finish_reason, self._captioner.prompt)
        return _row(*item) | {
            "caption": written.text,
            "status": written.status,
            "finish_reason": written.finish_reason,
            "num_prompt_tokens": written.num_prompt_tokens,
            "num_output_tokens": written.num_output_tokens,
            "qa_flags": flags,
            "seconds": seconds,
        }

    def _give_up(self, item: Item, problem: Exception) -> list[Row]:
        self._captioner.note_failure(problem)
        return [_failed(item, problem)]


def convict(item: Item, status: str) -> Row:
    """Build the row of an image that has ended its workers: it is not tried again."""
    error = {
        "poison": "ended its worker, alone in its batch, more than once",
        "timeout": "alone in its batch, the model did not return from it",
    }[status]
    image_id, image = item
    row = _row(image_id, image)
    return row if image.status != "ok" else row | {"status": status, "error": error}


def _row(image_id: str, image: DecodedImage) -> Row:
    """Build the row of an image that has no caption."""
    return {
        "image_id": image_id,
        "image_sha256": image.sha256,
        "caption": None,
        "status": image.status,
        "error": image.error,
        "qa_flags": [],
        "image_width": image.width,
        "image_height": image.height,
        "seconds": None,
    }


def _failed(item: Item, problem: Exception) -> Row:
    match problem:
        case OutOfMemory():
            status = "oom"
        case TimedOut():
            status = "timeout"
        case _:
            status = "model_error"
    return _row(*item) | {"status": status, "error": first_line(problem)}
