"""Compact: the shard parts of a whole caption set -> few large files, as its next generation.

Never in place: the new files are built aside, read back page by page and compared with the parts,
and then take their name in one rename. The parts stay until the next compaction, for readers that
have them open. Memory holds one row group.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import CAPTION_SCHEMA, PARQUET
from vprcap.caption_sets.generations import changing, next_generation, remove_older
from vprcap.caption_sets.shard_rows import FIRST_SHARD, finished, iter_rows
from vprcap.caption_sets.summaries import read_summary, summarise
from vprcap.errors import InvalidError, MissingError
from vprcap.files import fsync, storage_errors, write_json
from vprcap.manifests.plan import Plan, Shard
from vprcap.progress import Progress

ROWS_PER_FILE = 1 << 20
ROWS_PER_GROUP = 1 << 15


def compact(captions: CaptionSet, plan: Plan, *, rows_per_file: int = ROWS_PER_FILE) -> list[Path]:
    """Compact a whole caption set and return the folders of older generations that were removed.

    Of a set that is compacted already, only what is older goes.

    Args:
        captions: the set.
        plan: its plan.
        rows_per_file: about how many; a file holds whole shards.

    Raises:
        MissingError: shards are still to be captioned.
        InvalidError: a part is damaged, or has other rows than the plan.
        BusyError: another process changes the set.
    """
    with changing(captions) as current:
        assert current.generation is not None
        if current.is_compacted():
            return remove_older(current, than=current.generation)
        _check_whole(current, plan)
        with (
            next_generation(current) as folder,
            Progress("compacting", plan.info.num_images, "rows") as progress,
        ):
            files = _in_runs(plan.shards, rows_per_file // plan.info.shard_size)
            for index, shards in enumerate(files):
                path = folder / current.compacted(index, len(files))
                _write(path, current, plan, shards)
                _check_equal(path, current, plan, shards)
                progress.advance(sum(plan.num_rows(shard) for shard in shards))
        return remove_older(current, than=current.generation)


def _check_whole(captions: CaptionSet, plan: Plan) -> None:
    left = len(plan.shards) - len(finished(captions))
    if left:
        raise MissingError(
            f"{left} of {len(plan.shards)} shards of {captions.root.name} have no rows yet; "
            "finish them with `vprcap caption`, then compact"
        )


def _in_runs(shards: list[Shard], length: int) -> list[list[Shard]]:
    step = max(1, length)
    return [shards[start : start + step] for start in range(0, len(shards), step)]


def _write(path: Path, captions: CaptionSet, plan: Plan, shards: list[Shard]) -> None:
    groups = _groups(captions, plan, shards)
    first = next(groups)
    known = first.schema.metadata | {FIRST_SHARD: str(shards[0].index).encode()}
    schema = CAPTION_SCHEMA.with_metadata(known)
    with storage_errors(path):
        with pq.ParquetWriter(path, schema, **PARQUET) as writer:
            for rows in chain([first], groups):
                writer.write_table(rows.replace_schema_metadata(known), row_group_size=len(rows))
        fsync(path)


def _groups(captions: CaptionSet, plan: Plan, shards: list[Shard]) -> Iterator[pa.Table]:
    """Yield the rows of a file's shards, a row group at a time."""
    for run in _in_runs(shards, ROWS_PER_GROUP // plan.info.shard_size):
        tables = [_rows_of(captions, plan, shard) for shard in run]
        # Parts of an earlier version may lack a column: it is null there.
        whole = pa.concat_tables([*tables, CAPTION_SCHEMA.empty_table()], promote_options="default")
        yield whole.select(CAPTION_SCHEMA.names).unify_dictionaries()


def _rows_of(captions: CaptionSet, plan: Plan, shard: Shard) -> pa.Table:
    part = captions.part(shard)
    rows = pa.concat_tables(iter_rows(part))
    if not rows["image_id"].combine_chunks().equals(plan.id_array(shard)):
        raise InvalidError(
            f"caption part {part} has other images than the plan; see `vprcap verify`, "
            "move it away and run `vprcap caption` again"
        )
    if read_summary(captions.summary(shard)) is None:  # the part it could be made from will go
        write_json(captions.summary(shard), asdict(summarise(part.name, rows)))
    return rows


def _check_equal(path: Path, captions: CaptionSet, plan: Plan, shards: list[Shard]) -> None:
    """Compare a file that was written with the parts that it was made of."""
    written = _plain(iter_rows(path))
    wanted = _plain(_groups(captions, plan, shards))
    if not all(ours.equals(theirs) for ours, theirs in zip(written, wanted, strict=True)):
        raise InvalidError(
            f"{path.name} does not read back as it was written; check the disk, then compact again"
        )


def _plain(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Spell out dictionary columns: equal values may have other numbers in another file."""
    for table in tables:
        names = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
        for name in names:
            column = table[name].cast(pa.string())
            table = table.set_column(table.schema.get_field_index(name), name, column)
        yield table.replace_schema_metadata(None)
