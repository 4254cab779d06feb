"""Toy descriptors: captions tell places apart at every second place and say nothing elsewhere."""

from collections.abc import Callable, Iterator
from functools import cache

import jaxtyping
import numpy as np
import pytest

from vprcap.late_fusion import LateFusion, Pair, fit_late_fusion

DIMS, CODE, VIEWS = (24, 20), 12, 4
Toy = tuple[Pair, np.ndarray]


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def zeroed(pairs: Pair, has_image: np.ndarray, has_text: np.ndarray) -> Pair:
    return Pair(
        pairs.image * has_image[:, None].astype(np.float32),
        pairs.text * has_text[:, None].astype(np.float32),
        has_image,
        has_text,
    )


def toy(num_places: int, seed: int, missing: float = 0.0) -> Toy:
    """Images are noisy views of a place's code, and show if the place (an even one) has captions
    that are views of the code too; the other captions are noise. All captions sound alike."""
    world = np.random.default_rng(99)
    to_image, to_text = (world.standard_normal((CODE, dim)) / CODE**0.5 for dim in DIMS)
    mark, common = (world.standard_normal(dim) for dim in DIMS)
    rng = np.random.default_rng(seed)
    places = np.repeat(np.arange(num_places), VIEWS)
    codes = rng.standard_normal((num_places, CODE))[places]
    well = (places % 2 == 0)[:, None]
    image = codes @ to_image + np.where(well, 1, -1) * mark
    said = np.where(well, codes, rng.standard_normal(codes.shape))
    text = said @ to_text + common
    image += 0.9 * rng.standard_normal(image.shape)
    text += 0.3 * rng.standard_normal(text.shape)
    everything = np.ones(len(places), dtype=bool)
    pairs = Pair(unit(image), unit(text), everything, everything)
    return zeroed(pairs, everything, rng.random(len(places)) >= missing), places


@pytest.fixture(scope="session")
def make_toy() -> Callable[..., Toy]:
    return toy


@pytest.fixture(scope="session")
def fitted() -> Callable[[str], LateFusion]:
    """Each kind, fitted once on eighty places, some captions missing."""
    return cache(lambda name: fit_late_fusion(name, *toy(80, seed=1, missing=0.1)))


@pytest.fixture(scope="session")
def gaps() -> Pair:
    """Other images: 0 to 7 are complete, 8 to 11 lack the text, 12 and 13 the image, 14 both."""
    rows = np.arange(15)
    pairs = toy(4, seed=3)[0].take(rows)
    return zeroed(pairs, rows < 12, (rows < 8) | (rows == 12) | (rows == 13))


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """As a user runs it: shapes in annotations are not checked, so our own checks must speak."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
