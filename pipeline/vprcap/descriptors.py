"""Descriptors of a whole manifest: one unit vector per image, and which images have one.

An image that could not be decoded (or, for text alone, captioned) has no descriptor. It is left
out of the database and its query is a miss: it never takes part with a made-up vector.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from vprcap.errors import InvalidError, MissingError
from vprcap.files import replacing

MODES = ("image", "text", "fused")


@dataclass(frozen=True)
class Descriptors:
    """Vectors in manifest order."""

    vectors: Float32[np.ndarray, "images dim"]
    present: Bool[np.ndarray, " images"]


def write_descriptors(descriptors: Descriptors, path: Path) -> Path:
    """Write descriptors as safetensors, whole or not at all."""
    with replacing(path) as temporary:
        save_file({"vectors": descriptors.vectors, "present": descriptors.present}, temporary)
    return path


def read_descriptors(path: Path) -> Descriptors:
    """Read descriptors; one line names the file when it is absent or damaged."""
    if not path.is_file():
        raise MissingError(f"no descriptors at {path}; make them with `vprcap eval`")
    try:
        return Descriptors(**load_file(path))
    except (SafetensorError, TypeError) as problem:
        raise InvalidError(f"{path} holds no descriptors ({problem}); make them again") from None
