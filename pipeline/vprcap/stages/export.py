"""Export: a caption set or evaluations -> files as the field's other programs read them."""

import logging
from pathlib import Path

from vprcap.errors import InvalidError
from vprcap.exchange.captioned import Captioned, read_captioned
from vprcap.exchange.hugging_face import write_dataset
from vprcap.exchange.imagefolder import write_imagefolder
from vprcap.exchange.lavpr import write_lavpr
from vprcap.exchange.msls import write_msls
from vprcap.exchange.recalls import write_recalls
from vprcap.exchange.web_shards import write_web_shards

logger = logging.getLogger(__name__)

FORMATS = ("lavpr", "imagefolder", "datasets", "webdataset", "msls", "recalls")


def export(source: Path, output: Path, *, to: str, mode: str | None = None) -> Path:
    """Write what others can read, whole or not at all, and return where it is.

    Args:
        source: a caption set; of ``msls`` the folder of an evaluation; of ``recalls`` a
            ``results.json`` or a folder of them.
        output: file or folder to write; it must not be there yet.
        to: one of `FORMATS`.
        mode: of ``msls``, whose predictions; may be left out where there is one mode.

    Raises:
        MissingError: there is no such source, or an image of it is gone.
        InvalidError: it cannot be exported so, or `output` exists.
    """
    if to not in FORMATS:
        raise InvalidError(f"no format {to!r}; there are: {', '.join(FORMATS)}")
    if mode is not None and to != "msls":
        raise InvalidError(f"--mode is for --to msls; {to} has no modes")
    if output.exists() or output.is_symlink():
        raise InvalidError(f"{output} exists; name another OUTPUT, or remove it first")
    match to:
        case "msls":
            return write_msls(source, output, mode=mode)
        case "recalls":
            return write_recalls(source, output)
    return _export_captions(_read(source), output, to)


def _read(source: Path) -> Captioned:
    captioned = read_captioned(source)
    if captioned.num_left_out:
        logger.warning(
            "%d of %d images have no caption and are left out",
            captioned.num_left_out,
            captioned.num_left_out + len(captioned.image_ids),
        )
    return captioned


def _export_captions(captioned: Captioned, output: Path, to: str) -> Path:
    match to:
        case "lavpr":
            return write_lavpr(output, captioned)
        case "imagefolder":
            return write_imagefolder(captioned, output)
        case "datasets":
            return write_dataset(captioned, output)
        case _:
            return write_web_shards(captioned, output)
