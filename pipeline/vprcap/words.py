"""The words of captions, and which token belongs to which: what a gate is shown by.

A text encoder cuts words into pieces and adds marks of its own; a person wants to know which
*words* were believed. The table lies beside the text features as ``words.parquet``, one row per
image, and is made from the very strings that were encoded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from vprcap.errors import InvalidError, MissingError, first_line
from vprcap.files import replacing

NO_WORD = -1
"""What a mark such as [CLS] belongs to."""

WORDS_SCHEMA = pa.schema(
    [
        ("caption", pa.string()),  # null where there is none
        ("words", pa.list_(pa.string())),  # as written, in order
        ("word_of_token", pa.list_(pa.int16())),  # row in `words`, or -1
    ]
)


@dataclass(frozen=True)
class Words:
    """One caption's words; both lists are empty where there is no caption."""

    caption: str | None
    words: list[str]
    word_of_token: list[int]

    def gates(self, gate: Float[np.ndarray, " length"]) -> list[float]:
        """Mean gate of each word over its pieces; `gate` has one number per token."""
        owner = np.array(self.word_of_token, dtype=np.int64)
        pieces = owner != NO_WORD
        counts = np.bincount(owner[pieces], minlength=len(self.words))
        sums = np.bincount(owner[pieces], gate[: len(owner)][pieces], minlength=len(self.words))
        means: list[float] = (sums / np.maximum(counts, 1)).tolist()
        return means


def words_path(text_features: Path) -> Path:
    """Return where the words of a text feature set lie."""
    return text_features / "words.parquet"


def write_words(path: Path, batches: Iterable[Sequence[Words]]) -> Path:
    """Write the words of a whole manifest, batch by batch."""
    with replacing(path) as temporary, pq.ParquetWriter(temporary, WORDS_SCHEMA) as writer:
        for batch in batches:
            rows = [vars(each) for each in batch]
            writer.write_table(pa.Table.from_pylist(rows, schema=WORDS_SCHEMA))
    return path


def read_words(path: Path) -> list[Words]:
    """Read the words of a manifest's captions, in its order.

    Raises:
        MissingError: there is no such file.
        InvalidError: it is damaged.
    """
    if not path.is_file():
        raise MissingError(f"no words at {path}; remove that folder and extract again")
    try:
        rows = pq.read_table(path, schema=WORDS_SCHEMA).to_pylist()
    except (pa.ArrowInvalid, OSError) as problem:
        raise InvalidError(
            f"{path} is damaged ({first_line(problem)}); remove that folder and extract again"
        ) from None
    return [Words(**row) for row in rows]
