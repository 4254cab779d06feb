"""Caption sets of a few drawn images, with the captions that a test wants."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import build_table, commit_part
from vprcap.manifests.manifest import ManifestInfo, build_manifest, write_manifest
from vprcap.manifests.plan import freeze_plan
from written_sets import CONFIG, row

HOSTILE = '<script>alert(1)</script> & <b>"bold"</b>'
ROWS: Mapping[str, Mapping[str, Any]] = {
    "a.jpg": {"caption": "A red brick house with a tower."},
    "b.jpg": {"caption": HOSTILE},
    "c.jpg": {"caption": "I am sorry, I cannot see it.", "qa_flags": ["refusal", "too_short"]},
    "d.jpg": {"caption": None, "status": "oom", "error": "out of memory <even> alone"},
    "e.jpg": {"caption": "A white bridge over a canal."},
}


def write_captions(
    folder: Path,
    rows: Mapping[str, Mapping[str, Any]] = ROWS,
    *,
    model: str = "fake",
    shard_size: int = 2,
) -> Path:
    """Write images that are not there yet and a caption set of them; return the set."""
    images = folder / "images"
    images.mkdir(exist_ok=True)
    for number, name in enumerate(rows):
        if not (images / name).exists():
            Image.new("RGB", (640, 480), (0, 40 * (number % 6), 120)).save(images / name)
    built = build_manifest({"image_id": pa.array(list(rows))}, ManifestInfo(str(images), "set"))
    manifest = write_manifest(built, folder / f"{model}.parquet")
    plan = freeze_plan(manifest, folder / f"{model}.plan.parquet", shard_size)
    config = replace(CONFIG, model=model)
    captions = CaptionSet(folder / "captions" / f"set-{config.set_name}")
    captions.create(config, asdict(plan.info))
    size = {"image_width": 640, "image_height": 480, "finish_reason": "stop"}
    for shard in plan.shards:
        made = [{**row(name), **size, **rows[name]} for name in plan.image_ids(shard)]
        assert commit_part(captions, shard, "t", build_table(made, config, plan.info.plan_id))
    return captions.root
