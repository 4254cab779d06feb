"""NumPy files with lists in them, read without running what they say.

The field keeps ground truth as an object array: for each query a list of database rows. NumPy
stores one as a pickle, and a pickle may call any function of the machine that loads it. This
reader gives the pickle nothing to call but the few classes below, which stand in for NumPy's own
and only keep what they are given: NumPy's real ones trust their state, down to raw memory.
Everything else is refused by its name.

NumPy 1 and 2 write other module names (``numpy.core``, ``numpy._core``), pickle protocols before 3
write bytes as ``_codecs.encode``, and those of Python 2 as text; all of these are read.
"""

import io
import math
import pickle
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.lib.format as npy

from vprcap.errors import InvalidError, MissingError, first_line

MAX_BYTES = 256 * 1024**2
"""Of a file: ground truth of millions of images is smaller."""

_MAX_GROWTH = 16
"""Bytes of arrays for a byte of file: a cell is eight, and a pickle has no shorter one than one."""

_PLAIN = re.compile(r"[biufSU?]\d{0,5}")


def read_array(path: Path) -> np.ndarray:
    """Read a ``.npy`` file; its code is never run.

    Returns:
        The array. Cells of an object array are numbers, text, None, arrays, or lists of these.

    Raises:
        MissingError: there is no such file.
        InvalidError: it is damaged, too large, or asks for anything but arrays and numbers.
    """
    if not path.is_file():
        raise MissingError(f"no {path}; put the ground truth of the dataset there")
    try:
        _check_size(path.stat().st_size)
        return _parse(path.read_bytes())
    except _Refused as refused:
        raise InvalidError(
            f"{path} asks for {refused}, which ground truth has no need of; it was not run: get "
            "the file from its authors, or list the positives in a CSV"
        ) from None
    except MemoryError:
        raise InvalidError(f"{path} claims to be larger than memory; it is damaged") from None
    except OSError as problem:
        raise InvalidError(f"cannot read {path}: {first_line(problem)}") from None
    except InvalidError as problem:
        raise InvalidError(f"{path} {problem}") from None
    except Exception as problem:  # a pickle that makes no sense may fail in any way at all
        raise InvalidError(
            f"{path} is no NumPy array, or is truncated ({first_line(problem)}); get it again"
        ) from None


def _check_size(num_bytes: int) -> None:
    if num_bytes > MAX_BYTES:
        raise InvalidError(
            f"has {num_bytes} bytes, more than the {MAX_BYTES} that ground truth may have"
        )


def _parse(content: bytes) -> np.ndarray:
    stream = io.BytesIO(content)
    read_header = (
        npy.read_array_header_1_0
        if npy.read_magic(stream) == (1, 0)
        else npy.read_array_header_2_0  # of 3.0 it differs in the encoding of field names alone
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "created on Python 2", which much of the field's was
        shape, fortran, dtype = read_header(stream)
    rest = content[stream.tell() :]
    if not dtype.hasobject:
        return _from_bytes(rest, dtype, shape, "F" if fortran else "C")
    if dtype != np.dtype(object):
        raise InvalidError(f"is an array of {dtype}, not of numbers or lists; save plain lists")
    pickled = _Unpickler(rest).load()
    loaded = _settled(pickled, depth=3, seen={})
    if not isinstance(loaded, np.ndarray) or loaded.shape != shape:
        raise InvalidError("does not hold the array that its header announces; get it again")
    return loaded


def _from_bytes(
    data: bytes | bytearray, dtype: np.dtype[Any], shape: Any, order: Any
) -> np.ndarray:
    expected = dtype.itemsize * math.prod(shape)
    if len(data) != expected:
        raise InvalidError(f"is truncated: {len(data)} of {expected} bytes; get it again")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


class _Refused(Exception):
    """What the pickle asked for."""


class _StandIn:
    """Has a ``__setstate__``, so a pickle cannot set attributes of its own choice."""

    def __setstate__(self, state: Any) -> None:
        raise _Refused(f"a changed {type(self).__name__}")


class _Ndarray(_StandIn):
    """Stands for the class ``numpy.ndarray``."""


class _Dtype(_StandIn):
    """Stands for ``numpy.dtype``: text such as ``i8``, and later its byte order."""

    def __init__(self, name: str, *_: Any) -> None:
        if name not in ("O", "O8", "O4") and not _PLAIN.fullmatch(name):
            raise _Refused(f"numbers of type {name!r:.40}")
        self.name = name
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="

    @property
    def is_object(self) -> bool:
        return self.name.startswith("O")

    @property
    def dtype(self) -> np.dtype[Any]:
        if self.is_object:
            raise _Refused("objects in raw memory")
        return np.dtype(self.order + self.name)


class _Reconstruct(_StandIn):
    """Stands for the array that ``_reconstruct(ndarray, (0,), b"b")`` begins."""

    def __init__(self, *_: Any) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if dtype.is_object:
            # The cells come in C order, whatever the array's own; some may be stand-ins yet.
            self.array = _cells(data).reshape(shape)
        else:
            self.array = _from_bytes(_bytes(data), dtype.dtype, shape, "F" if fortran else "C")


class _Encode(_StandIn):
    """Stands for ``_codecs.encode``: how bytes were pickled before there were any."""

    def __new__(cls, text: str, encoding: str = "latin1") -> Any:
        if encoding != "latin1":
            raise _Refused(f"the codec {encoding!r:.40}")
        return text.encode(encoding)


class _Scalar(_StandIn):
    """Stands for ``scalar``: one number with a NumPy type."""

    def __new__(cls, dtype: _Dtype, data: Any) -> Any:
        return _from_bytes(_bytes(data), dtype.dtype, (1,), "C")[0]


class _FromBuffer(_Reconstruct):
    """Stands for the array that ``_frombuffer`` makes, which is how protocol 5 has it."""

    def __init__(self, data: Any, dtype: _Dtype, shape: Any, order: str) -> None:
        self.array = _from_bytes(_bytes(data), dtype.dtype, shape, order)


def _cells(values: Iterable[Any]) -> np.ndarray:
    """Make an object array of one dimension; a list stays one cell."""
    cells = list(values)
    return np.fromiter(cells, dtype=object, count=len(cells))


def _bytes(data: Any) -> bytes | bytearray:
    if isinstance(data, str):
        return data.encode("latin1")
    if not isinstance(data, bytes | bytearray):  # of a number, bytes() makes as many zeros
        raise _Refused(f"memory from a {type(data).__name__}")
    return data


_STAND_INS = {
    ("numpy", "ndarray"): _Ndarray,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Encode,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _Reconstruct),
            ("multiarray", "scalar", _Scalar),
            ("numeric", "_frombuffer", _FromBuffer),
        )
    },
}


# The one in Python: the one in C allocates whatever memory an index in the file asks for.
_InPython: Any = vars(pickle)["_Unpickler"]


class _Unpickler(_InPython):  # type: ignore[misc]
    dispatch = dict(_InPython.dispatch)

    def __init__(self, pickled: bytes) -> None:
        super().__init__(io.BytesIO(pickled), encoding="latin1")
        self.num_bytes_left = _MAX_GROWTH * len(pickled)

    def load_bytearray8(self) -> None:
        self.load_binbytes8()  # which reads what is there, and allocates nothing before
        self.stack[-1] = bytearray(self.stack[-1])

    def load_reduce(self) -> None:
        super().load_reduce()
        self.pay()

    def load_build(self) -> None:
        super().load_build()
        self.pay()

    def pay(self) -> None:
        """A file may name one text or list a million times, and have it copied each time."""
        made = self.stack[-1]
        if isinstance(made, _Reconstruct) and made.array is not None:
            self.num_bytes_left -= made.array.nbytes
        elif isinstance(made, bytes):
            self.num_bytes_left -= len(made)
        if self.num_bytes_left < 0:
            raise _Refused(f"more than {_MAX_GROWTH} times its size in memory")

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise _Refused(f"{module}.{name}"[:80])
        return _STAND_INS[module, name]


def _settled(value: Any, depth: int, seen: dict[int, Any]) -> Any:
    """Put arrays where their stand-ins are: the array itself, its cells, the lists in its cells.

    A file may name one list a million times; `seen` keeps it one list.
    """
    if id(value) in seen:
        return seen[id(value)]
    settled = value.array if isinstance(value, _Reconstruct) else value
    if depth and isinstance(settled, np.ndarray) and settled.dtype == object:
        inner = (_settled(cell, depth - 1, seen) for cell in settled.flat)
        settled = _cells(inner).reshape(settled.shape)
    elif depth and isinstance(settled, list | tuple):
        settled = [_settled(each, depth - 1, seen) for each in settled]
    if isinstance(value, _Reconstruct | list | tuple):
        seen[id(value)] = settled
    return settled
