"""A small plan, and what an undisturbed run makes of it."""

from pathlib import Path

import numpy as np
import pytest
from fault_workers import Rehearsal, rows_of, run
from PIL import Image

from vprcap.stages.scan import scan
from vprcap.stages.shard import shard


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """Twelve images, one of them damaged, in three shards."""
    folder = tmp_path_factory.mktemp("rehearsal")
    images = folder / "images"
    images.mkdir()
    for seed in range(12):
        noise = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(images / f"{seed:02}.png")
    (images / "07.png").write_bytes(b"no picture")
    manifest = scan(images, folder / "images.parquet")
    shard(manifest, shard_size=4)
    undisturbed = folder / "undisturbed"
    code, said = run(manifest, undisturbed)
    assert code == 0, said
    return Rehearsal(manifest, undisturbed, rows_of(undisturbed))


@pytest.fixture
def manifest(rehearsal: Rehearsal) -> Path:
    return rehearsal.manifest
