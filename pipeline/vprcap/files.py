"""A file is whole or absent.

Two ways to get there. `replacing` is for artefacts with one writer: write beside the target, then
rename over it. `commit` is for artefacts that several workers may make at once: the finished file
is *linked* to its name, which fails if the name exists, so of any number of writers one wins and
no reader ever sees half a file. Both flush to the disk before the name appears.
"""

import errno
import hashlib
import json
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from vprcap.errors import InvalidError, MissingError, StorageError, first_line
from vprcap.fault_points import passing

logger = logging.getLogger(__name__)
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP}
_STORAGE = {errno.ENOSPC: "no space left", errno.EDQUOT: "over quota", errno.EROFS: "read-only"}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what a file system can refuse (full, forbidden, broken, no place) into one line."""
    try:
        yield
    except OSError as problem:
        cause = _STORAGE.get(problem.errno or 0) or problem.strerror or first_line(problem)
        raise StorageError(
            f"cannot write {path}: {cause}; what was finished before is kept: "
            "make room or choose another folder, then run the same command again"
        ) from problem


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the body ends well it becomes `path`, whole."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            fsync(temporary)
            passing("files.replace")
            os.replace(temporary, path)
            fsync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def commit(staged: Path, final: Path) -> bool:
    """Give `staged` its final name unless the name is taken; say whether it was given.

    `staged` must lie on the same file system and be fully written; it is gone afterwards.
    """
    with storage_errors(final):
        fsync(staged)
        given = move_if_absent(staged, final)
        if given:
            fsync_folder(final.parent)
    return given


def move_if_absent(source: Path, target: Path) -> bool:
    """Give a file another name unless that is taken; the first name is gone in both cases.

    Where hard links do not exist, the check and the rename are two steps, which is said once.
    """
    try:
        passing("files.link")
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as problem:
        if problem.errno not in _NO_LINKS:
            raise
        _say_what_is_left(target.parent)
        if target.exists():
            return False
        os.replace(source, target)
    finally:
        passing("files.unlink")
        source.unlink(missing_ok=True)
    return True


def create(path: Path, text: str, token: str) -> bool:
    """Write a small file unless its name is taken; it appears with its text, or not at all.

    Args:
        path: its name.
        text: what is in it.
        token: of this writer; makes the temporary name its own.
    """
    if path.exists():
        return False
    temporary = path.with_name(f".{path.name}.{token}")
    try:
        passing("files.create")
        temporary.write_text(text, "utf-8")
        return move_if_absent(temporary, path)
    except FileNotFoundError:  # somebody tidied up who holds that name
        return False
    finally:
        temporary.unlink(missing_ok=True)


@cache
def _say_what_is_left(folder: Path) -> None:
    logger.warning(
        "the file system of %s has no hard links: rows still never double while one worker at a "
        "time writes a shard, which now rests on leases alone; a worker that was suspended for "
        "minutes may overwrite its successor's part with one of equal images",
        folder,
    )


def fsync_folder(path: Path) -> None:
    """Flush a folder, so that a new name survives; some network file systems cannot."""
    with suppress(OSError):
        fsync(path)


def fsync(path: Path) -> None:
    """Flush a file to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        passing("files.fsync")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """Hex SHA-256 of a value's canonical JSON: equal values give equal fingerprints."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as readable JSON, whole or not at all."""
    with replacing(path) as temporary:
        passing("files.write")
        temporary.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
    return path


def read_json(path: Path) -> Any:
    """Read a JSON file; one line names the file when it is absent or damaged."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise MissingError(f"no file {path}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise InvalidError(f"{path} is not JSON ({problem}); restore it or remove it") from None
