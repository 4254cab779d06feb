"""Checking the health of the London photographs, against Pillow decoding them in two processes.

    make bench

Pillow opens, loads and converts to RGB in a pool of two, and that is all it does. `check` does the
whole job with two workers: starts them, reads, hashes, decodes, compares and writes. The two are
timed in turn, and the medians are compared.
"""

import csv
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vprcap.manifest import image_path, read_manifest
from vprcap.stages.check import check
from vprcap.stages.scan import scan

pytestmark = pytest.mark.bench

NUM_PAIRS = 7


def decode(path: Path) -> None:
    with Image.open(path) as image:
        image.load()
        image.convert("RGB")


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@pytest.fixture
def manifest(london: Path, tmp_path: Path) -> Path:
    """All photographs of both folders."""
    table = tmp_path / "all.csv"
    with table.open("w") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "role", "easting", "northing"])
        for own in (
            london / "msls_london/manifest.csv",
            london / "msls_london_train/train_cells.csv",
        ):
            for row in csv.DictReader(own.read_text().splitlines()):
                role = "query" if row["path"].startswith("query") else "database"
                name = f"{own.parent.name}/{row['path']}"
                writer.writerow([name, role, row["easting"], row["northing"]])
    return scan(london, tmp_path / "all.parquet", table=table)


def test_a_check_takes_little_longer_than_pillow_takes_to_decode(manifest: Path) -> None:
    loaded = read_manifest(manifest)
    paths = [image_path(loaded.info.image_root, name) for name in loaded.image_ids]

    def pillow() -> None:
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            pool.map(decode, paths)

    def pillow_forked() -> None:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(decode, paths)

    def ours() -> None:
        check(manifest, decode_workers=2)

    ours()  # the first of all reads from the disk
    rounds = [(timed(ours), timed(pillow_forked), timed(pillow)) for _ in range(NUM_PAIRS)]
    check_s, forked_s, spawned_s = np.median(rounds, axis=0)
    ratios = [own / theirs for own, theirs, _ in rounds]
    print(
        f"\n{len(paths):,} photographs: check {check_s:.2f} s, Pillow {forked_s:.2f} s forked, "
        f"{spawned_s:.2f} s spawned; check / forked {', '.join(f'{r:.2f}' for r in ratios)}, "
        f"median {np.median(ratios):.2f}"
    )
    assert np.median(ratios) <= 1.2
