"""Renders a view of a place: the far end of the street first, what is near over it.

Drawn with Pillow at twice the size and halved, which smooths all edges at once and costs 5 to 10 ms
an image. The street opens like a stage set, so that both facades are seen well from the middle.
"""

import numpy as np
from PIL import Image, ImageDraw

from vprcap.city.camera import EYE_M, HORIZON, Camera, Point
from vprcap.city.facade import WALL_HEIGHT_M, draw_facade
from vprcap.city.figures import LANDMARK_FIGURES, street_lamp, tree, vehicle
from vprcap.city.light import LIGHTS, Colour, Light
from vprcap.city.place import Place
from vprcap.city.stage import Stage
from vprcap.city.view import View
from vprcap.city.weather import fall, reflect

IMAGE_SIZE = 224
OVERSAMPLING = 2

NEAR_M, FAR_M, END_M = 14.0, 21.5, 44.0
NEAR_HALF_WIDTH_M = 11.9
HALF_WIDTHS_M = {"narrow": 3.4, "wide": 6.6}
PAVEMENT_M = 1.5
ROW_HOUSE_M, ROW_HEIGHT_M = 8.0, 4.5

ASPHALT: Colour = (108, 110, 118)
PAVEMENT: Colour = (186, 180, 170)
MARKING: Colour = (236, 234, 226)
GRASS: Colour = (132, 160, 104)
HILLS: Colour = (126, 160, 150)
ROW: tuple[Colour, ...] = ((196, 182, 168), (176, 170, 172), (206, 196, 178))
CLOUD: Colour = (244, 248, 252)
SNOW: Colour = (238, 242, 248)


def render(place: Place, view: View, size: int = IMAGE_SIZE) -> Image.Image:
    """Return the view as a square RGB image of `size` pixels; equal arguments, equal pixels."""
    rng = np.random.default_rng(view.seed)
    light = LIGHTS[view.condition]
    camera = Camera(size * OVERSAMPLING, view.shift_m, view.advance_m, view.turn_deg)
    stage = Stage(_sky(light, camera.canvas, rng), camera, light)
    half_width = HALF_WIDTHS_M[place.street]
    _paint_distance(stage, place.landmark)
    stage.fade(light.haze_far)
    _paint_ground(stage, half_width)
    _paint_rows(stage, half_width)
    _paint_road(stage, half_width)
    _hang_facades(stage, place, half_width, rng)
    _paint_kerb(stage, place.trees, half_width)
    stage.fade(light.haze_near)
    if light.rain:
        reflect(stage.image, round(camera.canvas * HORIZON))
    for passing in sorted(view.vehicles, key=lambda each: -each.ahead_m):
        stage.stand(vehicle(passing.kind, passing.paint), passing.right_m, passing.ahead_m)
    return fall(stage.image.reduce(OVERSAMPLING), light, rng)


def _sky(light: Light, canvas: int, rng: np.random.Generator) -> Image.Image:
    ramp = np.linspace(0, 1, 64)[:, None, None] ** 1.4
    top, low = np.array(light.sky_top), np.array(light.sky_low)
    column = Image.fromarray((top + (low - top) * ramp).astype(np.uint8))
    sky = Image.new("RGB", (canvas, canvas), light.sky_low)
    sky.paste(column.resize((canvas, round(canvas * HORIZON)), Image.Resampling.BILINEAR))
    if light.clouds:
        for x, y in rng.uniform((0.05, 0.04), (0.95, 0.30), (3, 2)) * canvas:
            _draw_cloud(ImageDraw.Draw(sky), light, (float(x), float(y)), canvas / 40)
    return sky


def _draw_cloud(draw: ImageDraw.ImageDraw, light: Light, middle: Point, radius: float) -> None:
    for across, up, scale in ((-1.6, 0.0, 0.8), (-0.5, 0.5, 1.1), (0.8, 0.3, 1.0), (1.9, 0.0, 0.7)):
        x, y, r = middle[0] + across * radius, middle[1] - up * radius, radius * scale
        draw.ellipse((x - r, y - r * 0.7, x + r, y + r * 0.7), fill=light.shade(CLOUD))


def _paint_distance(stage: Stage, landmark: str | None) -> None:
    ridge = ((-90, 0), (-60, 9), (-25, 5), (0, 8), (30, 4), (55, 10), (90, 0))
    colour = SNOW if stage.light.snow else HILLS
    stage.fill([(right, up + EYE_M, 80.0) for right, up in ridge], colour)
    if landmark is not None:
        stage.stand(LANDMARK_FIGURES[landmark], 0.0, END_M)


def _paint_ground(stage: Stage, half_width: float) -> None:
    _paint_strip(stage, 60, 120, SNOW if stage.light.snow else GRASS)
    _paint_strip(stage, half_width + 14, FAR_M, SNOW if stage.light.snow else PAVEMENT)


def _paint_rows(stage: Stage, half_width: float) -> None:
    """Paint the low houses that lead from the facades to the landmark, on both sides."""
    for side in (-1, 1):
        right = side * (half_width + 0.6)
        for house, colour in enumerate(ROW):
            first = FAR_M + house * ROW_HOUSE_M
            last = first + ROW_HOUSE_M - 0.4
            ends = ((first, 0.0), (first, ROW_HEIGHT_M), (last, ROW_HEIGHT_M), (last, 0.0))
            stage.fill([(right, up, ahead) for ahead, up in ends], colour)


def _paint_road(stage: Stage, half_width: float) -> None:
    snow = stage.light.snow
    _paint_strip(stage, half_width, END_M, SNOW if snow else PAVEMENT)
    _paint_strip(stage, half_width - PAVEMENT_M, END_M, ASPHALT)
    near = _nearest(stage)
    for dash in range(3, 40, 4):
        _paint_strip(stage, 0.12, near + dash + 2, SNOW if snow else MARKING, near + dash)


def _paint_strip(
    stage: Stage, half_width: float, last: float, colour: Colour, first: float | None = None
) -> None:
    """Paint the ground on both sides of the middle, from `first` metres ahead or the camera on."""
    first = _nearest(stage) if first is None else first
    ends = ((-half_width, first), (-half_width, last), (half_width, last), (half_width, first))
    stage.fill([(right, 0.0, ahead) for right, ahead in ends], colour)


def _nearest(stage: Stage) -> float:
    """Ground nearer than this lies below the picture."""
    return stage.camera.advance_m + 2.0


def _hang_facades(stage: Stage, place: Place, half_width: float, rng: np.random.Generator) -> None:
    near, far = (NEAR_HALF_WIDTH_M, NEAR_M), (half_width, FAR_M)
    left = draw_facade(place.left, stage.light, rng)
    stage.hang(left, (-near[0], near[1]), (-far[0], far[1]), WALL_HEIGHT_M)
    stage.hang(draw_facade(place.right, stage.light, rng), far, near, WALL_HEIGHT_M)


def _paint_kerb(stage: Stage, trees: str, half_width: float) -> None:
    for side, name in ((-1, "left"), (1, "right")):
        stage.stand(street_lamp(), side * (half_width - 0.6), FAR_M + 6)
        if trees in (name, "both"):
            stage.stand(tree(stage.light.snow), side * (half_width - 0.2), FAR_M - 1.5)
