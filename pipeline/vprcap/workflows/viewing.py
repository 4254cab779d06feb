"""View: from what a user names to a page of captions, or a server of them."""

from dataclasses import dataclass
from pathlib import Path

from vprcap.caption_sets.search import Asked
from vprcap.pages.captions_server import CaptionServer
from vprcap.stages.view import check_asked, open_sets, view
from vprcap.workflows.caption_sets import find_set
from vprcap.workflows.prepare import Source


@dataclass(frozen=True, slots=True)
class Looked:
    """What a user wants to look at."""

    source: Source
    captions: Path | None = None
    """Which set, where the source has several."""
    against: Path | None = None
    """A set to compare with."""
    images: Path | None = None
    """Where the images are now; None: where they were captioned."""
    follow_links: bool = False


def view_captions(
    looked: Looked, output: Path | None = None, *, asked: Asked, num_rows: int
) -> Path:
    """Write a page of a caption set, ``<set>.html`` here unless `output` says where."""
    root = find_set(looked.source, looked.captions).root
    return view(
        root,
        output or Path(f"{root.absolute().name}.html"),
        other=_other(looked),
        images=looked.images,
        asked=asked,
        num_rows=num_rows,
        follow_links=looked.follow_links,
    )


def caption_server(looked: Looked, *, asked: Asked, port: int) -> CaptionServer:
    """Open a server of a caption set on 127.0.0.1; it answers once it is told to serve.

    Raises:
        InvalidError: what is asked for first cannot be there.
    """
    root = find_set(looked.source, looked.captions).root
    shown = open_sets(root, _other(looked), looked.images, follow_links=looked.follow_links)
    check_asked(asked, shown.heading()["statuses"])
    return CaptionServer(shown, port)


def _other(looked: Looked) -> Path | None:
    return None if looked.against is None else find_set(Source(looked.against)).root
