"""Training images, and how batches are drawn from them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from vprcap.errors import InvalidError
from vprcap.training.config import TrainConfig

MAX_HELD_PLACES = 1000
"""More would not make validation recall noticeably more certain."""

Rows = Int[np.ndarray, " _"]


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
        names, sizes = np.unique(self.places, return_counts=True)
        if len(single := names[sizes < 2]):
            raise InvalidError(
                f"{len(single)} places have one image only, which teaches nothing: "
                f"{', '.join(map(str, single[:5]))}; leave them out"
            )
        if len(names) < 4:
            raise InvalidError(f"{len(names)} places are too few: 2 to train and 2 to validate")


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


def split_places(data: TrainingSet, config: TrainConfig) -> tuple[list[Rows], Rows]:
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


def draw_batches(rows_of: list[Rows], config: TrainConfig, epoch: int) -> Iterator[Rows]:
    """Go through all places in random order, some images of each."""
    rng = np.random.default_rng((config.seed, epoch))
    order = rng.permutation(len(rows_of))
    # A last batch of one place would have nothing to tell it from.
    for start in range(0, len(order) - 1, config.places_per_batch):
        chosen = order[start : start + config.places_per_batch]
        yield np.concatenate(
            [np.resize(rng.permutation(rows_of[each]), config.images_per_place) for each in chosen]
        )


def read_batch(
    data: TrainingSet,
    rows: Rows,
    config: TrainConfig,
    rng: np.random.Generator,
    device: torch.device,
) -> Batch:
    """Read a batch; drop some patches and some captions."""
    places = data.places[rows]
    image = _some_patches(data.image_tokens[rows], config.patches_kept, rng)
    mask = data.text_mask[rows]
    mask[rng.random(len(rows)) < config.caption_dropout] = False
    length = int(np.flatnonzero(mask.any(axis=0)).max(initial=0)) + 1  # the rest pads every row
    text = data.text_tokens[rows][:, :length].astype(np.float32)
    doubted = np.flatnonzero(rng.random(len(rows)) < config.wrong_captions)
    strangers = other_places(places, rng)[doubted]
    captioned = mask[strangers].any(axis=1)
    return Batch(
        image=torch.from_numpy(image).to(device),
        text=torch.from_numpy(text).to(device),
        mask=torch.from_numpy(mask[:, :length]).to(device),
        doubted=torch.from_numpy(doubted[captioned]).to(device),
        strangers=torch.from_numpy(strangers[captioned]).to(device),
        places=torch.from_numpy(places).to(device),
        positions=(
            None if data.positions is None else torch.from_numpy(data.positions[rows]).to(device)
        ),
    )


def _some_patches(
    image: Shaped[np.ndarray, "batch tokens image_dim"], kept: float, rng: np.random.Generator
) -> Float[np.ndarray, "batch _ image_dim"]:
    """Keep the class token and a random share of the patches of each image."""
    batch, num_tokens, _ = image.shape
    num_kept = max(1, round(kept * (num_tokens - 1)))
    patches = rng.random((batch, num_tokens - 1)).argsort(axis=1)[:, :num_kept] + 1
    shown = np.concatenate([np.zeros((batch, 1), dtype=np.int64), patches], axis=1)
    return np.take_along_axis(image, shown[..., None], axis=1).astype(np.float32)


def other_places(
    places: Int[np.ndarray, " batch"], rng: np.random.Generator
) -> Int[np.ndarray, " batch"]:
    """For each row of a batch draw a row of another place."""
    chance = rng.random((len(places), len(places))) * (places[:, None] != places[None])
    return np.asarray(chance.argmax(axis=1))
