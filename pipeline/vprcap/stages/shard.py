"""Shard: manifest -> plan, frozen once."""

from pathlib import Path

from vprcap.manifest import read_manifest
from vprcap.plan import SHARD_SIZE, freeze_plan, plan_path


def shard(manifest: Path, *, output: Path | None = None, shard_size: int = SHARD_SIZE) -> Path:
    """Freeze the plan of a manifest.

    Args:
        manifest: manifest to cut.
        output: plan to write; default: beside the manifest.
        shard_size: images in a shard; about five minutes of work is a good size.
    """
    plan = freeze_plan(read_manifest(manifest), output or plan_path(manifest), shard_size)
    return plan.path
