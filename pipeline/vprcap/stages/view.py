"""View: a caption set, or two side by side -> one HTML file with captions beside their images."""

from collections.abc import Collection, Mapping
from pathlib import Path

from vprcap.caption_sets.blocks import Blocks
from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.qa import FLAGS
from vprcap.caption_sets.search import EVERYTHING, Asked, search
from vprcap.errors import InvalidError
from vprcap.pages import write_page
from vprcap.pages.captions import THUMBNAIL_SIDE, CaptionRow, Row, Shown
from vprcap.pages.pictures import Thumbnail, thumbnail
from vprcap.progress import Progress

NUM_ROWS = 200


def open_sets(
    captions: Path,
    other: Path | None = None,
    images: Path | None = None,
    *,
    follow_links: bool = False,
) -> Shown:
    """Open caption sets to look at them.

    Args:
        captions: folder of the set.
        other: folder of a set to compare it with.
        images: where the images are now; default: where they were.
        follow_links: whether images may be links out of the image root.

    Raises:
        MissingError: it is no caption set, or has no rows yet.
        InvalidError: a file is damaged.
    """
    first = CaptionSet(captions)
    root = images or Path(str(first.covers().image_root))
    if other is None:
        return Shown(first, Blocks(first), root, follow_links)
    second = CaptionSet(other)
    return Shown(first, Blocks(first), root, follow_links, second, Blocks(second))


def view(
    captions: Path,
    output: Path,
    *,
    other: Path | None = None,
    images: Path | None = None,
    asked: Asked = EVERYTHING,
    num_rows: int = NUM_ROWS,
    follow_links: bool = False,
) -> Path:
    """Write a page of captions and return its path.

    Args:
        captions: folder of the set.
        output: HTML file to write.
        other: folder of a set to compare it with.
        images: where the images are now; default: where they were.
        asked: which rows.
        num_rows: at most; of more, every k-th is shown.
        follow_links: whether images may be links out of the image root.

    Raises:
        MissingError: it is no caption set, or has no rows yet.
        InvalidError: a file is damaged, or there is no such status or flag.
    """
    shown = open_sets(captions, other, images, follow_links=follow_links)
    heading = shown.heading()
    check_asked(asked, heading["statuses"])
    found = search(shown.blocks, asked, shown.other_blocks)
    kept = min(num_rows, len(found))
    positions = [int(found[i * len(found) // kept]) for i in range(kept)]
    values: Mapping[str, object] = {
        **heading,
        "served": False,
        "asked": asked,
        "num_found": len(found),
        "rows": _rows(shown, positions),
    }
    return write_page(output, "captions", values)


def check_asked(asked: Asked, statuses: Collection[str]) -> None:
    """Refuse to look for what there cannot be.

    Raises:
        InvalidError: there is no such status or flag.
    """
    for what, name, known in (("status", asked.status, statuses), ("flag", asked.flag, FLAGS)):
        if name is not None and name not in known:
            raise InvalidError(f"no {what} {name!r} here; there are: {', '.join(known)}")


def _rows(shown: Shown, positions: list[int]) -> list[CaptionRow]:
    def picture(_: int, row: Row) -> Thumbnail:
        progress.advance()
        return thumbnail(
            shown.images, row["image_id"], THUMBNAIL_SIDE, follow_links=shown.follow_links
        )

    with Progress("page", len(positions), "images") as progress:
        return shown.rows(positions, picture)
