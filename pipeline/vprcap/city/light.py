"""How each condition colours the city: sky, tint, haze, lamps.

Every surface is drawn in its shaded colour at once, so windows and lamps that glow can stay bright
without a second pass over the picture.
"""

from dataclasses import dataclass

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Light:
    """The light of one condition; shares run from 0 to 1."""

    sky_top: Colour
    sky_low: Colour
    tint: tuple[float, float, float]
    haze_far: float = 0.0
    haze_near: float = 0.0
    lit_share: float = 0.0
    clouds: bool = False
    snow: bool = False
    rain: bool = False

    def shade(self, colour: Colour) -> Colour:
        """Return how a surface of this colour looks in this light."""
        return shaded(colour, self.tint)


def shaded(colour: Colour, tint: tuple[float, float, float]) -> Colour:
    """Return the colour with each channel dimmed by its share."""
    red, green, blue = (int(channel * share) for channel, share in zip(colour, tint, strict=True))
    return red, green, blue


LIGHTS = {
    "day": Light(
        sky_top=(98, 164, 226), sky_low=(214, 234, 246), tint=(1.0, 1.0, 1.0), clouds=True
    ),
    "dusk": Light(
        sky_top=(86, 72, 134),
        sky_low=(250, 168, 110),
        tint=(0.80, 0.62, 0.62),
        lit_share=0.35,
        clouds=True,
    ),
    "night": Light(
        sky_top=(10, 14, 38),
        sky_low=(34, 42, 80),
        tint=(0.30, 0.34, 0.48),
        lit_share=0.5,
    ),
    "fog": Light(
        sky_top=(196, 202, 206),
        sky_low=(206, 210, 212),
        tint=(0.88, 0.90, 0.92),
        haze_far=0.72,
        haze_near=0.42,
    ),
    "rain": Light(
        sky_top=(112, 122, 136),
        sky_low=(164, 172, 180),
        tint=(0.66, 0.70, 0.76),
        haze_far=0.30,
        lit_share=0.2,
        rain=True,
    ),
    "snow": Light(
        sky_top=(188, 200, 216),
        sky_low=(226, 232, 240),
        tint=(0.90, 0.93, 0.98),
        haze_far=0.25,
        snow=True,
    ),
}
