"""Whether those who hold what is left of a job are alive, seen without trusting any clock.

A worker that finds every shard held may leave the rest to the holders, as long as they live. A
node that was lost leaves leases behind that only look held until they are stale: whoever leaves
then leaves shards undone. So one looks twice: a living holder touches its lease in between.
"""

import time
from collections.abc import Callable
from pathlib import Path

from vprcap.caption_job import CaptionJob
from vprcap.commit_protocol.lease import HEARTBEAT_SECONDS, STALE_SECONDS

_LOOK_SECONDS = HEARTBEAT_SECONDS / 10


def wait_for_holders(
    job: CaptionJob, should_stop: Callable[[], bool], patience: float = STALE_SECONDS
) -> bool:
    """Wait until it is known whether all holders live; say whether there is work to take.

    Args:
        job: what is left of it is held.
        should_stop: ends the wait early; the answer is then no.
        patience: seconds after which a lease that nobody touched can be taken over.
    """
    before, begun = _touched(job), time.monotonic()
    while before and not should_stop():
        now = _touched(job)
        if None in now.values():
            return True
        if not any(now.get(lease) == touched for lease, touched in before.items()):
            return False
        if time.monotonic() - begun > patience:
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def _touched(job: CaptionJob) -> dict[Path, int | None]:
    """Return when the lease of each shard that is left was touched last; None: there is none."""
    finished = set(job.captions.names())
    left = [shard for shard in job.pending if job.captions.part(shard).name not in finished]
    return {lease: _mtime(lease) for lease in map(job.captions.lease, left)}


def _mtime(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
