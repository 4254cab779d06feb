"""Scan a dataset by name and say what its manifest holds, by the names of its images."""

from pathlib import Path

from frame_miniatures import MINIATURES

from vprcap.ground_truth.positives import build_task
from vprcap.manifests.manifest import Manifest, read_manifest
from vprcap.manifests.recipe import load_recipe
from vprcap.stages.scan import scan_dataset


def scanned(name: str, root: Path, split: str | None = None) -> Manifest:
    folder = root / load_recipe(name).folder
    output = root / "manifest.parquet"
    return read_manifest(scan_dataset(name, folder, output, split=split, allow_partial=True))


def miniature(name: str, root: Path, split: str | None = None) -> Manifest:
    MINIATURES[name](root)
    return scanned(name, root, split)


def rows(manifest: Manifest, column: str) -> dict[str, tuple[str | None, object]]:
    """Say the role and one other column of every image."""
    return {row["image_id"]: (row["role"], row[column]) for row in manifest.rows.to_pylist()}


def positives(manifest: Manifest) -> dict[str, list[str]]:
    """Say the positives of every query, by name."""
    task, ids = build_task(manifest), manifest.image_ids
    return {
        ids[query]: [ids[row] for row in task.database[own]]
        for query, own in zip(task.queries, task.positives, strict=True)
    }
