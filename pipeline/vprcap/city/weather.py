"""What the air does to a picture: haze, wet ground, drops, flakes and the grain of the sensor."""

import numpy as np
from PIL import Image, ImageDraw

from vprcap.city.light import Colour, Light

GRAIN = 3.0


def haze(image: Image.Image, colour: Colour, share: float) -> Image.Image:
    """Blend everything drawn so far with the haze; what is drawn later stands in front of it."""
    if share == 0:
        return image
    return Image.blend(image, Image.new("RGB", image.size, colour), share)


def reflect(image: Image.Image, horizon: int) -> None:
    """Mirror what stands above the horizon faintly in the wet ground below it."""
    ground = image.crop((0, horizon, image.width, image.height))
    above = image.crop((0, horizon - 2 * ground.height, image.width, horizon))
    mirrored = above.resize(ground.size).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    image.paste(Image.blend(ground, mirrored, 0.3), (0, horizon))


def fall(image: Image.Image, light: Light, rng: np.random.Generator) -> Image.Image:
    """Add streaks of rain or flakes of snow, then the grain that every camera adds."""
    draw = ImageDraw.Draw(image)
    if light.rain:
        for x, y in rng.integers(0, image.width, (70, 2)).tolist():
            draw.line((x, y, x - 3, y + 9), fill=(196, 204, 214))
    if light.snow:
        for x, y, r in rng.integers(0, (image.width, image.width, 2), (110, 3)).tolist():
            draw.ellipse((x, y, x + 1 + r, y + 1 + r), fill=(255, 255, 255))
    noise = rng.normal(0, GRAIN, (image.height, image.width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
