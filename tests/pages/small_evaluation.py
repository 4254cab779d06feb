"""An evaluation small enough to be worked out by hand.

Four database images 100 m apart along a street, and five queries beside them:

    query      beside     image finds    fused finds    so it is
    q0.jpg     d0         d1             d0             saved
    q1.jpg     d1         d1             d2             spoiled
    q2.jpg     d2         d2             d2             both right
    q3.jpg     d3         d0             d1             both wrong
    q4.jpg     nothing    d0             d0             unsolvable
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vprcap.evaluation.predictions import write_evaluation
from vprcap.evaluation.provenance import build_provenance, write_provenance
from vprcap.ground_truth.positives import build_task
from vprcap.manifests.manifest import (
    ManifestInfo,
    build_manifest,
    read_manifest,
    write_manifest,
)
from vprcap.stages.explain import GATES_SCHEMA

FOUND = {
    "image": ["d1", "d1", "d2", "d0", "d0"],
    "fused": ["d0", "d2", "d2", "d1", "d0"],
}
SAVED, SPOILED, BOTH_RIGHT, BOTH_WRONG, UNSOLVABLE = range(5)
HOSTILE = '<script>alert(1)</script> a "red" house & <b>a tree</b>'


def write_small_evaluation(
    folder: Path,
    *,
    found: Mapping[str, list[str]] = FOUND,
    captions: Mapping[str, str] | None = None,
    prefix: str = "",
    columns: Mapping[str, list[object]] | None = None,
    info: Mapping[str, object] | None = None,
    variant: str | None = None,
) -> tuple[Path, Path]:
    """Write images, manifest and evaluation; return the last two.

    Args:
        found: by mode the image that each query finds first; the others follow by name.
        captions: by image; None: images alone.
        prefix: of every file name.
        columns: of the manifest, in the order d0 to d3, q0 to q4, in place of the usual ones.
        info: what holds for the manifest, other than usual.
        variant: what was changed on purpose.
    """
    manifest = write_street(folder, prefix, columns or {}, info or {})
    evaluation = folder / "run" / "eval" / "street"
    loaded = read_manifest(manifest)
    task = build_task(loaded)
    orders = {mode: [_order(first) for first in own] for mode, own in found.items()}
    predictions = {mode: np.array(order) for mode, order in orders.items()}
    write_evaluation(loaded, task, predictions, evaluation, variant=variant)
    command = "vprcap eval street.parquet --run 'my run'"
    set_ = None if captions is None else folder / "captions" / "street-fake"
    config = {"model": "fake-7b", "prompt": "Describe it."}
    made_of = build_provenance(manifest, captions=set_, caption_config=config, command=command)
    write_provenance(evaluation, made_of)
    if captions is not None:
        write_gates(evaluation, captions)
    return manifest, evaluation


def write_street(
    folder: Path, prefix: str, others: Mapping[str, list[object]], info: Mapping[str, object]
) -> Path:
    """Write the images, each of another grey, and their manifest."""
    names = [
        f"{prefix}{role}{number}.jpg" for role, n in (("d", 4), ("q", 5)) for number in range(n)
    ]
    for number, name in enumerate(names):
        path = folder / "street" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), (25 * number,) * 3).save(path)
    columns = {
        "image_id": pa.array(names),
        "role": pa.array(["database"] * 4 + ["query"] * 5),
        "easting": pa.array([0.0, 100, 200, 300, 3, 103, 203, 303, 1000]),
        "northing": pa.array([0.0] * 4 + [4.0] * 5),
        "condition": pa.array([None] * 4 + ["day", "day", "night", "night", "night"]),
        "heading_deg": pa.array([None] * 4 + [350.0, 10, 90, 180, 180]),
    }
    columns |= {name: pa.array(values) for name, values in others.items()}
    about = replace(ManifestInfo(str(folder / "street"), "street"), **info)
    return write_manifest(build_manifest(columns, about), folder / "street.parquet")


def write_gates(evaluation: Path, captions: Mapping[str, str]) -> None:
    """Write captions whose k-th word has a gate of k tenths, up to one."""
    rows = [
        {
            "image_id": image_id,
            "role": "query",
            "caption": caption,
            "reliability": 0.5,
            "words": caption.split(),
            "gates": [min(1.0, place / 10) for place in range(len(caption.split()))],
        }
        for image_id, caption in captions.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows, GATES_SCHEMA), evaluation / "gates.parquet")


def _order(first: str) -> list[int]:
    number = int(first[1:])
    return [number, *(each for each in range(4) if each != number), *[-1] * 16]
