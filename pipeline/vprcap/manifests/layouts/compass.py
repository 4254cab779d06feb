"""Headings as the manifest has them, whatever turns a source counts."""

import numpy as np
import pyarrow as pa


def compass(degrees: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Turn headings into 0 <= heading < 360 degrees; null and NaN become null."""
    values = degrees.to_numpy() if isinstance(degrees, pa.ChunkedArray) else _numpy(degrees)
    # Twice: of a hair below zero, the first remainder rounds to 360 itself.
    return pa.array(np.mod(np.mod(values, 360.0), 360.0), from_pandas=True)


def _numpy(degrees: pa.Array) -> np.ndarray:
    values: np.ndarray = degrees.to_numpy(zero_copy_only=False)
    return values
