"""Small pictures inside a page, as data URIs.

A picture that cannot be read is shown as what is wrong with it, never as a hole.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vprcap.images import MAX_MEGAPIXELS, decode_image

_JPEG_QUALITY = 70


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture, or what keeps it from being shown."""

    uri: str | None
    """``data:image/jpeg;base64,...``; None where there is a problem."""
    problem: str | None
    width: int = 0
    """Pixels."""
    height: int = 0


@dataclass(frozen=True, slots=True)
class SmallJpeg:
    """A small picture as the bytes of a file."""

    data: bytes
    width: int
    """Pixels."""
    height: int


def small_jpeg(root: Path, image_id: str, side: int) -> SmallJpeg | str:
    """Make an image small, upright, its longer edge at most `side` pixels.

    Args:
        root: image root.
        image_id: path below it; one that leads out of it is not opened.
        side: pixels.

    Returns:
        The picture, or what keeps it from being shown.
    """
    path = inside(root, image_id)
    if path is None:
        return "leads out of the image root"
    decoded = decode_image(path, None, MAX_MEGAPIXELS)
    if decoded.pixels is None:
        return f"{decoded.status}: {decoded.error}"
    image = Image.fromarray(decoded.pixels)
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return SmallJpeg(data.getvalue(), image.width, image.height)


def thumbnail(root: Path, image_id: str, side: int) -> Thumbnail:
    """Make an image small, for a page that holds its pictures; see `small_jpeg`."""
    small = small_jpeg(root, image_id, side)
    if isinstance(small, str):
        return Thumbnail(None, small)
    uri = "data:image/jpeg;base64," + base64.b64encode(small.data).decode("ascii")
    return Thumbnail(uri, None, small.width, small.height)


def inside(root: Path, image_id: str) -> Path | None:
    """Return the file of an image; None where its name or a link leads out of the root."""
    path = (root / image_id).resolve()
    return path if path.is_relative_to(root.resolve()) else None
