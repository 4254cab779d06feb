"""A feature set on disk: tokens that a frozen encoder returned, one row per image of a manifest.

    <features root>/<encoder>-<8 hex>/
        tokens.npy      float16 (images, tokens, dim); mapped, never loaded as a whole
        mask.npy        bool (images, tokens): which tokens exist; an all-false row has no feature
        features.json   what it was made of; written last, so it exists only if the rest is whole

The 8 digits hash everything that decides the rows: encoder, images in order, and for text the
captions themselves. Features can therefore never be older than their captions.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float16
from numpy.lib.format import open_memmap

from vprcap.commit_protocol.lease import claim
from vprcap.errors import BusyError, InvalidError, MissingError
from vprcap.files import fingerprint, fsync, read_json, storage_errors, write_json


@dataclass(frozen=True)
class Features:
    """Tokens of a whole manifest, memory-mapped, in manifest order."""

    tokens: Float16[np.ndarray, "images tokens dim"]
    mask: Bool[np.ndarray, "images tokens"]

    @property
    def present(self) -> Bool[np.ndarray, " images"]:
        """Which images have a feature at all."""
        found: np.ndarray = np.any(self.mask, axis=1)
        return found


def digest_rows(rows: Iterable[Any]) -> str:
    """Hex SHA-256 of a sequence of JSON-able rows, in order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(fingerprint(row).encode())
    return digest.hexdigest()


def features_path(features_root: Path, encoder: str, identity: Mapping[str, Any]) -> Path:
    """Return the folder of a feature set: the encoder's short name and 8 digits of its identity."""
    short = encoder.removeprefix("packaged:").rsplit("/", 1)[-1].replace("@", "-layer")
    return features_root / f"{short}-{fingerprint(identity)[:8]}"


def read_features(path: Path) -> Features:
    """Map a feature set.

    Raises:
        MissingError: it is not there or not finished.
        InvalidError: its arrays are damaged.
    """
    if not (path / "features.json").is_file():
        raise MissingError(f"no finished features at {path}; extract them first")
    try:
        tokens = np.load(path / "tokens.npy", mmap_mode="r", allow_pickle=False)
        mask = np.load(path / "mask.npy", allow_pickle=False)
    except (OSError, ValueError) as problem:
        raise InvalidError(f"features {path} are damaged ({problem}); remove the folder") from None
    # Captions are stored at the encoder's longest length; no reader needs the empty columns.
    used = max(1, int(mask.sum(axis=1).max(initial=0)))
    return Features(tokens[:, :used], mask[:, :used])


class FeatureWriter:
    """Fills a feature set block by block; a killed run goes on where its last save ended.

    Use as a context manager: a lease keeps a second process from writing the same set.

    Raises:
        BusyError: another process writes this set.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self.path = path
        self._state = path / "progress.json"
        with storage_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        lease = claim(path / "lease.json")
        if lease is None:
            raise BusyError(f"another process writes {path}; wait for it, then run again")
        self._lease = lease
        names = ("tokens.npy", "mask.npy")
        resumed = self._state.is_file() and all((path / name).is_file() for name in names)
        with storage_errors(path):
            self._tokens = _open(path / names[0], resumed, np.float16, shape)
            self._mask = _open(path / names[1], resumed, np.bool_, shape[:2])
        self.num_done: int = read_json(self._state)["num_done"] if resumed else 0

    def __enter__(self) -> "FeatureWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._lease.__exit__(*error)

    def append(self, tokens: np.ndarray, mask: np.ndarray) -> None:
        """Write the next rows; `tokens` may be shorter than the set's token axis.

        Args:
            tokens: (rows, tokens, dim), any float type.
            mask: (rows, tokens).
        """
        rows = slice(self.num_done, self.num_done + len(tokens))
        with storage_errors(self.path):
            self._tokens[rows, : tokens.shape[1]] = tokens
            self._mask[rows, : mask.shape[1]] = mask
        self.num_done = rows.stop

    def save_progress(self) -> None:
        """Force what was appended to the disk and remember how far it goes."""
        with storage_errors(self.path):
            for name in ("tokens.npy", "mask.npy"):
                fsync(self.path / name)
        write_json(self._state, {"num_done": self.num_done})

    def finish(self, identity: Mapping[str, Any]) -> Path:
        """Declare the set whole."""
        self.save_progress()
        write_json(self.path / "features.json", dict(identity))
        self._state.unlink(missing_ok=True)
        return self.path


def _open(path: Path, resumed: bool, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    mode: Any = "r+" if resumed else "w+"
    mapped: np.ndarray = open_memmap(path, mode, dtype, shape)
    return mapped
