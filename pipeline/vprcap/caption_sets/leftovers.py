"""Leftovers: what a worker that was killed between its commit and its tidying has left behind.

They do no harm, but nobody else would ever remove them: the shard is finished, so no worker claims
it again. What belongs to a shard is touched only with its lease in hand.
"""

import os
from pathlib import Path

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.commit_protocol.lease import claim
from vprcap.fault_points import passing
from vprcap.files import storage_errors


def remove_leftovers(captions: CaptionSet) -> int:
    """Remove the leftovers of finished shards that nobody holds; return of how many."""
    finished = {name.removesuffix(".parquet") for name in _names(captions.data)}
    folders = [captions.journals, captions.staging, captions.attempts_folder, captions.leases]
    stems = {name.partition(".")[0] for folder in folders for name in _names(folder)}
    return sum(_remove(captions, stem) for stem in sorted(finished & stems))


def _remove(captions: CaptionSet, stem: str) -> bool:
    lease = claim(captions.leases / f"{stem}.json")
    if lease is None:
        return False
    with lease, storage_errors(captions.root):
        if not (captions.data / f"{stem}.parquet").exists():  # taken back into work just now
            return False
        for folder in (captions.journals, captions.staging, captions.attempts_folder):
            for path in folder.glob(f"{stem}.*"):
                passing("leftovers.remove")
                path.unlink(missing_ok=True)
    return True


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []
