"""Select flagged: caption set -> a manifest and a plan of the images that it describes badly.

They are a set of images like any other, so whatever captions, resumes and verifies a dataset does
so with them. The name derives from the images: the same selection finds what is there already.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.qa import find_flags
from vprcap.caption_sets.shard_rows import finished, iter_shards
from vprcap.files import fingerprint, read_json
from vprcap.manifests.manifest import ManifestInfo, build_manifest, write_manifest
from vprcap.manifests.plan import freeze_plan, plan_path
from vprcap.progress import Progress

_COLUMNS = ("image_id", "caption", "status", "finish_reason", "config_id")
_SHARD_SIZE = 256
"""Small: the flagged are few, and every worker is to get some."""


def select_flagged(captions: CaptionSet, flags: Collection[str]) -> tuple[Path, int] | None:
    """Write the manifest and plan of the images whose captions have such flags.

    Captions that were written again and kept are left out: there is no third try.

    Returns:
        The manifest and its number of images; None where no caption is flagged.

    Raises:
        InvalidError: a part is damaged.
    """
    captions = captions.now()
    ids = list(_flagged(captions, flags))
    if not ids:
        return None
    name = f"flagged-{fingerprint(ids)[:8]}"
    path = captions.retries / f"{name}.parquet"
    info = ManifestInfo(captions.covers().image_root, name)
    write_manifest(build_manifest({"image_id": pa.array(ids)}, info), path)
    freeze_plan(path, plan_path(path), _SHARD_SIZE)
    return path, len(ids)


def _flagged(captions: CaptionSet, flags: Collection[str]) -> Iterator[str]:
    config = read_json(captions.config_json)
    with Progress("looking for flags", len(finished(captions)), "shards") as progress:
        for _, rows in iter_shards(captions, _COLUMNS):
            first = pc.equal(rows["config_id"].cast(pa.string()), config["config_id"])
            kept = pc.and_(first, pc.equal(rows["status"], "ok"))
            for row in rows.filter(kept).to_pylist():
                found = find_flags(row["caption"], row["finish_reason"], config["prompt"])
                if found.keys() & flags:
                    yield row["image_id"]
            progress.advance()
