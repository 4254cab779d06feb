"""A folder that is whole or absent, and never takes the place of another."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vprcap.files import fsync_folder, storage_errors


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a folder to write in; when the body ends well it becomes `path`, which is not there."""
    path = path.absolute()
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    with storage_errors(path):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            temporary.rename(path)
            fsync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
