"""Small pictures inside a page, as data URIs.

A picture that cannot be read is shown as what is wrong with it, never as a hole.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from vprcap.errors import first_line
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


def small_jpeg(
    root: Path, image_id: str, side: int, *, follow_links: bool = False
) -> SmallJpeg | str:
    """Make an image small, upright, its longer edge at most `side` pixels.

    Args:
        root: image root.
        image_id: path below it; one that leads out of it is not opened.
        side: pixels.
        follow_links: whether a link in the root may lead out of it.

    Returns:
        The picture, or what keeps it from being shown.
    """
    path = place_of(root, image_id, follow_links=follow_links)
    if isinstance(path, str):
        return path
    decoded = decode_image(path, None, MAX_MEGAPIXELS)
    if decoded.pixels is None:
        return f"{decoded.status}: {decoded.error}"
    image = Image.fromarray(decoded.pixels)
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return SmallJpeg(data.getvalue(), image.width, image.height)


def thumbnail(root: Path, image_id: str, side: int, *, follow_links: bool = False) -> Thumbnail:
    """Make an image small, for a page that holds its pictures; see `small_jpeg`."""
    small = small_jpeg(root, image_id, side, follow_links=follow_links)
    if isinstance(small, str):
        return Thumbnail(None, small)
    uri = "data:image/jpeg;base64," + base64.b64encode(small.data).decode("ascii")
    return Thumbnail(uri, None, small.width, small.height)


def place_of(root: Path, image_id: str, *, follow_links: bool = False) -> Path | str:
    """Return the file of an image, or why it is not opened."""
    name = PurePosixPath(image_id)
    if name.is_absolute() or ".." in name.parts:
        return "leads out of the image root"
    try:
        path = (root / name).resolve()
        inside = path.is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError) as problem:
        return f"is no path that can be followed ({first_line(problem)})"
    if not inside and not follow_links:
        return "is a link out of the image root; --follow-links shows it"
    return path
