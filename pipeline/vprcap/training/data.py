"""Training images with known places, and the batches that they give."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from vprcap.errors import InvalidError
from vprcap.training.adapted import AdaptedEncoders
from vprcap.training.config import TrainConfig
from vprcap.training.drawing import Mix, Rows, draw_patches

MAX_HELD_PLACES = 1000
"""More would not make validation recall noticeably more certain."""


class Tokens(NamedTuple):
    """What encoders give for some images and their captions."""

    image: Shaped[np.ndarray, "images tokens image_dim"]
    """Class token, then patches."""
    text: Shaped[np.ndarray, "images length text_dim"]
    """Word pieces of each caption."""
    mask: Bool[np.ndarray, "images length"]
    """True where a word piece is; an all-false row has no caption."""


@dataclass(frozen=True)
class Batch:
    """Images of a few places, as the combiner sees them."""

    image: Float[Tensor, "batch tokens image_dim"]
    text: Float[Tensor, "batch length text_dim"]
    mask: Bool[Tensor, "batch length"]
    doubted: Int[Tensor, " pairs"]
    """Some images of the batch ..."""
    strangers: Int[Tensor, " pairs"]
    """... and for each of them an image of another place, which has a caption."""
    places: Int[Tensor, " batch"]
    positions: Float[Tensor, "batch 2"] | None


@dataclass(frozen=True)
class PhotoBatch:
    """Photographs of a few places and their captions, before the encoders."""

    pixels: UInt8[np.ndarray, "batch height width 3"]
    shown: Int[np.ndarray, "batch shown"]
    """Which tokens of each are looked at."""
    captions: list[str | None]
    mix: Mix


@runtime_checkable
class TrainingImages(Protocol):
    """Images with known places that can be asked for their tokens: stored, or made on the spot."""

    @property
    def places(self) -> Int[np.ndarray, " images"]:
        """Equal numbers show one place."""
        ...

    @property
    def positions(self) -> Float[np.ndarray, "images 2"] | None:
        """Easting and northing in metres."""
        ...

    @property
    def traversals(self) -> Int[np.ndarray, " images"] | None:
        """Equal numbers are one drive."""
        ...

    @property
    def dims(self) -> tuple[int, int]:
        """Lengths of an image token and of a text token."""
        ...

    def read(self, rows: Rows) -> Tokens:
        """Give the tokens of some images as they are, for fitting and validation."""
        ...

    @property
    def encoders(self) -> AdaptedEncoders | None:
        """Encoders that are trained too; None where tokens are stored."""
        ...

    def batches(
        self, mixes: Sequence[Mix], config: TrainConfig, device: torch.device
    ) -> Iterator["Batch | PhotoBatch"]:
        """Give what the objective turns into losses, batch by batch."""
        ...


@dataclass(frozen=True)
class TrainingSet:
    """Stored features of images whose places are known, row by row; arrays may be mapped.

    Raises:
        InvalidError: arrays differ in their number of images, or a place has one image only.
    """

    image_tokens: Shaped[np.ndarray, "images tokens image_dim"]
    """Class token, then patches."""
    text_tokens: Shaped[np.ndarray, "images length text_dim"]
    """Word pieces of each caption."""
    text_mask: Bool[np.ndarray, "images length"]
    """True where a word piece is; an all-false row has no caption."""
    places: Int[np.ndarray, " images"]
    """Equal numbers show one place."""
    positions: Float[np.ndarray, "images 2"] | None = None
    """Easting and northing in metres."""
    traversals: Int[np.ndarray, " images"] | None = None
    """Equal numbers are one drive: in validation an image is not looked for in its own drive."""

    def __post_init__(self) -> None:
        counts = {name: len(array) for name, array in vars(self).items() if array is not None}
        if len(set(counts.values())) > 1:
            raise InvalidError(f"training arrays differ in their number of images: {counts}")
        check_places(self.places)

    @property
    def dims(self) -> tuple[int, int]:
        """Lengths of an image token and of a text token."""
        return self.image_tokens.shape[2], self.text_tokens.shape[2]

    @property
    def encoders(self) -> None:
        """None: these tokens are what they are."""

    def read(self, rows: Rows) -> Tokens:
        """Give the tokens of some images as they are stored."""
        return Tokens(self.image_tokens[rows], self.text_tokens[rows], self.text_mask[rows])

    def batches(
        self, mixes: Sequence[Mix], config: TrainConfig, device: torch.device
    ) -> Iterator[Batch]:
        """Read batch after batch."""
        return (read_batch(self, mix, config, device) for mix in mixes)


def split_places(data: TrainingImages, config: TrainConfig) -> tuple[list[Rows], Rows]:
    """Give the rows of each training place, and the rows of the places held out.

    With positions the held-out places are one district, those nearest to a random place: chosen
    singly they would be neighbours of training places and show the same streets.
    """
    rng = np.random.default_rng(config.seed)
    names, first = np.unique(data.places, return_index=True)
    num_held = min(max(2, round(config.validation_share * len(names))), len(names) - 2)
    order = rng.permutation(len(names))
    if data.positions is not None:
        centre = data.positions[first[order[0]]]
        order = np.linalg.norm(data.positions[first] - centre, axis=1).argsort(kind="stable")
    held = np.isin(data.places, names[order[: min(num_held, MAX_HELD_PLACES)]])
    train_names = names[order[num_held:]]
    by_place = np.argsort(data.places, kind="stable")
    edges = np.searchsorted(data.places[by_place], train_names)
    ends = np.searchsorted(data.places[by_place], train_names, side="right")
    rows_of = [by_place[start:end] for start, end in zip(edges, ends, strict=True)]
    return rows_of, held.nonzero()[0]


def read_batch(data: TrainingSet, mix: Mix, config: TrainConfig, device: torch.device) -> Batch:
    """Read a batch; hide some patches and some captions."""
    rng = np.random.default_rng((*mix.seed, 2))
    image = some_patches(data.image_tokens[mix.rows], config.patches_kept, rng)
    mask = data.text_mask[mix.rows] & ~mix.mute[:, None]
    length = int(np.flatnonzero(mask.any(axis=0)).max(initial=0)) + 1  # the rest pads every row
    text = data.text_tokens[mix.rows][:, :length]
    return make_batch(
        data,
        mix,
        torch.from_numpy(image.astype(np.float32)).to(device),
        torch.from_numpy(text.astype(np.float32)).to(device),
        torch.from_numpy(mask[:, :length]).to(device),
    )


def make_batch(
    data: TrainingImages,
    mix: Mix,
    image: Float[Tensor, "batch tokens image_dim"],
    text: Float[Tensor, "batch length text_dim"],
    mask: Bool[Tensor, "batch length"],
) -> Batch:
    """Put the tokens of a mix together with what is known about its images."""
    strangers = torch.from_numpy(mix.strangers).to(mask.device)
    lent = mask[strangers].any(dim=1)  # a stranger without a caption has none to lend
    positions = None if data.positions is None else torch.from_numpy(data.positions[mix.rows])
    return Batch(
        image=image,
        text=text,
        mask=mask,
        doubted=torch.from_numpy(mix.doubted).to(mask.device)[lent],
        strangers=strangers[lent],
        places=torch.from_numpy(mix.places).to(mask.device),
        positions=None if positions is None else positions.to(mask.device),
    )


def check_places(places: Int[np.ndarray, " images"]) -> None:
    """Refuse places that nothing can be learned from."""
    names, sizes = np.unique(places, return_counts=True)
    if len(single := names[sizes < 2]):
        raise InvalidError(
            f"{len(single)} places have one image only, which teaches nothing: "
            f"{', '.join(map(str, single[:5]))}; leave them out"
        )
    if len(names) < 4:
        raise InvalidError(f"{len(names)} places are too few: 2 to train and 2 to validate")


def some_patches(
    image: Shaped[np.ndarray, "batch tokens image_dim"], kept: float, rng: np.random.Generator
) -> Shaped[np.ndarray, "batch _ image_dim"]:
    """Keep the class token and a random share of the patches of each image."""
    shown = draw_patches(len(image), image.shape[1], kept, rng)
    return np.take_along_axis(image, shown[..., None], axis=1)
