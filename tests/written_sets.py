"""Caption sets for tests that need rows and no captioner: written row by row, in an instant."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from vprcap.caption_sets.caption_set import CaptionConfig, CaptionSet
from vprcap.caption_sets.captions import build_table, commit_part
from vprcap.files import write_json
from vprcap.manifests.manifest import ManifestInfo, build_manifest, write_manifest
from vprcap.manifests.plan import Plan, Shard, freeze_plan, plan_path

CONFIG = CaptionConfig(
    captioner="fake",
    model="fake",
    revision="refuse=0.0,loop=0.0",
    quantization="none",
    prompt_name="place",
    prompt="Describe the place.",
    max_new_tokens=128,
    framing="pad",
    processor={"side": 64},
    dtype="none",
)


@dataclass(frozen=True)
class Written:
    """A caption set with its manifest and plan; images are files of a few bytes."""

    captions: CaptionSet
    plan: Plan
    manifest: Path


def write_set(
    folder: Path,
    *,
    num_images: int = 10,
    shard_size: int = 4,
    statuses: Mapping[str, str] = {},
    shards: int | None = None,
) -> Written:
    """Write images `00.jpg`, `01.jpg`, ... and rows for the first shards (None: for all).

    Args:
        statuses: of the images that have no caption.
    """
    images = folder / "images"
    images.mkdir()
    names = [f"{number:02}.jpg" for number in range(num_images)]
    for name in names:
        (images / name).write_bytes(name.encode())
    manifest = write_manifest(
        build_manifest({"image_id": pa.array(names)}, ManifestInfo(str(images), "set")),
        images / "captions" / "set.parquet",
    )
    plan = freeze_plan(manifest, plan_path(manifest), shard_size)
    captions = CaptionSet(images / "captions" / f"set-{CONFIG.set_name}")
    captions.create(CONFIG, asdict(plan.info))
    written = Written(captions, plan, manifest)
    for shard in plan.shards[:shards]:
        write_shard(written, shard, statuses)
    return written


def write_shard(written: Written, shard: Shard, statuses: Mapping[str, str] = {}) -> None:
    """Commit one shard as a worker does, and its summary."""
    captions, plan = written.captions, written.plan
    rows = [row(name, statuses.get(name, "ok")) for name in plan.image_ids(shard)]
    assert commit_part(captions, shard, "t", build_table(rows, CONFIG, plan.info.plan_id))
    counted = [row["status"] for row in rows]
    summary = {
        "part": captions.part(shard).name,
        "rows": len(rows),
        "statuses": {status: counted.count(status) for status in sorted(set(counted))},
        "captioned_here": len(rows),
        "seconds": 2.0,
        "device": "cpu",
    }
    write_json(captions.summary(shard), summary)


def row(image_id: str, status: str = "ok") -> dict[str, Any]:
    """Give the row of an image; its caption says which image it is."""
    return {
        "image_id": image_id,
        "image_sha256": hashlib.sha256(image_id.encode()).hexdigest(),
        "caption": f"A picture called {image_id}." if status == "ok" else None,
        "status": status,
        "error": None if status == "ok" else "why",
        "qa_flags": [],
        "seconds": 0.5,
    }
