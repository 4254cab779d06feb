"""Shard: manifest -> plan, frozen once."""

from pathlib import Path

from vprcap.manifests.plan import SHARD_SIZE, freeze_plan, plan_path


def shard(manifest: Path, *, shard_size: int = SHARD_SIZE) -> Path:
    """Freeze the plan of a manifest beside it.

    Args:
        manifest: manifest to cut.
        shard_size: images in a shard; about five minutes of work is a good size.
    """
    return freeze_plan(manifest, plan_path(manifest), shard_size).path
