"""A facade, drawn flat and to scale, to be hung on a wall of the street.

Bricks, blocks, beams and letters are larger than life: after the warp to a 160 pixel picture each
must still be about three pixels, or no model could name what the caption names.
"""

import math
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vprcap.city.camera import Point
from vprcap.city.light import Colour, Light, shaded
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

# Shop signs are lamps of their own: in the dark they are dimmed less than the wall behind them.
SIGN_LAMP = (0.80, 0.74, 0.66)


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
    painter = FacadePainter(light, rng)
    top = HEIGHT - GROUND_FLOOR - UPPER_FLOOR * (facade.floors - 1)
    painter.roof(facade.roof, WALLS[facade.colour], top)
    painter.wall(facade.material, WALLS[facade.colour], top)
    for floor in range(1, facade.floors):
        painter.floor(facade.windows, HEIGHT - GROUND_FLOOR - UPPER_FLOOR * floor)
    painter.ground_floor()
    if facade.sign is not None:
        painter.sign(facade.sign)
    return painter.image


class FacadePainter:
    """Paints the parts of one facade in one light; y runs down, `top` is where the wall ends."""

    def __init__(self, light: Light, rng: np.random.Generator) -> None:
        self.image = Image.new("RGBA", (WIDTH, HEIGHT))
        self.draw = ImageDraw.Draw(self.image)
        self.light, self.rng = light, rng

    def roof(self, style: str, wall: Colour, top: int) -> None:
        """Paint the roof and its white rim, thick with snow in winter."""
        outline, colour = _roof_shape(style, wall, top)
        self.draw.polygon(outline, fill=self.light.shade(colour))
        rim, width = (SNOW, 12) if self.light.snow else (TRIM, 6)
        self.draw.line(outline, fill=self.light.shade(rim), width=width, joint="curve")

    def wall(self, material: str, colour: Colour, top: int) -> None:
        """Paint the wall from the ground to its top; plaster is what has no pattern."""
        self.draw.rectangle((0, top, WIDTH, HEIGHT), fill=self.light.shade(colour))
        match material:
            case "brick":
                self._courses(BRICK, colour, top)
            case "stone":
                self._courses(STONE, colour, top)
            case "timber":
                self._beams(top)

    def floor(self, style: str, top: int) -> None:
        """Paint three windows; some are lit after dark."""
        for column in range(3):
            self._window(style, (column + 0.5) * WIDTH / 3, top + UPPER_FLOOR / 2)

    def ground_floor(self) -> None:
        """Paint a wide pane and a door."""
        glass = self._glass()
        self.draw.rectangle(
            (WIDTH - 46, HEIGHT - 38, WIDTH - 20, HEIGHT), fill=self.light.shade(BEAM)
        )
        self.draw.rectangle((16, HEIGHT - 38, WIDTH - 62, HEIGHT - 8), fill=self.light.shade(TRIM))
        self.draw.rectangle((21, HEIGHT - 33, WIDTH - 67, HEIGHT - 13), fill=glass)

    def sign(self, text: str) -> None:
        """Paint the board over the shop."""
        tint = self.light.tint if self.light.lit_share == 0 else SIGN_LAMP
        board, white = shaded(NAVY, tint), shaded(TRIM, tint)
        self.draw.rectangle(BOARD, fill=board, outline=white, width=3)
        letters = _lettering(text)
        self.image.paste(white, ((WIDTH - letters.width) // 2, BOARD[1] + 6), letters)

    def _courses(self, course: Course, colour: Colour, top: int) -> None:
        joint = self.light.shade(_scaled(colour, course.joint))
        self.draw.rectangle((0, top, WIDTH, HEIGHT), fill=joint)
        for row, low in enumerate(range(HEIGHT, top + JOINT, -course.height)):
            for x in range(-(row % 2) * course.width // 2, WIDTH, course.width):
                shade = _scaled(colour, 1 - course.contrast * self.rng.random())
                block = (x, max(top, low - course.height), x + course.width - JOINT, low - JOINT)
                self.draw.rectangle(block, fill=self.light.shade(shade))

    def _beams(self, top: int) -> None:
        beam = self.light.shade(BEAM)
        bays = [round(WIDTH * share) for share in (0, 1 / 3, 2 / 3, 1)]
        for low in range(HEIGHT - GROUND_FLOOR, top, -UPPER_FLOOR):
            high = low - UPPER_FLOOR
            for left, right in pairwise(bays):
                self.draw.line((left, low, right, high), fill=beam, width=6)
                self.draw.line((left, high, right, low), fill=beam, width=6)
            self.draw.line((0, low, WIDTH, low), fill=beam, width=9)
        for x in (4, *bays[1:3], WIDTH - 4):
            self.draw.line((x, top, x, HEIGHT), fill=beam, width=8)
        self.draw.line((0, top + 4, WIDTH, top + 4), fill=beam, width=9)

    def _window(self, style: str, x: float, y: float) -> None:
        draw, trim, glass = self.draw, self.light.shade(TRIM), self._glass()
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

    def _glass(self) -> Colour:
        lit = self.rng.random() < self.light.lit_share
        return LAMPLIGHT if lit else self.light.shade(GLASS)


def _roof_shape(style: str, wall: Colour, top: int) -> tuple[list[Point], Colour]:
    match style:
        case "gabled":
            return [(0, top), (WIDTH / 2, top - ROOF_HEIGHT), (WIDTH, top)], SLATE
        case "stepped":
            return _steps(top), _scaled(wall, 0.85)
        case "domed":
            return _dome(top), COPPER
    return [(0, top), (0, top - 12), (WIDTH, top - 12), (WIDTH, top)], TRIM


def _steps(top: int) -> list[Point]:
    tread, riser = WIDTH / 7, ROOF_HEIGHT / 4
    left: list[Point] = []
    for step in range(4):
        left += [(step * tread, top - step * riser), (step * tread, top - (step + 1) * riser)]
    return left + [(WIDTH - x, y) for x, y in reversed(left)]


def _dome(top: int) -> list[Point]:
    radius = WIDTH / 2 - 6
    turns = [math.pi - step * (math.pi / 24) for step in range(25)]
    return [
        (WIDTH / 2 + radius * math.cos(turn), top - ROOF_HEIGHT * math.sin(turn)) for turn in turns
    ]


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
