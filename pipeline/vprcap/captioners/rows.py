"""From decoded images to rows, batch by batch; one bad image never stops or poisons its batch.

Images that could not be decoded become rows at once. The others are gathered into batches. A
batch that does not fit into memory is halved and the smaller size kept; a batch that fails for
another reason is tried image by image, so the one at fault gets the blame and the rest captions.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from vprcap.captioners import Captioner, Generated, OutOfMemory
from vprcap.errors import InvalidError, VprcapError, first_line
from vprcap.images import DecodedImage

# Failures one after the other that are the model's and not the images': at the start of a run
# few are enough to know.
_FIRST_FAILURES = 3
_MOST_FAILURES = 16

Row = dict[str, Any]
Item = tuple[str, DecodedImage]


class RowWriter:
    """Captions decoded images with one captioner; remembers the batch size that fits."""

    def __init__(
        self, captioner: Captioner, batch_size: int, should_stop: Callable[[], bool]
    ) -> None:
        self._captioner = captioner
        self.batch_size = batch_size
        self._should_stop = should_stop
        self._failed_in_a_row = 0
        self._succeeded = False

    def rows(self, images: Iterable[Item]) -> Iterator[list[Row]]:
        """Yield finished rows, about a batch at a time, in any order.

        Raises:
            Interrupted: asked to stop; the images of the running batch have no row.
        """
        batch: list[Item] = []
        for image_id, image in images:
            if image.status != "ok":
                yield [_row(image_id, image)]
                continue
            batch.append((image_id, image))
            if len(batch) >= self.batch_size:
                yield from self._caption(batch)
                batch = []
        yield from self._caption(batch)

    def _caption(self, batch: Sequence[Item]) -> Iterator[list[Row]]:
        for start in range(0, len(batch), size := max(1, min(self.batch_size, len(batch)))):
            part = batch[start : start + size]
            begun = time.perf_counter()
            try:
                written = self._write(part)
            except OutOfMemory as problem:
                yield from self._caption_smaller(part, problem)
                continue
            except VprcapError:
                raise
            except Exception:  # noqa: BLE001 - whatever a model raises on an image
                yield self._caption_singly(part)
                continue
            seconds = (time.perf_counter() - begun) / len(part)
            yield [_row(*item, done, seconds) for item, done in zip(part, written, strict=True)]

    def _write(self, batch: Sequence[Item]) -> list[Generated]:
        pixels = [image.pixels for _, image in batch if image.pixels is not None]
        written = self._captioner.caption(pixels, self._should_stop)
        self._succeeded, self._failed_in_a_row = True, 0
        return written

    def _caption_smaller(self, batch: Sequence[Item], problem: OutOfMemory) -> Iterator[list[Row]]:
        if len(batch) == 1:
            yield [_failed(batch[0], "oom", problem)]
            return
        self.batch_size = len(batch) // 2
        yield from self._caption(batch)

    def _caption_singly(self, batch: Sequence[Item]) -> list[Row]:
        rows = []
        for item in batch:
            try:
                rows.append(_row(*item, self._write([item])[0]))
            except VprcapError:
                raise
            except Exception as problem:  # noqa: BLE001
                self._note_failure(problem)
                rows.append(_failed(item, "model_error", problem))
        return rows

    def _note_failure(self, problem: Exception) -> None:
        """Stop where it is not an image's fault: a thousand such rows would help nobody."""
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= (_MOST_FAILURES if self._succeeded else _FIRST_FAILURES):
            raise InvalidError(
                f"the captioner fails on every image: {first_line(problem)}"
            ) from problem


def _row(
    image_id: str,
    image: DecodedImage,
    written: Generated | None = None,
    seconds: float | None = None,
) -> Row:
    """Build a row; without `written`, of an image that could not be captioned."""
    row: Row = {
        "image_id": image_id,
        "image_sha256": image.sha256,
        "caption": None,
        "status": image.status,
        "error": image.error,
        "qa_flags": [],
        "image_width": image.width,
        "image_height": image.height,
        "seconds": seconds,
    }
    if written is not None:
        row |= {
            "caption": written.text,
            "status": written.status,
            "finish_reason": written.finish_reason,
            "num_prompt_tokens": written.num_prompt_tokens,
            "num_output_tokens": written.num_output_tokens,
            "qa_flags": _flags(written),
        }
    return row


def _failed(item: Item, status: str, problem: Exception) -> Row:
    return _row(*item) | {"status": status, "error": first_line(problem)}


def _flags(written: Generated) -> list[str]:
    """Quality flags that need no second pass."""
    flags = ["length"] if written.finish_reason == "length" else []
    return flags if written.text else [*flags, "empty"]
