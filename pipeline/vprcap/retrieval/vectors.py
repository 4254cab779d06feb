"""Vectors of a whole set, worked on in blocks: an array, or a file that is never held as a whole.

A file is read into two buffers that are used again and again, one ahead of the block that is
worked on. It is not mapped: mapped pages count as memory of the process, and nobody could promise
how many there will be. Files are NumPy's ``.npy``, read and written without pickle.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Shaped
from numpy.lib import format as npy

from vprcap.errors import InvalidError, MissingError, first_line
from vprcap.files import replacing

BLOCK_BYTES = 128 * 2**20
"""Larger blocks make nothing quicker."""
LEAST_BLOCK_BYTES = 2**20


@runtime_checkable
class Vectors(Protocol):
    """Rows of equal length."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows, and numbers in a row."""
        ...

    def blocks(self) -> Iterator[tuple[int, Shaped[np.ndarray, "block dim"]]]:
        """Yield first row and rows of each block; a block is valid until the next is asked for."""
        ...

    def take(self, rows: Int[np.ndarray, " taken"]) -> Shaped[np.ndarray, "taken dim"]:
        """Give the rows with these numbers."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayVectors:
    """Vectors of an array, in memory or mapped."""

    array: Shaped[np.ndarray, "rows dim"]
    block_rows: int = 262_144

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows, and numbers in a row."""
        return self.array.shape[0], self.array.shape[1]

    def blocks(self) -> Iterator[tuple[int, Shaped[np.ndarray, "block dim"]]]:
        """Yield first row and rows of each block."""
        for start in range(0, len(self.array), self.block_rows):
            yield start, self.array[start : start + self.block_rows]

    def take(self, rows: Int[np.ndarray, " taken"]) -> Shaped[np.ndarray, "taken dim"]:
        """Give the rows with these numbers."""
        taken: np.ndarray = self.array[rows]
        return taken


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """Vectors of a file: rows one after the other from `offset` on."""

    path: Path
    offset: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    block_rows: int = 1024

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.shape[1] * self.dtype.itemsize

    def within(self, num_bytes: int) -> "StoredVectors":
        """Cut blocks so that the two buffers take at most this much."""
        block = min(BLOCK_BYTES, num_bytes // 2)
        return replace(self, block_rows=max(1, min(block // self.row_bytes, self.shape[0])))

    def blocks(self) -> Iterator[tuple[int, Shaped[np.ndarray, "block dim"]]]:
        """Yield first row and rows of each block, reading the next one meanwhile."""
        starts = range(0, self.shape[0], self.block_rows)
        buffers = [np.empty((self.block_rows, self.shape[1]), self.dtype) for _ in starts[:2]]
        with self.path.open("rb", buffering=0) as stream, ThreadPoolExecutor(1) as reader:

            def read(number: int) -> Future[np.ndarray]:
                buffer = buffers[number % 2]
                return reader.submit(self._read, stream.fileno(), starts[number], buffer)

            ahead = read(0) if starts else None
            for number, start in enumerate(starts):
                assert ahead is not None
                block = ahead.result()
                ahead = read(number + 1) if number + 1 < len(starts) else None
                yield start, block

    def take(self, rows: Int[np.ndarray, " taken"]) -> Shaped[np.ndarray, "taken dim"]:
        """Give the rows with these numbers."""
        taken = np.empty((len(rows), self.shape[1]), self.dtype)
        with self.path.open("rb", buffering=0) as stream:
            for row, place in zip(rows.tolist(), taken, strict=True):
                self._read(stream.fileno(), row, place[None])
        return taken

    def _read(self, descriptor: int, start: int, buffer: np.ndarray) -> np.ndarray:
        """Fill the buffer with the rows from `start` on, as far as there are rows."""
        rows = buffer[: self.shape[0] - start]
        view = rows.data.cast("B")
        position = self.offset + start * self.row_bytes
        while view:
            count = os.preadv(descriptor, [view], position)
            if not count:
                raise InvalidError(f"{self.path} ends too early; make it again")
            view, position = view[count:], position + count
        return rows


def write_npy(
    path: Path, shape: tuple[int, int], dtype: type, blocks: Iterable[Shaped[np.ndarray, "_ dim"]]
) -> StoredVectors:
    """Write blocks of rows as one ``.npy`` file, whole or not at all; `shape` is that of all."""
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    with replacing(path) as temporary, temporary.open("wb") as stream:
        npy.write_array_header_1_0(stream, header)
        for block in blocks:
            stream.write(np.ascontiguousarray(block, dtype=dtype).data)
    return read_npy(path, dtype)


def read_npy(path: Path, dtype: type) -> StoredVectors:
    """Open a ``.npy`` file of vectors.

    Raises:
        MissingError: it is not there.
        InvalidError: it holds something else, or is cut short.
    """
    try:
        with path.open("rb") as stream:
            read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
            shape, by_columns, found = read_header[npy.read_magic(stream)](stream)
            offset = stream.tell()
    except FileNotFoundError:
        raise MissingError(f"no file {path}; make the index again") from None
    except (OSError, ValueError, KeyError) as problem:
        raise InvalidError(f"{path} is damaged ({first_line(problem)}); make it again") from None
    whole = offset + int(np.prod(shape)) * found.itemsize
    if by_columns or len(shape) != 2 or found != np.dtype(dtype) or path.stat().st_size != whole:
        raise InvalidError(f"{path} is damaged or cut short; make it again")
    return StoredVectors(path, offset, (shape[0], shape[1]), found)
