"""Search in a caption set: which rows have certain words, a status, a flag, or another text.

Rows are looked through a block at a time and only their positions are kept, four bytes each, so the
set may be as large as it likes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, UInt32

from vprcap.caption_sets.blocks import Block, Blocks
from vprcap.errors import Interrupted

_COLUMNS = ("image_id", "caption", "status", "qa_flags")
MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What rows must have; everything together."""

    words: tuple[str, ...] = ()
    """Parts of the caption or the image id, in any case."""
    status: str | None = None
    flag: str | None = None
    different: bool = False
    """Other words than in the set that this one is compared with, where both have a caption."""

    @property
    def everything(self) -> bool:
        """Whether all rows will do."""
        return self == EVERYTHING


EVERYTHING = Asked()


def words_of(text: str) -> tuple[str, ...]:
    """Part what somebody typed into words."""
    return tuple(text[:MOST_CHARACTERS].split())


def search(
    blocks: Blocks,
    asked: Asked,
    other: Blocks | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> UInt32[np.ndarray, " rows"]:
    """Find the rows that have all that is asked, and return their positions in the set, ascending.

    Args:
        blocks: the set.
        asked: what they must have; words are looked for in the other set's captions too.
        other: a set to compare with.
        should_stop: asked now and then.

    Raises:
        Interrupted: `should_stop` became true.
    """
    if asked.everything:
        return np.arange(blocks.num_rows, dtype=np.uint32)
    found = []
    for block in blocks.blocks:
        if should_stop():
            raise Interrupted("stopped while rows were being searched")
        matching = _matching(block, asked, other)
        found.append((block.start + np.flatnonzero(matching)).astype(np.uint32))
    return np.concatenate(found)


def _matching(block: Block, asked: Asked, other: Blocks | None) -> Bool[np.ndarray, " rows"]:
    rows = block.read(_COLUMNS)
    matching = np.ones(rows.num_rows, dtype=bool)
    if asked.status is not None:
        matching &= pc.equal(rows["status"], asked.status).to_numpy()
    if asked.flag is not None:
        matching &= _flagged(rows["qa_flags"], asked.flag)
    if not matching.any():
        return matching
    text = pc.fill_null(rows["caption"], "")
    compared = _other_captions(rows["image_id"], other) if other and _needs(asked) else None
    if asked.different and compared is not None:
        matching &= _differ(rows["caption"], compared)
    texts = [text, rows["image_id"], *([] if compared is None else [pc.fill_null(compared, "")])]
    for word in asked.words:
        # Side by side, with a line between that nobody can ask for.
        joined = pc.binary_join_element_wise(*texts, "\n")
        matching &= pc.match_substring(joined, word, ignore_case=True).to_numpy()
    return matching


def _differ(one: pa.ChunkedArray, other: pa.Array) -> Bool[np.ndarray, " rows"]:
    """Say where both have words, and not the same ones."""
    left, right = (
        pc.utf8_trim_whitespace(pc.replace_substring_regex(each, r"\s+", " "))
        for each in (one, other)
    )
    both = pc.and_(pc.greater(pc.utf8_length(left), 0), pc.greater(pc.utf8_length(right), 0))
    differ = pc.fill_null(pc.and_(both, pc.not_equal(left, right)), False)
    found: np.ndarray = differ.to_numpy()
    return found


def _needs(asked: Asked) -> bool:
    """Say whether the other set's captions have to be read."""
    return asked.different or bool(asked.words)


def _flagged(flags: pa.ChunkedArray, flag: str) -> Bool[np.ndarray, " rows"]:
    lists = flags.combine_chunks()
    rows = pc.list_parent_indices(lists).filter(pc.equal(pc.list_flatten(lists), flag))
    flagged = np.zeros(len(lists), dtype=bool)
    flagged[rows.to_numpy()] = True
    return flagged


def _other_captions(image_ids: pa.ChunkedArray, other: Blocks) -> pa.Array:
    """Captions of the same images in another set: empty where it has none, null without a row."""
    ids: Sequence[str] = image_ids.to_pylist()
    found = {
        image_id: row["caption"] or ""
        for image_id, row in other.find(ids, ("image_id", "caption")).items()
    }
    return pa.array([found.get(each) for each in ids], pa.string())
