"""Adopt: captions that were written again -> the set that they were flagged in, where better.

Never in place: the rows are written anew as the set's next generation, which takes its name in one
rename. Until then, and for readers that have them open, the old captions stay. A row that is
replaced bears the `config_id` of its own configuration.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import PARQUET, PROVENANCE
from vprcap.caption_sets.generations import changing, next_generation
from vprcap.caption_sets.retried import is_better, iter_with_retries
from vprcap.caption_sets.shard_rows import finished
from vprcap.errors import MissingError
from vprcap.files import fsync, read_json, storage_errors
from vprcap.progress import Progress

_COMPARED = ("image_id", "image_sha256", "caption", "finish_reason")


def adopt(captions: CaptionSet, again: CaptionSet) -> int:
    """Take over the captions of another set that are better; return how many those are.

    Args:
        captions: the set that was flagged.
        again: a set of some of its images, under another decoding configuration.

    Raises:
        MissingError: shards of either are still to be captioned.
        InvalidError: a part is damaged; nothing has changed then.
        BusyError: another process changes the set.
    """
    with changing(captions) as current:
        again = again.now()
        for each in (current, again):
            _check_whole(each)
        better = _better(current, again)
        if better:
            _write(current, again, better)
    return len(better)


def _check_whole(captions: CaptionSet) -> None:
    shards = captions.covers().shards
    left = len(shards) - len(finished(captions))
    if left:
        raise MissingError(
            f"{left} of {len(shards)} shards of {captions.root.name} have no rows yet; "
            "run the same command again to finish them"
        )


def _better(captions: CaptionSet, again: CaptionSet) -> set[str]:
    """Return the images whose second caption is better than the first."""
    prompt = read_json(captions.config_json)["prompt"]
    better = set()
    for _, rows, retried in iter_with_retries(captions, again, _COMPARED):
        for old in rows.to_pylist() if retried else ():
            new = retried.get(old["image_id"])
            if new is not None and old["caption"] is not None and is_better(new, old, prompt):
                better.add(old["image_id"])
    return better


def _write(captions: CaptionSet, again: CaptionSet, better: set[str]) -> None:
    with (
        next_generation(captions) as folder,
        Progress("replacing captions", captions.covers().num_images, "rows") as progress,
    ):
        for shard, rows, retried in iter_with_retries(captions, again):
            wanted = {name: retried[name] for name in retried.keys() & better}
            path = folder / captions.part(shard).name
            with storage_errors(path):
                pq.write_table(_replaced(rows, wanted), path, **PARQUET)
                fsync(path)
            progress.advance(rows.num_rows)


def _replaced(rows: pa.Table, wanted: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """Put the wanted rows in the place of those of the same images; the rest stays as it is."""
    if not wanted:
        return rows
    stays = [name for name in PROVENANCE if name != "config_id"]
    made = [
        old | {k: v for k, v in wanted.get(old["image_id"], {}).items() if k not in stays}
        for old in rows.to_pylist()
    ]
    return pa.Table.from_pylist(made, schema=rows.schema)
