"""Captioned images on their way out: what a caption set holds, and where its images are.

A caption set may come from somebody else as well: its image ids are checked before they become
paths, so that no export packs a file from outside the image root by name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import read_captions
from vprcap.errors import InvalidError, MissingError
from vprcap.files import read_json
from vprcap.manifests.manifest import check_plain, image_path

_BEGINNINGS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"RIFF": ".webp",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}
"""First bytes of the formats of photographs."""


@dataclass(frozen=True)
class Captioned:
    """The images of a caption set that have a caption, in plan order."""

    image_root: Path
    image_ids: list[str]
    captions: list[str]
    num_left_out: int
    """Images of the set that have none."""

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield image id and caption."""
        return iter(zip(self.image_ids, self.captions, strict=True))

    def path(self, image_id: str) -> Path:
        """Return where an image lies.

        Raises:
            MissingError: it is not there.
        """
        path = image_path(self.image_root, image_id)
        if not path.is_file():
            raise MissingError(
                f"image {ascii(image_id)} is not in {self.image_root}; mount it, or caption again "
                "without it"
            )
        return path

    def suffix(self, image_id: str) -> str:
        """Return the suffix that readers know an image's format by, whatever its name ends in.

        A file that begins like no image keeps the end of its name.

        Raises:
            MissingError: it is not there.
        """
        with self.path(image_id).open("rb") as image:
            start = image.read(4)
        own = PurePosixPath(image_id).suffix.lower()
        return next((end for first, end in _BEGINNINGS.items() if start.startswith(first)), own)


def read_captioned(captions: Path) -> Captioned:
    """Read a caption set for export.

    Raises:
        MissingError: it is no caption set.
        InvalidError: it is damaged, names files outside its root, or has no caption at all.
    """
    rows = read_captions(captions)
    check_plain(rows["image_id"])
    stored = read_json(CaptionSet(captions).plan_json)
    root = stored.get("image_root") if isinstance(stored, dict) else None
    if not isinstance(root, str):
        raise InvalidError(f"{captions} does not say where its images are; caption again")
    kept = [row for row in rows.to_pylist() if row["status"] == "ok"]
    if not kept:
        raise InvalidError(f"{captions} has no caption; there is nothing to export")
    return Captioned(
        Path(root),
        [row["image_id"] for row in kept],
        [row["caption"] for row in kept],
        rows.num_rows - len(kept),
    )
