"""Reopen: finished shards with rows that are to be made again go back into work.

The rows that stay are journaled and flushed before the part leaves its folder, so a kill at any
moment loses none of them, and `caption` makes only the others. A set that was compacted gets its
parts back first. Readers miss the reopened shards until `caption` has finished them.
"""

import os
from pathlib import Path

import pyarrow as pa

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import PROVENANCE
from vprcap.caption_sets.generations import changing, expand
from vprcap.caption_sets.row_filter import RowFilter
from vprcap.caption_sets.shard_rows import iter_rows, summaries_of
from vprcap.commit_protocol.journal import Journal, remove_journals
from vprcap.commit_protocol.lease import claim, read_holder
from vprcap.errors import BusyError
from vprcap.fault_points import passing
from vprcap.files import fsync_folder, storage_errors
from vprcap.manifests.plan import Shard

# Not the configuration: a caption that was written again has another than its set.
_SHARED = [name for name in PROVENANCE if name != "config_id"]


def reopen(captions: CaptionSet, where: RowFilter) -> int:
    """Take finished shards with such rows back into work; return how many rows that are.

    Raises:
        BusyError: another process works on such a shard, or changes the set.
        InvalidError: a part is damaged.
    """
    with changing(captions) as current:
        matching = [
            shard for shard, known in summaries_of(current) if any(map(where, known.statuses))
        ]
        if matching and current.is_compacted():
            current = expand(current)
        return sum(_reopen(current, shard, where) for shard in matching)


def _reopen(captions: CaptionSet, shard: Shard, where: RowFilter) -> int:
    part = captions.part(shard)
    lease = claim(captions.lease(shard))
    if lease is None:
        holder = read_holder(captions.lease(shard)) or "another run"
        raise BusyError(f"{shard} of {captions.root.name} is held by {holder}; wait for it")
    with lease:
        rows = pa.concat_tables(iter_rows(part)).drop_columns(_SHARED).to_pylist()
        kept = [row for row in rows if not where(row["status"])]
        if len(kept) < len(rows):
            # What a killed attempt journaled may hold rows that are meant this time.
            remove_journals(captions.journals, shard.name)
            with storage_errors(captions.attempts(shard)):
                passing("reopen.attempts")
                captions.attempts(shard).unlink(missing_ok=True)  # every image gets a fresh chance
            with Journal(captions.journals, shard.name, lease.token) as journal:
                journal.append(kept)
            _retire(part, captions.retired(shard), captions.summary(shard))
    return len(rows) - len(kept)


def _retire(part: Path, retired: Path, summary: Path) -> None:
    with storage_errors(part):
        passing("reopen.summary")
        summary.unlink(missing_ok=True)  # it would outlive its part and be wrong of the next
        passing("reopen.retire")
        os.replace(part, retired)
        fsync_folder(part.parent)
