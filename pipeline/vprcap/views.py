"""Training views of a photograph: cropped, recoloured, blurred; the same for the same seed.

Everything is Pillow and runs in decode workers. Two of the field's habits are left out. Nothing is
mirrored, because a mirrored street is another street; nothing is turned upside down or sheared,
because cameras on cars are not. What is drawn depends on the view's seed alone, so that neither
workers nor an interruption change what a network is shown.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

SMALLEST_CROP = 0.6
"""Share of the picture's area that a crop keeps at least."""
STRETCH = 1.15
"""How much wider or narrower than the picture a crop may be."""
NUM_CHANGES = 2
"""Changes of colour and sharpness that each view undergoes."""
STRENGTH = 0.5
"""A factor of a change lies between 1 - STRENGTH and 1 + STRENGTH."""
BLUR = 0.004
"""Largest radius of a blur over the picture's height."""

_Change = Callable[[Image.Image, float], Image.Image]


@dataclass(frozen=True, slots=True)
class View:
    """How a photograph is shown: its size in pixels, and the seed of its changes or None."""

    height: int
    width: int
    seed: tuple[int, ...] | None = None


def show(image: Image.Image, view: View) -> UInt8[np.ndarray, "height width 3"]:
    """Give the pixels of an RGB photograph as a view shows it; without a seed it is resized."""
    size = (view.width, view.height)
    if view.seed is None:
        return np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    rng = np.random.default_rng(view.seed)
    shown = image.resize(size, Image.Resampling.BICUBIC, box=_crop(image.size, rng))
    for change in rng.permutation(len(_CHANGES))[:NUM_CHANGES]:
        shown = _CHANGES[change](shown, rng.uniform(-1, 1))
    return np.asarray(shown)


def _crop(size: tuple[int, int], rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Draw the left, upper, right and lower edge of a part of the picture."""
    area, stretch = rng.uniform(SMALLEST_CROP, 1), STRETCH ** rng.uniform(-1, 1)
    width = size[0] * min(1.0, float(np.sqrt(area * stretch)))
    height = size[1] * min(1.0, float(np.sqrt(area / stretch)))
    left, top = rng.uniform(0, size[0] - width), rng.uniform(0, size[1] - height)
    return left, top, left + width, top + height


def _enhanced(enhancer: Callable[[Image.Image], ImageEnhance._Enhance]) -> _Change:
    def change(image: Image.Image, amount: float) -> Image.Image:
        return enhancer(image).enhance(1 + STRENGTH * amount)

    return change


def _blurred(image: Image.Image, amount: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(abs(amount) * BLUR * image.height))


def _equalised(image: Image.Image, amount: float) -> Image.Image:
    return Image.blend(image, ImageOps.autocontrast(image), abs(amount))


def _warmed(image: Image.Image, amount: float) -> Image.Image:
    """Shift between blue and yellow light."""
    red, green, blue = image.split()
    gain = 1 + 0.2 * amount
    warm = red.point(lambda value: value * gain)
    cold = blue.point(lambda value: value / gain)
    return Image.merge("RGB", (warm, green, cold))


_CHANGES: tuple[_Change, ...] = (
    _enhanced(ImageEnhance.Color),
    _enhanced(ImageEnhance.Brightness),
    _enhanced(ImageEnhance.Contrast),
    _enhanced(ImageEnhance.Sharpness),
    _blurred,
    _equalised,
    _warmed,
)
