"""Training pictures of the tiny LLaVA, rendered once and kept in memory.

Each passes through the same JPEG and the same resizing as an image of a city folder, so the model
learns from what it will see. One view of each place: many places teach more than many views.
"""

import io
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vprcap.city.place import Place, city_places, pick
from vprcap.city.scene import render
from vprcap.city.view import CONDITIONS, View, random_view

PICTURE_SIZE = 160
DAY_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pixels with the place and condition of each; equal seeds give equal pictures."""

    pixels: UInt8[np.ndarray, "batch height width 3"]
    places: list[Place]
    conditions: list[str]


def render_pictures(seed: int, num_pictures: int) -> Pictures:
    """Render one view of each of `num_pictures` places, on all processors."""
    places = city_places(seed, num_pictures)
    rng = np.random.default_rng(seed)
    conditions = [_random_condition(rng) for _ in places]
    views = [random_view(condition, rng) for condition in conditions]
    pixels = np.empty((num_pictures, PICTURE_SIZE, PICTURE_SIZE, 3), np.uint8)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for row, picture in enumerate(pool.map(_picture, places, views, chunksize=64)):
            pixels[row] = picture
    return Pictures(pixels, places, conditions)


def _random_condition(rng: np.random.Generator) -> str:
    return "day" if rng.random() < DAY_SHARE else pick(CONDITIONS, rng)


def _picture(place: Place, view: View) -> UInt8[np.ndarray, "height width 3"]:
    stored = io.BytesIO()
    render(place, view).save(stored, "JPEG", quality=90)
    size = (PICTURE_SIZE, PICTURE_SIZE)
    return np.asarray(Image.open(stored).resize(size, Image.Resampling.BICUBIC))
