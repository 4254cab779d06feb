"""The canvas of one picture: what stands in metres, seen by a camera, in one light."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from vprcap.city.camera import Camera, Point, warp_coefficients
from vprcap.city.figures import Shape
from vprcap.city.light import Colour, Light
from vprcap.city.weather import haze

Spot = tuple[float, float, float]


class Stage:
    """Paints over what was painted before, so what is far must be painted first."""

    def __init__(self, backdrop: Image.Image, camera: Camera, light: Light) -> None:
        self.image, self.camera, self.light = backdrop, camera, light
        self.draw = ImageDraw.Draw(backdrop)

    def fill(self, corners: Sequence[Spot], colour: Colour, *, glows: bool = False) -> None:
        """Fill a polygon given by (right, up, ahead) corners; what glows is not shaded."""
        points = [self.camera.project(*corner) for corner in corners]
        self.draw.polygon(points, fill=colour if glows else self.light.shade(colour))

    def stand(self, figure: Sequence[Shape], right: float, ahead: float) -> None:
        """Put a cut-out figure upright on a point of the ground."""
        for shape in figure:
            corners = [(right + x, y, ahead) for x, y in shape.outline]
            glows = shape.glows and self.light.lit_share > 0
            self.fill(corners, shape.colour, glows=glows)

    def hang(self, flat: Image.Image, start: Point, end: Point, height_m: float) -> None:
        """Hang an RGBA picture on the wall from start to end, given as (right, ahead)."""
        target = [
            self.camera.project(right, up, ahead)
            for right, ahead in (start, end)
            for up in (height_m, 0.0)
        ]
        left, top = (int(min(values)) for values in zip(*target, strict=True))
        right, low = (int(max(values)) + 1 for values in zip(*target, strict=True))
        width, height = flat.size
        warped = flat.transform(
            (right - left, low - top),
            Image.Transform.PERSPECTIVE,
            warp_coefficients(
                source=[(0, 0), (0, height), (width, 0), (width, height)],
                target=[(x - left, y - top) for x, y in target],
            ),
            Image.Resampling.BILINEAR,
        )
        self.image.paste(warped, (left, top), warped)

    def fade(self, share: float) -> None:
        """Let the haze of the light swallow a share of everything painted so far."""
        self.image = haze(self.image, self.light.sky_low, share)
        self.draw = ImageDraw.Draw(self.image)
