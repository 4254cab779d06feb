"""View: from what a user names to a page of captions, or a server of them."""

from pathlib import Path

from vprcap.caption_sets.search import Asked
from vprcap.pages.captions_server import CaptionServer
from vprcap.stages.view import open_sets, view
from vprcap.workflows.caption_sets import find_set
from vprcap.workflows.prepare import Source


def view_captions(
    source: Source,
    captions: Path | None = None,
    output: Path | None = None,
    *,
    against: Path | None = None,
    images: Path | None = None,
    asked: Asked,
    num_rows: int,
) -> Path:
    """Write a page of a caption set, ``<set>.html`` here unless `output` says where."""
    root = find_set(source, captions).root
    page = output or Path(f"{root.absolute().name}.html")
    return view(root, page, other=_set(against), images=images, asked=asked, num_rows=num_rows)


def caption_server(
    source: Source,
    captions: Path | None = None,
    *,
    against: Path | None = None,
    images: Path | None = None,
    port: int,
) -> CaptionServer:
    """Open a server of a caption set on 127.0.0.1; it answers once it is told to serve."""
    root = find_set(source, captions).root
    return CaptionServer(open_sets(root, _set(against), images), port)


def _set(folder: Path | None) -> Path | None:
    return None if folder is None else find_set(Source(folder)).root
