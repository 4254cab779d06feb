"""The rows of a caption set at random: any row of any number, without reading the others.

A block is a row group of a Parquet file: the part of a shard, or a piece of a compacted file. Where
its rows lie in the set and which images it may hold is told by the file's footer.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.shard_rows import damaged
from vprcap.errors import MissingError

_IMAGE_ID = 0
"""Column of the files."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that are read together."""

    path: Path
    group: int
    start: int
    """Position of the first row in the set."""
    num_rows: int
    first: str
    """No image id is smaller."""
    last: str

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Read some columns.

        Raises:
            InvalidError: the file is damaged, or gone.
        """
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                rows = file.read_row_group(self.group, list(columns), use_threads=False)
                return rows.select(list(columns))
        except (pa.ArrowException, OSError, KeyError) as problem:
            raise damaged(self.path, problem) from None


class Blocks:
    """All blocks of a caption set as it is now; what is written later is not seen."""

    def __init__(self, captions: CaptionSet) -> None:
        """Read the footers.

        Raises:
            MissingError: nothing is captioned yet.
            InvalidError: a file is damaged.
        """
        self.blocks: list[Block] = []
        for path in captions.now().files():
            start = self.num_rows
            self.blocks += _blocks_of(path, start)
        if not self.blocks:
            raise MissingError(f"no captions in {captions.root}; write them with `vprcap caption`")
        self._starts = [block.start for block in self.blocks]
        self._firsts = [block.first for block in self.blocks]

    @property
    def num_rows(self) -> int:
        """Rows of all blocks."""
        return self.blocks[-1].start + self.blocks[-1].num_rows if self.blocks else 0

    def take(self, positions: Sequence[int], columns: Sequence[str]) -> list[dict[str, Any]]:
        """Read rows by their position in the set, ascending."""
        rows: list[dict[str, Any]] = []
        for block, own in self._by_block(positions):
            table = block.read(columns)
            rows += table.take([position - block.start for position in own]).to_pylist()
        return rows

    def find(self, image_ids: Sequence[str], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Read the rows of some images, by image id; those that the set has not are left out.

        Args:
            image_ids: ascending, as sets are.
            columns: ``image_id`` among them.
        """
        found: dict[str, dict[str, Any]] = {}
        if not image_ids:
            return found
        wanted = pa.array(image_ids, pa.string())
        for block in self._between(image_ids[0], image_ids[-1]):
            table = block.read(columns)
            rows = table.filter(pc.is_in(table["image_id"], value_set=wanted))
            found |= {row["image_id"]: row for row in rows.to_pylist()}
        return found

    def _between(self, first: str, last: str) -> Iterator[Block]:
        begin = max(0, bisect_right(self._firsts, first) - 1)
        for block in self.blocks[begin : bisect_right(self._firsts, last)]:
            if block.last >= first:
                yield block

    def _by_block(self, positions: Sequence[int]) -> Iterator[tuple[Block, list[int]]]:
        done = 0
        while done < len(positions):
            block = self.blocks[bisect_right(self._starts, positions[done]) - 1]
            end = block.start + block.num_rows
            own = [position for position in positions[done:] if position < end]
            yield block, own
            done += len(own)


def _blocks_of(path: Path, start: int) -> Iterator[Block]:
    try:
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            if group.num_rows:
                yield Block(path, number, start, group.num_rows, *_range(path, number, group))
            start += group.num_rows
    except (pa.ArrowException, OSError) as problem:
        raise damaged(path, problem) from None


def _range(path: Path, number: int, group: pq.RowGroupMetaData) -> tuple[str, str]:
    """Return the first and last image id of a row group, from its footer where that tells."""
    statistics = group.column(_IMAGE_ID).statistics
    if statistics is not None and statistics.has_min_max:
        return statistics.min, statistics.max
    ids = pq.ParquetFile(path).read_row_group(number, ["image_id"])["image_id"]
    return ids[0].as_py(), ids[-1].as_py()
