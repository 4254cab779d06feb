"""Training images as files: decoded, changed and encoded for every batch anew.

Workers decode and change the pictures (`vprcap.views`); the encoders, adapters in them, are part of
the learner's model, so that gradients reach the adapters. An image that is asked for as it is, for
fitting or validation, goes through the encoders in their present state.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from vprcap.decoding import DecodePool, Job, default_workers
from vprcap.errors import InvalidError
from vprcap.images import MAX_MEGAPIXELS
from vprcap.progress import Progress
from vprcap.training.adapted import AdaptedEncoders
from vprcap.training.config import TrainConfig
from vprcap.training.data import PhotoBatch, Tokens, check_places
from vprcap.training.drawing import Mix, Rows, draw_patches
from vprcap.views import View

logger = logging.getLogger(__name__)

READ_BLOCK, TEXT_BLOCK = 16, 64
"""Images, and captions, that are encoded at once when none is trained on."""
BATCHES_AHEAD = 2
"""Batches that workers prepare while the model is busy."""


@dataclass(frozen=True)
class Photographs:
    """Photographs whose places are known, row by row, and the encoders that they go through.

    Raises:
        InvalidError: a place has one image only.
    """

    paths: Sequence[Path]
    captions: Sequence[str | None]
    places: Int[np.ndarray, " images"]
    positions: Float[np.ndarray, "images 2"] | None
    traversals: Int[np.ndarray, " images"] | None
    encoders: AdaptedEncoders
    pool: DecodePool

    def __post_init__(self) -> None:
        check_places(self.places)

    @property
    def dims(self) -> tuple[int, int]:
        """Lengths of an image token and of a text token."""
        return self.encoders.image.dim, self.encoders.text.dim

    @torch.inference_mode()
    def read(self, rows: Rows) -> Tokens:
        """Encode photographs as they are, with the adapters as they are; float16 as if stored."""
        view = View(*self.encoders.image.image_size)
        pixels = self._shown(((int(row), view) for row in rows), ahead=3 * READ_BLOCK)
        image = [
            self.encoders.image.tokens(np.stack(block)).half().cpu().numpy()
            for block in iter(lambda: list(islice(pixels, READ_BLOCK)), [])
        ]
        return Tokens(np.concatenate(image), *self._texts([self.captions[row] for row in rows]))

    def _texts(self, captions: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
        """Encode captions some at a time, padded to the longest of all."""
        blocks = [
            self.encoders.text.encode(captions[start : start + TEXT_BLOCK])
            for start in range(0, len(captions), TEXT_BLOCK)
        ]
        length = max(mask.shape[1] for _, mask in blocks)
        tokens = [
            np.pad(text.astype(np.float16), ((0, 0), (0, length - text.shape[1]), (0, 0)))
            for text, _ in blocks
        ]
        masks = [np.pad(mask, ((0, 0), (0, length - mask.shape[1]))) for _, mask in blocks]
        return np.concatenate(tokens), np.concatenate(masks)

    def batches(
        self, mixes: Sequence[Mix], config: TrainConfig, device: torch.device
    ) -> Iterator[PhotoBatch]:
        """Give batch after batch; an image's changes follow from the batch's seed and its row."""
        height, width = self.encoders.image.image_size
        jobs = (
            (int(row), View(height, width, (*mix.seed, int(row))))
            for mix in mixes
            for row in mix.rows
        )
        ahead = BATCHES_AHEAD * max((len(mix.rows) for mix in mixes), default=0)
        pixels = self._shown(jobs, ahead)
        for mix in mixes:
            shown = np.stack(list(islice(pixels, len(mix.rows))))
            captions = [
                None if mute else self.captions[row]
                for row, mute in zip(mix.rows, mix.mute, strict=True)
            ]
            patches = draw_patches(
                len(mix.rows),
                self.encoders.image.num_tokens,
                config.patches_kept,
                np.random.default_rng((*mix.seed, 2)),
            )
            yield PhotoBatch(shown, patches, captions, mix)

    def _shown(
        self, jobs: Iterable[tuple[int, View]], ahead: int
    ) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        rows: list[int] = []

        def of_paths() -> Iterator[Job]:
            for row, view in jobs:
                rows.append(row)
                yield self.paths[row], view

        for number, image in enumerate(self.pool.show(of_paths(), max(1, ahead))):
            if image.pixels is None:
                raise InvalidError(
                    f"{self.paths[rows[number]]} can no longer be read ({image.error}); restore "
                    "it, then run the same command again"
                )
            yield image.pixels


def readable_rows(paths: Sequence[Path], pool: DecodePool) -> Rows:
    """Find the images that can be decoded: training counts on them."""
    tiny = View(1, 1)  # decoded in full, but hardly anything to carry home
    rows = []
    with Progress("looking at images", len(paths), "images") as progress:
        for row, image in enumerate(pool.show(((path, tiny) for path in paths), ahead=64)):
            rows += [row] if image.pixels is not None else []
            progress.advance()
    if len(rows) < len(paths):
        logger.warning("%d images cannot be decoded and are left out", len(paths) - len(rows))
    return np.array(rows, dtype=np.int64)


def open_pool() -> DecodePool:
    """Start the workers that decode photographs."""
    return DecodePool(default_workers(), None, MAX_MEGAPIXELS)
