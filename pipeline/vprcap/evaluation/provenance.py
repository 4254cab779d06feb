"""What an evaluation was made of: kept beside its results as ``provenance.json``.

A recall without its set, its model and its captions can be neither repeated nor trusted. Files are
named by their place and, where another may lie there tomorrow, by the hash of their bytes.
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vprcap import __version__
from vprcap.errors import InvalidError, first_line
from vprcap.files import read_json, sha256_of, write_json

_NAME = "provenance.json"


@dataclass(frozen=True)
class Provenance:
    """Where an evaluation comes from; paths are absolute."""

    manifest: str
    manifest_sha256: str
    made: str
    """When, in UTC, ISO 8601."""
    vprcap: str
    """Version of the program."""
    run: str | None = None
    """Folder of the trained combiner; None where there was none."""
    combiner_sha256: str | None = None
    """Of its weights."""
    encoders: dict[str, str] = field(default_factory=dict)
    """By ``image`` and ``text``: their names."""
    captions: str | None = None
    """Folder of the caption set; None where images were described alone."""
    caption_config: dict[str, Any] = field(default_factory=dict)
    """How the captions were made: model, revision, quantization, prompt."""
    without_twins: bool = False
    command: str | None = None
    """What was typed; None where Python called."""


def build_provenance(
    manifest: Path,
    *,
    run: Path | None = None,
    encoders: Mapping[str, str] | None = None,
    captions: Path | None = None,
    caption_config: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> Provenance:
    """Say what an evaluation that ends now was made of."""
    weights = None if run is None else run / "model.safetensors"
    return Provenance(
        manifest=str(manifest.absolute()),
        manifest_sha256=sha256_of(manifest),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        vprcap=__version__,
        run=None if run is None else str(run.absolute()),
        combiner_sha256=sha256_of(weights) if weights and weights.is_file() else None,
        encoders=dict(encoders or {}),
        captions=None if captions is None else str(captions.absolute()),
        caption_config=dict(caption_config or {}),
        command=command,
    )


def write_provenance(evaluation: Path, provenance: Provenance) -> Path:
    """Keep it in the folder of an evaluation; return the file."""
    return write_json(evaluation / _NAME, asdict(provenance))


def read_provenance(evaluation: Path) -> Provenance | None:
    """Read what an evaluation was made of; None where it was not kept.

    Raises:
        InvalidError: the file is damaged.
    """
    path = evaluation / _NAME
    if not path.exists():
        return None
    stored = read_json(path)
    try:
        known = {each.name: stored[each.name] for each in fields(Provenance) if each.name in stored}
        made_of = Provenance(**known)
        _check(made_of)
    except (TypeError, KeyError) as problem:
        raise InvalidError(f"{path} is damaged ({first_line(problem)}); evaluate again") from None
    return made_of


def _check(made_of: Provenance) -> None:
    """Check types; what a later version adds is no damage."""
    for each in fields(Provenance):
        default = {} if each.default_factory is not MISSING else each.default
        value = getattr(made_of, each.name)
        optional = default is None and value is None
        expected = str if default in (None, MISSING) else type(default)
        if not optional and not isinstance(value, expected):
            raise TypeError(f"{each.name} is {value!r:.40}")
