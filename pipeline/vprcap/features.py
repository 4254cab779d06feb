"""A feature set on disk: tokens that a frozen encoder returned, one row per image of a manifest.

    <features root>/<encoder>-<8 hex>/
        tokens.npy      float16 (images, tokens, dim); mapped, never loaded as a whole
        mask.npy        bool (images, tokens): which tokens exist; an all-false row has no feature
        features.json   what it was made of; written last, so it exists only if the rest is whole

The 8 digits hash everything that decides the rows: encoder, images in order, and for text the
captions themselves. Features can therefore never be older than their captions.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float16
from numpy.lib.format import open_memmap

from vprcap.errors import InvalidError, MissingError
from vprcap.files import fingerprint, fsync, read_json, storage_errors, write_json


@dataclass(frozen=True)
class Features:
    """Tokens of a whole manifest, memory-mapped, in manifest order."""

    tokens: Float16[np.ndarray, "images tokens dim"]
    mask: Bool[np.ndarray, "images tokens"]

    @property
    def present(self) -> Bool[np.ndarray, " images"]:
        """Which images have a feature at all."""
        found: np.ndarray = self.mask.any(axis=1)
        return found


def digest_rows(rows: Sequence[Any]) -> str:
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
    """Fills a feature set block by block; a killed run goes on where its last block ended."""

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self.path = path
        self._state = path / "progress.json"
        with storage_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            resumed = self._state.is_file()
            mode = "r+" if resumed else "w+"
            self._tokens = open_memmap(path / "tokens.npy", mode, np.float16, shape)  # type: ignore[no-untyped-call]
            self._mask = open_memmap(path / "mask.npy", mode, np.bool_, shape[:2])  # type: ignore[no-untyped-call]
        self.num_done: int = read_json(self._state)["num_done"] if resumed else 0

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
            self._tokens.flush()
            self._mask.flush()
        write_json(self._state, {"num_done": self.num_done})

    def finish(self, identity: Mapping[str, Any]) -> Path:
        """Declare the set whole."""
        self.save_progress()
        for name in ("tokens.npy", "mask.npy"):
            fsync(self.path / name)
        write_json(self.path / "features.json", dict(identity))
        self._state.unlink()
        return self.path
