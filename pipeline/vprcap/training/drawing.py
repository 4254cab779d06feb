"""How batches are drawn: which images, whose captions, which patches.

What a batch holds follows from seed, epoch and its number alone, never from what was drawn before:
that is why an interrupted training goes on exactly where it was, and why workers and processes
change nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from vprcap.training.config import TrainConfig

Rows = Int[np.ndarray, " _"]


@dataclass(frozen=True)
class Mix:
    """How a batch is made harder: some captions hidden, some images shown with another's."""

    rows: Rows
    """Images of the training set, the batch."""
    places: Int[np.ndarray, " batch"]
    mute: Bool[np.ndarray, " batch"]
    """Which of them show no caption."""
    doubted: Rows
    """Some images of the batch ..."""
    strangers: Rows
    """... and for each of them an image of another place, to lend it a caption."""
    seed: tuple[int, ...]
    """For what else is drawn for this batch."""


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


def share(count: int, processes: int, mine: int) -> list[int]:
    """Give one process its numbers of so many batches; some come twice so that all have alike."""
    turns = -(-count // processes)
    return [(turn * processes + mine) % count for turn in range(turns)]


def mix_captions(
    places: Int[np.ndarray, " batch"], rows: Rows, config: TrainConfig, seed: tuple[int, ...]
) -> Mix:
    """Draw which captions of a batch are hidden, and which images are doubted with another's."""
    rng = np.random.default_rng((*seed, 1))
    doubted = np.flatnonzero(rng.random(len(rows)) < config.wrong_captions)
    strangers = other_places(places, rng)[doubted]
    mute = rng.random(len(rows)) < config.caption_dropout
    return Mix(rows, places, mute, doubted, strangers, seed)


def draw_patches(
    batch: int, num_tokens: int, kept: float, rng: np.random.Generator
) -> Int[np.ndarray, "batch _"]:
    """Draw for each image the tokens that are kept, the class token among them."""
    num_kept = max(1, round(kept * (num_tokens - 1)))
    patches = rng.random((batch, num_tokens - 1)).argsort(axis=1)[:, :num_kept] + 1
    return np.concatenate([np.zeros((batch, 1), dtype=np.int64), patches], axis=1)


def other_places(
    places: Int[np.ndarray, " batch"], rng: np.random.Generator
) -> Int[np.ndarray, " batch"]:
    """For each row of a batch draw a row of another place."""
    chance = rng.random((len(places), len(places))) * (places[:, None] != places[None])
    return np.asarray(chance.argmax(axis=1))
