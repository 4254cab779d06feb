from pathlib import Path

import numpy as np
import pytest

from vprcap.errors import InvalidError, MissingError
from vprcap.words import Words, read_words, write_words

RED = Words("red-brick house", ["red", "-", "brick", "house"], [-1, 0, 1, 2, 2, 3, -1])
NOTHING = Words(None, [], [])


def test_the_gate_of_a_word_is_the_mean_of_its_pieces_and_marks_have_no_part() -> None:
    gate = np.array([0.9, 0.1, 0.2, 0.3, 0.5, 0.6, 0.9, 0.0, 0.0], dtype=np.float32)
    assert RED.gates(gate) == pytest.approx([0.1, 0.2, 0.4, 0.6])


def test_a_missing_caption_has_no_gates() -> None:
    assert NOTHING.gates(np.zeros(4, dtype=np.float32)) == []


def test_words_come_back_as_they_were_written(tmp_path: Path) -> None:
    hostile = Words("<b>\x1b[31m</b>", ["<b>\x1b[31m</b>"], [0])
    path = write_words(tmp_path / "words.parquet", [[RED, NOTHING], [hostile]])
    assert read_words(path) == [RED, NOTHING, hostile]


def test_words_that_are_absent_or_damaged_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no words at"):
        read_words(tmp_path / "words.parquet")
    (tmp_path / "words.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(InvalidError, match="damaged"):
        read_words(tmp_path / "words.parquet")
