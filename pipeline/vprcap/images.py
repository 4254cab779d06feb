"""From an untrusted file to upright RGB pixels, framed for a model; runs in decode workers.

Nothing here raises for a bad file: what is wrong with it becomes the image's status. Framing
`pad` keeps the whole picture (the processors that ship with LLaVA-1.5 crop the centre and lose a
quarter of a 4:3 photograph); `crop` does what the model's own processor does; `thumbnail` is for
those who only compare pictures.
"""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from vprcap.errors import first_line

EMPTY = "the file is empty; fetch it again"
MAX_MEGAPIXELS = 50.0
MAX_BYTES = 2**30
MAX_ASPECT = 100
"""Longer edge over shorter: a resize that keeps the shape must not explode."""
_LYING = (5, 6, 7, 8)
"""EXIF orientations that turn a picture by a quarter."""
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True, slots=True)
class Framing:
    """How a picture of any shape becomes the model's input."""

    mode: str
    """``pad``, ``crop`` or ``thumbnail``: all of it in grey, squeezed to a square."""
    side: int | None
    """Pixels of the square; None leaves the size to the model's processor."""
    fill: tuple[int, int, int] = (0, 0, 0)
    """Colour of the padding: the mean that the processor subtracts."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """What became of one image file."""

    status: str
    """``ok``, ``missing``, ``too_large``, ``unsupported`` or ``decode_error``."""
    error: str | None = None
    pixels: UInt8[np.ndarray, "height width 3"] | None = None
    sha256: str | None = None
    width: int | None = None
    """Pixels of the upright picture before framing."""
    height: int | None = None


class _BadImageError(Exception):
    """Carries a status and a sentence from the decoder to `decode_image`."""


def decode_image(path: Path, framing: Framing | None, max_megapixels: float) -> DecodedImage:
    """Read, check, orient and frame one image. Never raises for what is in the file."""
    sha256 = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders grumble about what they repaired
            data = _read(path)
            sha256 = hashlib.sha256(data).hexdigest()
            image = _open(data, max_megapixels)
            width, height = _upright_size(image)
            framed = _framed(image, framing)
    except _BadImageError as problem:
        status, error = problem.args
        return DecodedImage(status, error, sha256=sha256)
    except Exception as problem:  # noqa: BLE001 - decoders raise anything on hostile bytes
        error = f"damaged ({first_line(problem)}); fetch it again"
        return DecodedImage("decode_error", error, sha256=sha256)
    return DecodedImage("ok", None, np.asarray(framed), sha256, width, height)


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            what = "a folder, not a file" if path.is_dir() else "no such file"
            raise _BadImageError("missing", f"{what}; restore it")
        if path.stat().st_size > MAX_BYTES:
            raise _BadImageError("too_large", "more than 1 GiB on disk; make it smaller")
        data = path.read_bytes()
    except OSError as problem:
        raise _BadImageError("decode_error", f"cannot be read: {problem.strerror}") from None
    if not data:
        raise _BadImageError("decode_error", EMPTY)
    return data


def _open(data: bytes, max_megapixels: float) -> Image.Image:
    """Open an image, refusing sizes and shapes that would do harm; its pixels come later."""
    try:
        image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError:
        raise _BadImageError("too_large", "far too many pixels; make it smaller") from None
    except UnidentifiedImageError:
        raise _BadImageError("decode_error", "not an image; fetch it again") from None
    _check_size(image, max_megapixels)
    return image


def _framed(image: Image.Image, framing: Framing | None) -> Image.Image:
    """Decode the first frame, refusing depths that would do harm, and frame it."""
    if framing is not None and framing.mode == "thumbnail" and framing.side is not None:
        # Every code of a JPEG is still read, so that damage shows; only its pixels get coarser.
        image.draft("L", (2 * framing.side, 2 * framing.side))
    image.load()
    if image.mode in _DEEP_MODES:
        raise _BadImageError("unsupported", f"mode {image.mode} is not 8-bit; convert it")
    whole = upright(image)
    return whole if framing is None else frame(whole, framing)


def _check_size(image: Image.Image, max_megapixels: float) -> None:
    megapixels = image.width * image.height / 1e6
    if megapixels > max_megapixels:
        raise _BadImageError(
            "too_large",
            f"{megapixels:.0f} megapixels, the limit is {max_megapixels:g}; "
            "make it smaller, or raise --max-megapixels",
        )
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise _BadImageError(
            "unsupported", f"{image.width}x{image.height} is too narrow to describe; cut it"
        )


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height once the EXIF orientation is applied.

    Pillow turns a TIFF by itself: its size is that of the upright picture from the beginning.
    """
    lies = image.getexif().get(ExifTags.Base.Orientation) in _LYING
    return (image.height, image.width) if lies and image.format != "TIFF" else image.size


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation and convert any 8-bit mode to RGB; transparent becomes white.

    The picture that is given may be turned itself: a copy of it costs as much as its resize.
    """
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image if image.mode == "RGB" else image.convert("RGB")


def frame(image: Image.Image, framing: Framing) -> Image.Image:
    """Bring a picture to the model's square; leave it where the model's processor resizes."""
    if framing.side is None:
        return image
    if framing.mode == "crop":
        return _crop(image, framing.side)
    if framing.mode == "thumbnail":
        square = (framing.side, framing.side)
        return image.convert("L").resize(square, Image.Resampling.BOX).convert("RGB")
    return _pad(image, framing.side, framing.fill)


def _pad(image: Image.Image, side: int, fill: tuple[int, int, int]) -> Image.Image:
    """Resize the longer edge to `side` and fill up the shorter one evenly."""
    scale = side / max(image.size)
    width, height = (max(1, round(scale * edge)) for edge in image.size)
    square = Image.new("RGB", (side, side), fill)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    square.paste(resized, ((side - width) // 2, (side - height) // 2))
    return square


def _crop(image: Image.Image, side: int) -> Image.Image:
    """Resize the shorter edge to `side` and keep the centre, as CLIP's processor does."""
    short, long = sorted(image.size)
    other = int(side * long / short)
    size = (side, other) if image.width <= image.height else (other, side)
    resized = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (resized.width - side) // 2, (resized.height - side) // 2
    return resized.crop((left, top, left + side, top + side))
