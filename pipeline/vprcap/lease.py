"""A lease: one worker at a time works on a shard, and a dead worker's shard is taken over.

The file is created with O_EXCL and touched every few seconds. It is stale when its process is
gone from this host, or when it was not touched for `STALE_SECONDS` (judged by the file system's
own clock, since hosts disagree). A lease only saves work: that rows never double is guaranteed
by `files.commit`, even if two workers hold the same shard.
"""

import json
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from vprcap.files import storage_errors

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

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Lease:
    """A held lease; touches its file from a thread until it is released."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path = path
        self.token = holder.token
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            try:
                os.utime(self.path)
            except OSError:  # stolen or unreachable: commit decides, not the lease
                continue

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._heart.join()
        holder = read_holder(self.path)
        if holder is not None and holder.token == self.token:
            self.path.unlink(missing_ok=True)


def claim(path: Path) -> Lease | None:
    """Take a lease, stealing a stale one; None if somebody else holds it."""
    holder = Holder(this_host(), os.getpid(), uuid.uuid4().hex[:12], time.time())
    with storage_errors(path):
        if _create(path, holder) or (_is_stale(path) and _steal(path, holder)):
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
    """Return who holds a lease; None if nobody, or if its file is still being written."""
    try:
        return Holder(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def is_gone(holder: Holder) -> bool:
    """Say whether the holder's process has ended; only known of this host's."""
    return holder.host == this_host() and not _is_alive(holder.pid)


def _create(path: Path, holder: Holder) -> bool:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    text = json.dumps(asdict(holder))
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
    except OSError:  # a full disk must not leave a lease that nobody holds
        path.unlink(missing_ok=True)
        raise
    return True


def _is_stale(path: Path) -> bool:
    holder = read_holder(path)
    if holder is not None and is_gone(holder):
        return True
    try:
        return _now(path.parent) - path.stat().st_mtime > STALE_SECONDS
    except FileNotFoundError:
        return True


def _steal(path: Path, holder: Holder) -> bool:
    """Move the old lease away, which only one thief can do, then create a new one."""
    stale = read_holder(path)
    grave = path.with_name(f".{path.name}.{holder.token}")
    try:
        os.rename(path, grave)
    except FileNotFoundError:
        return False
    if read_holder(grave) != stale:  # another thief was faster and this is its fresh lease
        os.replace(grave, path)
        return False
    grave.unlink()
    return _create(path, holder)


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
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
