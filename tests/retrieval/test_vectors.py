from pathlib import Path

import numpy as np
import pytest

from vprcap.errors import InvalidError, MissingError
from vprcap.retrieval.vectors import StoredVectors, read_npy, write_npy

ROWS = np.arange(60, dtype=np.float32).reshape(20, 3)


@pytest.fixture
def stored(tmp_path: Path) -> StoredVectors:
    return write_npy(tmp_path / "v.npy", ROWS.shape, np.float32, [ROWS[:7], ROWS[7:]])


@pytest.mark.parametrize("block_rows", [1, 6, 7, 20, 50])
def test_blocks_give_every_row_once_and_in_order(stored: StoredVectors, block_rows: int) -> None:
    cut = stored.within(2 * 12 * block_rows)
    blocks = [(start, block.copy()) for start, block in cut.blocks()]
    assert [start for start, _ in blocks] == list(range(0, 20, min(block_rows, 20)))
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), ROWS)


def test_rows_are_taken_in_the_order_asked_for(stored: StoredVectors) -> None:
    np.testing.assert_array_equal(stored.take(np.array([19, 0, 3, 3])), ROWS[[19, 0, 3, 3]])


def test_numpy_reads_the_file_without_pickle(stored: StoredVectors) -> None:
    np.testing.assert_array_equal(np.load(stored.path, allow_pickle=False), ROWS)


def test_a_loop_that_is_left_early_leaves_no_thread_behind(stored: StoredVectors) -> None:
    import threading

    before = set(threading.enumerate())
    blocks = stored.within(24).blocks()
    next(blocks)
    blocks.close()
    assert set(threading.enumerate()) <= before


def test_files_that_are_no_vectors_are_named(stored: StoredVectors, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no file .*gone\.npy"):
        read_npy(tmp_path / "gone.npy", np.float32)
    whole = stored.path.read_bytes()
    for damaged in (whole[:-1], whole[:40], b"", b"\x80\x04pickle", whole + b"x"):
        stored.path.write_bytes(damaged)
        with pytest.raises(InvalidError, match=r"v\.npy is damaged"):
            read_npy(stored.path, np.float32)
    np.save(stored.path, ROWS.astype(np.float64))
    with pytest.raises(InvalidError, match="is damaged"):
        read_npy(stored.path, np.float32)
    np.save(stored.path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidError, match="is damaged"):
        read_npy(stored.path, np.float32)


def test_a_file_that_shrinks_while_it_is_read_is_named(stored: StoredVectors) -> None:
    stored.path.write_bytes(stored.path.read_bytes()[:-8])
    with pytest.raises(InvalidError, match="ends too early"):
        list(stored.within(10**6).blocks())
