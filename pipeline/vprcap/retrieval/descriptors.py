"""Descriptors of a whole manifest: one unit vector per image, and which images have one.

An image that could not be decoded (or, for text alone, captioned) has no descriptor. It is left
out of the database and its query is a miss: it never takes part with a made-up vector.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from vprcap.errors import InvalidError, MissingError
from vprcap.files import replacing
from vprcap.retrieval.vectors import StoredVectors

MODES = ("image", "text", "fused")
"""What a descriptor is made of; all from the same weights."""

QUERY_MODES = {
    "image": ("image", "image"),
    "text": ("text", "text"),
    "fused": ("fused", "fused"),
    "text to image": ("text", "image"),
    "text to fused": ("text", "fused"),
    "fused to image": ("fused", "image"),
    "image to fused": ("image", "fused"),
}
"""What is asked with, and what is searched: the last four lack one modality on one side."""


def check_mode(mode: str) -> None:
    """Refuse a mode that is not there."""
    if mode not in MODES:
        raise InvalidError(f"mode {mode!r} is unknown; choose {', '.join(MODES)}")


@dataclass(frozen=True)
class Descriptors:
    """Vectors in manifest order."""

    vectors: Float32[np.ndarray, "images dim"]
    present: Bool[np.ndarray, " images"]
    gates: Float32[np.ndarray, "images length"] | None = None
    """Of fused descriptors the gate of each text token, 0 for padding."""

    def prefix(self, dim: int) -> "Descriptors":
        """Give the first `dim` numbers as descriptors of their own, again of unit length."""
        cut = self.vectors[:, :dim]
        lengths = np.linalg.norm(cut, axis=1, keepdims=True)
        return Descriptors(cut / np.where(lengths > 0, lengths, 1), self.present)


def write_descriptors(descriptors: Descriptors, path: Path) -> Path:
    """Write descriptors as safetensors, whole or not at all."""
    arrays = {name: array for name, array in vars(descriptors).items() if array is not None}
    with replacing(path) as temporary:
        save_file(arrays, temporary)
    return path


def read_descriptors(path: Path) -> Descriptors:
    """Read descriptors; one line names the file when it is absent or damaged."""
    if not path.is_file():
        raise MissingError(f"no descriptors at {path}; make them with `vprcap eval`")
    try:
        return Descriptors(**load_file(path))
    except (SafetensorError, TypeError) as problem:
        raise InvalidError(f"{path} holds no descriptors ({problem}); make them again") from None


def open_descriptors(path: Path) -> tuple[StoredVectors, Bool[np.ndarray, " images"]]:
    """Open descriptors without loading them: the vectors on disk, and which images have one."""
    if not path.is_file():
        raise MissingError(f"no descriptors at {path}; make them with `vprcap eval`")
    try:
        with safe_open(path, "numpy") as file:  # checks that the header fits the file's length
            present = file.get_tensor("present")
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            vectors = json.loads(stream.read(length))["vectors"]
        num_images, dim = vectors["shape"]
        if vectors["dtype"] != "F32" or present.shape != (num_images,):
            raise ValueError("vectors and present do not fit each other")
    except (SafetensorError, ValueError, KeyError) as problem:
        raise InvalidError(f"{path} holds no descriptors ({problem}); make them again") from None
    offset = 8 + length + vectors["data_offsets"][0]
    return StoredVectors(path, offset, (num_images, dim), np.dtype(np.float32)), present
