"""Object arrays as NumPy really writes them, and as somebody who means harm might."""

import io
import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vprcap.errors import InvalidError, MissingError
from vprcap.manifests import object_array
from vprcap.manifests.object_array import read_array


def cells(*rows: tuple[Any, ...]) -> np.ndarray:
    array = np.empty((len(rows), len(rows[0])), dtype=object)
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            array[row, column] = value
    return array


def write_pickled(path: Path, header: np.ndarray, pickled: bytes) -> Path:
    """An ``.npy`` of object cells whose pickle is not NumPy's own choice."""
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(
            stream, np.lib.format.header_data_from_array_1_0(header)
        )
        stream.write(pickled)
    return path


GROUND_TRUTH = cells((0, [0, 1]), (1, [0, 1, 2]), (2, [-1]), (3, []))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_lists_are_read_as_every_protocol_has_them(tmp_path: Path, protocol: int) -> None:
    path = write_pickled(tmp_path / "gt.npy", GROUND_TRUTH, pickle.dumps(GROUND_TRUTH, protocol))
    assert read_array(path).tolist() == [[0, [0, 1]], [1, [0, 1, 2]], [2, [-1]], [3, []]]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_scalars_and_text_within_cells_are_read(tmp_path: Path, protocol: int) -> None:
    array = cells(
        (np.int64(7), np.array([1, 2], dtype=">i4")),
        (np.float32(0.5), [np.array([3], dtype=np.uint8), np.int16(4)]),
        ("name", np.asfortranarray([[1.0, 2.0], [3.0, 4.0]])),
        (None, np.array(["ab", "c"])),
        (np.True_, GROUND_TRUTH),
    )
    path = write_pickled(tmp_path / "gt.npy", array, pickle.dumps(array, protocol))
    found = read_array(path)
    assert found.shape == (5, 2)
    assert found[0, 0] == 7 and found[0, 1].tolist() == [1, 2]
    assert found[1, 0] == 0.5 and found[1, 1][0].tolist() == [3] and found[1, 1][1] == 4
    assert found[2, 0] == "name" and found[2, 1].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert found[3, 0] is None and found[3, 1].tolist() == ["ab", "c"]
    assert found[4, 0] and found[4, 1].tolist() == GROUND_TRUTH.tolist()


def test_numpys_own_file_reads_as_numpy_reads_it(tmp_path: Path) -> None:
    for name, array in {
        "c": GROUND_TRUTH,
        "fortran": np.asfortranarray(GROUND_TRUTH),
        "one cell": cells(([1, 2],)),
        "no cells": np.empty((0, 2), dtype=object),
        "scalar": np.array(None, dtype=object),
        "flat": np.array([[1], [2, 3]], dtype=object),
        "numbers": np.arange(6).reshape(2, 3),
        "fortran numbers": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "text": np.array(["ref/0000000.jpg", "ref/0000001.jpg"]),
    }.items():
        np.save(tmp_path / "a.npy", array, allow_pickle=True)
        theirs = np.load(tmp_path / "a.npy", allow_pickle=True)
        ours = read_array(tmp_path / "a.npy")
        assert (ours.shape, ours.dtype, ours.tolist()) == (
            theirs.shape,
            theirs.dtype,
            theirs.tolist(),
        ), name


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_module_names_of_numpy_1_and_2_are_the_same(tmp_path: Path, module: bytes) -> None:
    pickled = pickle.dumps(GROUND_TRUTH, protocol=2)
    pickled = pickled.replace(b"numpy._core.multiarray", module)
    assert module in pickled
    found = read_array(write_pickled(tmp_path / "gt.npy", GROUND_TRUTH, pickled))
    assert found.tolist() == GROUND_TRUTH.tolist()


def test_a_file_of_python_2_is_read(tmp_path: Path) -> None:
    # What Python 2 wrote for np.array([7], dtype=object): its str is bytes, its header says 1L.
    pickled = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK?tb\x89]K\x07atb."
    )
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1L,), }".ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + pickled
    (tmp_path / "gt.npy").write_bytes(content)
    assert read_array(tmp_path / "gt.npy").tolist() == [7]


class Harm:
    """Would create a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_in_a_file_is_not_run_and_is_named(tmp_path: Path, protocol: int) -> None:
    created = tmp_path / "created"
    array = cells((0, Harm(created)))
    path = write_pickled(tmp_path / "gt.npy", array, pickle.dumps(array, protocol))
    np.load(path, allow_pickle=True)
    assert created.exists(), "the file does no harm, so this test would show nothing"
    created.rmdir()
    with pytest.raises(InvalidError, match=r"asks for (posix|nt)\.mkdir, .* was not run"):
        read_array(path)
    assert not created.exists()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Path("x"), "pathlib"),
        (np.datetime64("2020-01-01"), "numbers of type 'M8'"),
        (np.ma.masked_array([1]), "numpy.ma"),
        (range(3), "builtins.range"),
        (np.zeros(1, dtype=[("a", "i4")]), "numbers of type 'V4'"),
    ],
)
def test_any_other_class_is_refused_by_name(tmp_path: Path, value: object, name: str) -> None:
    np.save(tmp_path / "gt.npy", cells((0, value)), allow_pickle=True)
    with pytest.raises(InvalidError, match=f"asks for {name}") as caught:
        read_array(tmp_path / "gt.npy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cnumpy\nndarray\n}(X\x01\x00\x00\x00aK\x01ub.",  # sets an attribute of a class
        b"cnumpy\nndarray\n)R}(X\x01\x00\x00\x00aK\x01ub.",  # ... of an instance
        b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8I00\nI01\ntRN}X\x04\x00\x00\x00nameNs\x86b.",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00bz2tR.",
        # A number made of a pointer.
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\x00\x00\x00O8tRC\x08AAAAAAAAtR.",
        b"Pan identity\n.",
        b"K\x01.",
        b"r\xff\xff\xff\x7f.",  # a memo of two thousand million places
        b"\x8e\xff\xff\xff\xff\xff\xff\x00\x00.",  # bytes without end
        b"",
        b"nonsense",
    ],
)
def test_pickles_that_numpy_never_writes_are_refused(tmp_path: Path, opcodes: bytes) -> None:
    path = write_pickled(tmp_path / "gt.npy", GROUND_TRUTH, opcodes)
    with pytest.raises(InvalidError, match=str(path)) as caught:
        read_array(path)
    assert "\n" not in str(caught.value)
    assert not hasattr(object_array._Ndarray, "a")


def test_every_truncation_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gt.npy"
    for array in (GROUND_TRUTH, np.arange(4)):
        np.save(path, array, allow_pickle=True)
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(InvalidError):
                read_array(path)


def test_a_header_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = write_pickled(tmp_path / "gt.npy", cells((0, 1)), pickle.dumps(GROUND_TRUTH))
    with pytest.raises(InvalidError, match="does not hold the array that its header announces"):
        read_array(path)


def test_files_beyond_the_limit_are_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "gt.npy", np.zeros(100))
    monkeypatch.setattr(object_array, "MAX_BYTES", 500)
    with pytest.raises(InvalidError, match="more than the 500"):
        read_array(tmp_path / "gt.npy")


def test_one_list_named_many_times_stays_one_list(tmp_path: Path) -> None:
    shared = list(range(100_000))
    array = np.empty(100_000, dtype=object)
    array[:] = [shared] * len(array)  # ten thousand million numbers, were each list its own
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    (tmp_path / "gt.npy").write_bytes(buffer.getvalue())
    found = read_array(tmp_path / "gt.npy")
    assert found[0] is found[-1] and found[0] == shared


def two_thousand_million() -> bytes:
    """2**31, as a pickle has it between its header and its end."""
    return pickle.dumps(2**31, 2)[2:-1]


SHARED_TEXT = b"X" + (1000).to_bytes(4, "little") + b"a" * 1000
DTYPE = b"cnumpy\ndtype\nX\x02\x00\x00\x00%s\x85R"
BOMBS = {
    "a bytearray of the announced size": b"\x96" + (2**31).to_bytes(8, "little") + b"x.",
    "bytes made of a number": (
        b"cnumpy.core.numeric\n_frombuffer\n("
        + two_thousand_million()
        + DTYPE % b"u1"
        + two_thousand_million()
        + b"\x85X\x01\x00\x00\x00CtR."
    ),
    "a text encoded time and again": (
        b"c_codecs\nencode\nq\x00" + SHARED_TEXT + b"\x85q\x01](" + b"h\x00h\x01R" * 2000 + b"e."
    ),
    "cells filled time and again": (
        b"](" + b"N" * 1000 + b"eq\x00(K\x01M\xe8\x03\x85" + DTYPE % b"O8" + b"\x89h\x00tq\x01"
        b"cnumpy.core.multiarray\n_reconstruct\nq\x02)q\x03](" + b"h\x02h\x03Rh\x01b" * 2000 + b"e."
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_does_not_become_large_in_memory(tmp_path: Path, bomb: str) -> None:
    path = write_pickled(tmp_path / "gt.npy", GROUND_TRUTH, BOMBS[bomb])
    tracemalloc.start()
    with pytest.raises(InvalidError, match="asks for (memory|more)|truncated|announces"):
        read_array(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000 + 2 * 16 * path.stat().st_size


def test_a_file_that_is_not_there_and_an_archive_say_so(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no .*absent.npy"):
        read_array(tmp_path / "absent.npy")
    (tmp_path / "gt.npy").write_bytes(b"PK\x03\x04 an archive by another name")
    with pytest.raises(InvalidError, match="is no NumPy array"):
        read_array(tmp_path / "gt.npy")
