"""A lease: one worker at a time works on a shard, and a dead worker's shard is taken over.

The file appears whole, for one worker only, and is touched every few seconds. It is stale when its
process is gone from this host, or when it was not touched for `STALE_SECONDS` (judged by the file
system's own clock, since hosts disagree). Who takes over a stale lease counts one attempt more; a
lease that is released takes the count with it. A lease only saves work: that rows never double is
guaranteed by `files.commit`, even if two workers hold the same shard.
"""

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vprcap.fault_points import passing
from vprcap.files import create, move_if_absent, storage_errors

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease."""

    host: str
    pid: int
    token: str
    since: float = 0.0
    """When it was claimed, in Unix seconds by the holder's clock; 0: not known."""
    attempt: int = 1
    """One more than the workers that have died, or were lost, with this lease in hand."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Lease:
    """A held lease; touches its file from a thread until it is released."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path = path
        self.token = holder.token
        self.attempt = holder.attempt
        self._lost = threading.Event()
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    @property
    def lost(self) -> bool:
        """Whether the last heartbeat found that another worker has taken it."""
        return self._lost.is_set()

    def is_held(self) -> bool:
        """Look whether it still is this worker's: not so if it was stolen while this one slept."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            self._lost.set()
            return False
        except OSError:  # unreachable for now: commit decides, not the lease
            return not self.lost
        if not isinstance(found, dict) or found.get("token") != self.token:
            self._lost.set()
        return not self.lost

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS) and self.is_held():
            with suppress(OSError):
                passing("lease.heartbeat")
                os.utime(self.path)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._heart.join()
        if self.is_held():
            with suppress(OSError):  # what cannot be removed goes stale by itself
                _bury(self.path)  # first: while the lease is there, nobody else makes such files
                passing("lease.release")
                self.path.unlink(missing_ok=True)


def claim(path: Path) -> Lease | None:
    """Take a lease, stealing a stale one; None if somebody else holds it."""
    holder = Holder(this_host(), os.getpid(), uuid.uuid4().hex[:12], time.time())
    with storage_errors(path):
        if _create(path, holder):
            return Lease(path, holder)
        stale = read_holder(path)
        if _is_stale(path, stale) and _steal(path, stale, holder.token):
            holder = replace(holder, attempt=stale.attempt + 1 if stale else 2)
            if _create(path, holder):
                return Lease(path, holder)
    return None


def this_host() -> str:
    """Name the place where a process id means something: the host, and its container's own ids."""
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{namespace}"


def read_holder(path: Path) -> Holder | None:
    """Return who holds a lease; None if nobody, or if its file is damaged."""
    try:
        return Holder(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def is_gone(holder: Holder) -> bool:
    """Say whether the holder's process has ended; only known of this host's."""
    return holder.host == this_host() and not _is_alive(holder.pid)


def _create(path: Path, holder: Holder) -> bool:
    return create(path, json.dumps(asdict(holder)), token=holder.token)


def _is_stale(path: Path, holder: Holder | None) -> bool:
    if holder is not None and is_gone(holder):
        return True
    try:
        return _now(path.parent) - path.stat().st_mtime > STALE_SECONDS
    except FileNotFoundError:
        return False


def _steal(path: Path, stale: Holder | None, token: str) -> bool:
    """Move the old lease away, which only one thief can do."""
    grave = path.with_name(f".{path.name}.{token}")
    try:
        passing("lease.steal")
        os.rename(path, grave)
        if read_holder(grave) == stale:
            passing("lease.bury")
            grave.unlink()
            return True
        # Another thief was faster, this is its fresh lease: give it back, unless a third is there.
        move_if_absent(grave, path)
    except FileNotFoundError:
        return False
    return False


def _bury(path: Path) -> None:
    """Remove what thieves that were killed have left of a lease."""
    for grave in path.parent.glob(f".{path.name}.*"):
        grave.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _now(folder: Path) -> float:
    """Return the file system's time in seconds: the age of a file touched right now."""
    probe = folder / f".clock.{os.getpid()}.{threading.get_ident()}"
    passing("lease.clock")
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
