"""Where a model comes from and what identifies it: hub commit or file hashes, and its processor."""

from pathlib import Path
from typing import Any

from vprcap.errors import InvalidError
from vprcap.files import fingerprint, sha256_of

_FINGERPRINTED = (".json", ".jinja", ".safetensors", ".model", ".txt")


def local_folder(model: str) -> Path | None:
    """Return the directory that a model's name means, None where it is a hub name."""
    folder = Path(model).expanduser()
    return folder if folder.is_dir() else None


def is_path(model: str) -> bool:
    """Say whether a name can only be a path, so that it is never asked of the hub."""
    return model.startswith(("/", "./", "../", "~"))


def shown_name(model: str) -> str:
    """Name of a model in the rows: a directory's spelling says nothing, its last name is shown."""
    folder = local_folder(model)
    return model.removeprefix("packaged:") if folder is None else folder.resolve().name


def hub_revision(source: str, revision: str) -> str:
    """Revision to ask transformers for; a directory has none."""
    return "main" if Path(source).is_dir() else revision


def directory_hash(folder: Path) -> str:
    """Hash the files of a local model: its name says nothing about its weights."""
    files = sorted(path for path in folder.iterdir() if path.suffix in _FINGERPRINTED)
    return fingerprint({path.name: sha256_of(path) for path in files})


def mean_colour(image_processor: Any) -> tuple[int, int, int]:
    """Colour that an image processor maps to zero: its mean, 0 to 255."""
    red, green, blue = (round(255 * value) for value in image_processor.image_mean)
    return red, green, blue


def processor_identity(image_processor: Any) -> dict[str, Any]:
    """What of an image processor changes the text."""
    settings = {key: repr(value) for key, value in sorted(image_processor.to_dict().items())}
    return {
        "class": type(image_processor).__name__,
        "backend": "pil",
        "settings": fingerprint(settings),
    }


def refuse_gaps(source: str, loading: dict[str, Any], advice: str) -> None:
    """Refuse a checkpoint without all weights: transformers would put random numbers in the gaps.

    Args:
        source: directory or hub name.
        loading: what `from_pretrained` told about loading.
        advice: what to do.
    """
    absent = sorted(loading["missing_keys"]) + sorted(map(str, loading["mismatched_keys"]))
    if absent:
        raise InvalidError(f"{source} lacks {len(absent)} weights, first {absent[0]}; {advice}")
