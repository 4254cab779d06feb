"""The rows of a caption set, a shard at a time: it need not fit into memory, compacted or not."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.summaries import Summary, read_summaries, summarise
from vprcap.errors import InvalidError, first_line
from vprcap.manifests.plan import PlanInfo, Shard

FIRST_SHARD = b"vprcap.first_shard"
"""Key in the footer of a compacted file, which holds whole shards from this one on."""


def iter_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Read a file of rows, a row group at a time; page checksums are verified.

    Args:
        path: a part, or a compacted file.
        columns: which; None: all.

    Raises:
        InvalidError: it is damaged.
    """
    wanted = None if columns is None else list(columns)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                # A part is too small to share its columns among threads: half of the time.
                yield file.read_row_group(group, wanted, use_threads=False)
    except (pa.ArrowException, OSError, KeyError) as problem:
        raise damaged(path, problem) from None


def damaged(path: Path, problem: Exception) -> InvalidError:
    """Say that a file of rows cannot be read."""
    return InvalidError(
        f"caption part {path} is damaged ({first_line(problem)}); "
        "move it away and run again to remake it"
    )


def finished(captions: CaptionSet) -> list[Shard]:
    """Return the shards that have their rows, by names alone: no file is opened."""
    shards = captions.covers().shards
    if captions.is_compacted():  # only a whole set is ever compacted
        return shards
    names = set(captions.names())
    return [shard for shard in shards if f"{shard.name}.parquet" in names]


def iter_shards(
    captions: CaptionSet,
    columns: Sequence[str] | None = None,
    only: Collection[Shard] | None = None,
) -> Iterator[tuple[Shard, pa.Table]]:
    """Read finished shards in plan order.

    Args:
        captions: the set, bound to a generation.
        columns: which; None: all.
        only: which shards; None: all. Files without any of them are not read.

    Raises:
        InvalidError: a file is damaged.
    """
    if captions.is_compacted():
        yield from _iter_compacted(captions, columns, only)
        return
    for shard in finished(captions):
        if only is None or shard in only:
            yield shard, pa.concat_tables(iter_rows(captions.part(shard), columns))


def _iter_compacted(
    captions: CaptionSet, columns: Sequence[str] | None, only: Collection[Shard] | None
) -> Iterator[tuple[Shard, pa.Table]]:
    covered = captions.covers()
    for path in captions.files():
        held = shards_of(path, covered)
        if only is not None and not any(shard in only for shard in held):
            continue
        tables = cut(iter_rows(path, columns), covered.shard_size)
        for shard, rows in zip(held, tables, strict=False):  # what is too much, `verify` tells
            if only is None or shard in only:
                yield shard, rows


def shards_of(path: Path, covered: PlanInfo) -> list[Shard]:
    """Return the shards whose rows a compacted file holds, by its footer.

    Raises:
        InvalidError: it is damaged.
    """
    try:
        metadata = pq.read_metadata(path)
        first = int((metadata.metadata or {})[FIRST_SHARD])
    except (pa.ArrowException, OSError, KeyError, ValueError) as problem:
        raise damaged(path, problem) from None
    return covered.shards[first : first - (-metadata.num_rows // covered.shard_size)]


def cut(tables: Iterable[pa.Table], num_rows: int) -> Iterator[pa.Table]:
    """Cut a stream of rows anew; only the last table may have fewer."""
    held: pa.Table | None = None
    for table in tables:
        held = table if held is None else pa.concat_tables([held, table])
        while held.num_rows >= num_rows:
            yield held[:num_rows]
            held = held[num_rows:]
    if held is not None and held.num_rows:
        yield held


def summaries_of(captions: CaptionSet) -> Iterator[tuple[Shard, Summary]]:
    """Return what is known of each finished shard; rows are read only where nothing is known."""
    shards = finished(captions)
    found = read_summaries(captions, [shard.name for shard in shards])
    unknown = set()
    for shard, summary in zip(shards, found, strict=True):
        if summary is None:
            unknown.add(shard)
        else:
            yield shard, summary
    if unknown:
        for shard, rows in iter_shards(captions, ["status", "copied_from"], unknown):
            yield shard, summarise(shard.name, rows)
