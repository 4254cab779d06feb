"""A facade, drawn flat and to scale, to be hung on a wall of the street.

Bricks, blocks, beams and letters are larger than life: after the warp to a 160 pixel picture each
must still be about three pixels, or no model could name what the caption names.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vprcap.city.camera import Point
from vprcap.city.light import Colour, Light
from vprcap.city.place import Facade

WIDTH, HEIGHT = 176, 312
WALL_HEIGHT_M = 21.0

GROUND_FLOOR, UPPER_FLOOR = 78, 52
ROOF_HEIGHT = 62
JOINT = 4
BOARD = (6, HEIGHT - 80, WIDTH - 7, HEIGHT - 42)

WALLS: dict[str, Colour] = {
    "red": (196, 66, 58),
    "orange": (238, 140, 52),
    "yellow": (246, 214, 92),
    "green": (98, 168, 98),
    "blue": (82, 138, 206),
    "purple": (150, 96, 178),
    "white": (242, 240, 234),
}
TRIM: Colour = (250, 248, 240)
GLASS: Colour = (44, 58, 84)
LAMPLIGHT: Colour = (255, 214, 120)
BEAM: Colour = (74, 48, 34)
SLATE: Colour = (70, 74, 88)
COPPER: Colour = (88, 160, 142)
NAVY: Colour = (28, 36, 62)
SNOW: Colour = (250, 252, 255)


class Course(NamedTuple):
    """How blocks are laid: pixels, brightness of the joints, how much the blocks' shades differ."""

    height: int
    width: int
    joint: float
    contrast: float


BRICK = Course(height=13, width=29, joint=0.58, contrast=0.08)
STONE = Course(height=29, width=50, joint=1.25, contrast=0.45)


def draw_facade(facade: Facade, light: Light, rng: np.random.Generator) -> Image.Image:
    """Return the facade as RGBA of WIDTH x HEIGHT pixels, ground at the bottom, sky clear."""
    image = Image.new("RGBA", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(image)
    top = HEIGHT - GROUND_FLOOR - UPPER_FLOOR * (facade.floors - 1)
    _draw_roof(draw, facade, light, top)
    _draw_wall(draw, facade, light, top, rng)
    for floor in range(1, facade.floors):
        _draw_floor(draw, facade.windows, light, HEIGHT - GROUND_FLOOR - UPPER_FLOOR * floor, rng)
    _draw_ground_floor(image, draw, facade.sign, light, rng)
    return image


def _draw_wall(
    draw: ImageDraw.ImageDraw, facade: Facade, light: Light, top: int, rng: np.random.Generator
) -> None:
    colour = WALLS[facade.colour]
    draw.rectangle((0, top, WIDTH, HEIGHT), fill=light.shade(colour))
    match facade.material:
        case "brick":
            _draw_courses(draw, light, top, BRICK, colour, rng)
        case "stone":
            _draw_courses(draw, light, top, STONE, colour, rng)
        case "timber":
            _draw_beams(draw, light, top)


def _draw_courses(
    draw: ImageDraw.ImageDraw,
    light: Light,
    top: int,
    course: Course,
    colour: Colour,
    rng: np.random.Generator,
) -> None:
    draw.rectangle((0, top, WIDTH, HEIGHT), fill=light.shade(_scaled(colour, course.joint)))
    for row, low in enumerate(range(HEIGHT, top + JOINT, -course.height)):
        for x in range(-(row % 2) * course.width // 2, WIDTH, course.width):
            shade = light.shade(_scaled(colour, 1 - course.contrast * rng.random()))
            high = max(top, low - course.height)
            draw.rectangle((x, high, x + course.width - JOINT, low - JOINT), fill=shade)


def _draw_beams(draw: ImageDraw.ImageDraw, light: Light, top: int) -> None:
    beam = light.shade(BEAM)
    bays = [round(WIDTH * share) for share in (0, 1 / 3, 2 / 3, 1)]
    for low in range(HEIGHT - GROUND_FLOOR, top, -UPPER_FLOOR):
        high = low - UPPER_FLOOR
        for left, right in zip(bays, bays[1:], strict=False):
            draw.line((left, low, right, high), fill=beam, width=6)
            draw.line((left, high, right, low), fill=beam, width=6)
        draw.line((0, low, WIDTH, low), fill=beam, width=9)
    for x in (4, *bays[1:3], WIDTH - 4):
        draw.line((x, top, x, HEIGHT), fill=beam, width=8)
    draw.line((0, top + 4, WIDTH, top + 4), fill=beam, width=9)


def _draw_floor(
    draw: ImageDraw.ImageDraw, style: str, light: Light, top: int, rng: np.random.Generator
) -> None:
    for column in range(3):
        middle = (column + 0.5) * WIDTH / 3
        glass = LAMPLIGHT if rng.random() < light.lit_share else light.shade(GLASS)
        _draw_window(draw, style, light.shade(TRIM), glass, middle, top + UPPER_FLOOR / 2)


def _draw_window(
    draw: ImageDraw.ImageDraw, style: str, trim: Colour, glass: Colour, x: float, y: float
) -> None:
    match style:
        case "square":
            draw.rectangle((x - 18, y - 16, x + 18, y + 16), fill=trim)
            draw.rectangle((x - 13, y - 11, x + 13, y + 11), fill=glass)
            draw.line((x, y - 11, x, y + 11), fill=trim, width=4)
            draw.line((x - 13, y, x + 13, y), fill=trim, width=4)
        case "tall":
            draw.rectangle((x - 10, y - 24, x + 10, y + 23), fill=trim)
            draw.rectangle((x - 6, y - 20, x + 6, y + 19), fill=glass)
        case "arched":
            draw.pieslice((x - 16, y - 23, x + 16, y + 9), 180, 360, fill=trim)
            draw.rectangle((x - 16, y - 7, x + 16, y + 21), fill=trim)
            draw.pieslice((x - 11, y - 18, x + 11, y + 4), 180, 360, fill=glass)
            draw.rectangle((x - 11, y - 7, x + 11, y + 16), fill=glass)
        case "round":
            draw.ellipse((x - 20, y - 20, x + 20, y + 20), fill=trim)
            draw.ellipse((x - 14, y - 14, x + 14, y + 14), fill=glass)


def _draw_roof(draw: ImageDraw.ImageDraw, facade: Facade, light: Light, top: int) -> None:
    outline, colour = _roof_shape(facade, top)
    draw.polygon(outline, fill=light.shade(colour))
    rim = SNOW if light.snow else TRIM
    draw.line(outline, fill=light.shade(rim), width=12 if light.snow else 6, joint="curve")


def _roof_shape(facade: Facade, top: int) -> tuple[list[Point], Colour]:
    peak = top - ROOF_HEIGHT
    match facade.roof:
        case "gabled":
            return [(0, top), (WIDTH / 2, peak), (WIDTH, top)], SLATE
        case "stepped":
            return _steps(top), _scaled(WALLS[facade.colour], 0.85)
        case "domed":
            turns = np.linspace(np.pi, 0, 25)
            middle, radius = WIDTH / 2, WIDTH / 2 - 6
            dome = [
                (float(middle + radius * np.cos(t)), float(top - ROOF_HEIGHT * np.sin(t)))
                for t in turns
            ]
            return dome, COPPER
    return [(0, top), (0, top - 12), (WIDTH, top - 12), (WIDTH, top)], TRIM


def _steps(top: int) -> list[Point]:
    tread, riser = WIDTH / 7, ROOF_HEIGHT / 4
    left: list[Point] = []
    for step in range(4):
        left += [(step * tread, top - step * riser), (step * tread, top - (step + 1) * riser)]
    return left + [(WIDTH - x, y) for x, y in reversed(left)]


def _draw_ground_floor(
    image: Image.Image,
    draw: ImageDraw.ImageDraw,
    sign: str | None,
    light: Light,
    rng: np.random.Generator,
) -> None:
    trim, glass = light.shade(TRIM), light.shade(GLASS)
    pane = LAMPLIGHT if rng.random() < light.lit_share else glass
    draw.rectangle((WIDTH - 46, HEIGHT - 38, WIDTH - 20, HEIGHT), fill=light.shade(BEAM))
    draw.rectangle((16, HEIGHT - 38, WIDTH - 62, HEIGHT - 8), fill=trim)
    draw.rectangle((21, HEIGHT - 33, WIDTH - 67, HEIGHT - 13), fill=pane)
    if sign is not None:
        # Shop signs are lamps of their own: dimmed less than the wall that they hang on.
        glow = light if light.lit_share == 0 else _SIGN_LAMP
        draw.rectangle(BOARD, fill=glow.shade(NAVY), outline=glow.shade(TRIM), width=3)
        letters = _lettering(sign)
        left = (WIDTH - letters.width) // 2
        image.paste(glow.shade(TRIM), (left, BOARD[1] + 6), letters)


_SIGN_LAMP = Light(sky_top=NAVY, sky_low=NAVY, tint=(0.80, 0.74, 0.66))


@lru_cache(maxsize=64)
def _lettering(text: str) -> Image.Image:
    """Return the text as a mask in bold capitals that fill the board."""
    font = ImageFont.load_default(size=48)
    mask = Image.new("L", (60 * len(text), 80))
    ImageDraw.Draw(mask).text((8, 8), text, fill=255, font=font, stroke_width=2)
    mask = mask.crop(mask.getbbox())
    return mask.resize((min(152, 34 * len(text)), BOARD[3] - BOARD[1] - 11), Image.Resampling.BOX)


def _scaled(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, int(channel * factor)) for channel in colour)
    return red, green, blue
