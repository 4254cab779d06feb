from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Float
from PIL import Image

from vprcap.city import CONDITIONS, Facade, Place, Vehicle, View, render

STREET = Place(
    left=Facade("red", "plaster", "square", "flat", 3, None),
    right=Facade("blue", "plaster", "square", "flat", 3, None),
    street="wide",
    landmark=None,
    trees="none",
)
DAY = View("day")


def pixels(image: Image.Image) -> Float[np.ndarray, "height width 3"]:
    return np.asarray(image, dtype=np.float64)


def wall(image: Image.Image, side: str) -> Float[np.ndarray, " 3"]:
    """Mean colour of a patch that lies inside the facade of that side."""
    left = 0.12 if side == "left" else 0.80
    columns = slice(round(left * image.width), round((left + 0.08) * image.width))
    rows = slice(round(0.55 * image.height), round(0.75 * image.height))
    return pixels(image)[rows, columns].mean(axis=(0, 1))


def change(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(pixels(one) - pixels(other)).mean())


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_gives_an_rgb_image_of_the_asked_size(condition: str) -> None:
    image = render(STREET, View(condition), 96)
    assert (image.mode, image.size) == ("RGB", (96, 96))


def test_equal_arguments_give_equal_pixels() -> None:
    assert render(STREET, DAY).tobytes() == render(STREET, DAY).tobytes()


def test_left_and_right_are_where_the_words_say() -> None:
    image = render(STREET, DAY)
    red, _, blue = wall(image, "left")
    assert red > blue + 40
    red, _, blue = wall(image, "right")
    assert blue > red + 40


def test_night_is_darker_than_day_and_fog_paler() -> None:
    day, night, fog = (pixels(render(STREET, View(name))) for name in ("day", "night", "fog"))
    assert night.mean() < day.mean() / 2
    assert fog.std() < day.std() / 1.5


@pytest.mark.parametrize(
    "facade",
    [
        replace(STREET.left, colour="green"),
        replace(STREET.left, material="brick"),
        replace(STREET.left, material="stone"),
        replace(STREET.left, material="timber"),
        replace(STREET.left, windows="round"),
        replace(STREET.left, windows="tall"),
        replace(STREET.left, windows="arched"),
        replace(STREET.left, roof="gabled"),
        replace(STREET.left, roof="stepped"),
        replace(STREET.left, roof="domed"),
        replace(STREET.left, floors=4),
        replace(STREET.left, sign="CAFE"),
    ],
)
def test_every_attribute_of_a_facade_shows_in_the_picture(facade: Facade) -> None:
    same = render(STREET, DAY, 160)
    other = render(replace(STREET, left=facade), DAY, 160)
    assert (np.abs(pixels(same) - pixels(other)).max(axis=2) > 25).sum() >= 60


@pytest.mark.parametrize("changed", [{"street": "narrow"}, {"landmark": "dome"}, {"trees": "left"}])
def test_every_attribute_of_a_street_shows_in_the_picture(changed: dict[str, str]) -> None:
    same, other = render(STREET, DAY, 160), render(replace(STREET, **changed), DAY, 160)
    assert (np.abs(pixels(same) - pixels(other)).max(axis=2) > 25).sum() >= 60


def test_no_roof_leaves_the_frame_when_the_camera_comes_close() -> None:
    tall = replace(STREET.left, roof="gabled", floors=4, colour="white", material="plaster")
    image = pixels(render(replace(STREET, left=tall, right=tall), View("night", advance_m=0.8)))
    sky, roof_rim, grain = 10, 75, 15  # red channel
    assert image[:2, :, 0].max() < sky + grain
    assert image[:60, :, 0].max() > roof_rim - grain


def test_a_vehicle_hides_what_is_behind_it() -> None:
    bus = Vehicle("bus", (250, 0, 0), right_m=0.0, ahead_m=12.0)
    assert change(render(STREET, DAY), render(STREET, replace(DAY, vehicles=(bus,)))) > 1


def test_a_turn_to_the_right_moves_the_street_to_the_left() -> None:
    place = replace(STREET, landmark="obelisk")
    straight, turned = render(place, DAY), render(place, replace(DAY, turn_deg=4.0))

    # The obelisk is the brightest thing over the horizon in the middle of the picture.
    def column(image: Image.Image) -> int:
        return int(pixels(image)[110:140, 85:140, 0].mean(axis=0).argmax())

    assert column(turned) < column(straight)
