"""Checking the health of the London photographs, against Pillow decoding them in two processes.

    make bench

Pillow opens, loads and converts to RGB in a pool of two, and that is all it does. `check` does the
whole job with two workers: starts them, reads, hashes, decodes, compares and writes. The two are
timed in turn, and what counts is the median of the ratios, which other work disturbs least.

Processes can be started in two ways. `check` spawns its own, because to fork a process that holds
threads (those of Arrow, faiss or torch) may hang it. Pillow's, in a program that imports nothing
else, are spawned as well; forked ones save the imports, which for so few photographs are a quarter
of the time. That ratio is printed too, and judged for the photographs four times over.
"""

import csv
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vprcap.manifests.manifest import image_path, read_manifest
from vprcap.stages.check import check
from vprcap.stages.scan import scan

pytestmark = pytest.mark.bench


PILLOW = """
import multiprocessing, sys, time
from PIL import Image

def decode(path):
    with Image.open(path) as image:
        image.load()
        image.convert("RGB")

if __name__ == "__main__":
    paths = open(sys.argv[2]).read().splitlines()
    begun = time.perf_counter()
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        pool.map(decode, paths)
    print(time.perf_counter() - begun)
"""


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def write_manifest(london: Path, folder: Path, times: int) -> Path:
    """All photographs of both folders, once or several times over."""
    root, table = folder / "images", folder / "all.csv"
    root.mkdir()
    with table.open("w") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "role", "easting", "northing"])
        for number in range(times):
            (root / f"{number}").symlink_to(london)
            for name in ("msls_london/manifest.csv", "msls_london_train/train_cells.csv"):
                below = f"{number}/{Path(name).parent}"
                for row in csv.DictReader((london / name).read_text().splitlines()):
                    role = "query" if row["path"].startswith("query") else "database"
                    where = row["easting"], row["northing"]
                    writer.writerow([f"{below}/{row['path']}", role, *where])
    return scan(root, folder / "all.parquet", table=table)


def pillow(script: Path, start: str, names: Path) -> float:
    """Seconds from before the pool until all is decoded, as the program says."""
    command = [sys.executable, str(script), start, str(names)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.parametrize(("times", "start", "num_pairs"), [(1, "spawn", 9), (4, "fork", 5)])
def test_a_check_takes_little_longer_than_pillow_takes_to_decode(
    london: Path, tmp_path: Path, times: int, start: str, num_pairs: int
) -> None:
    manifest = write_manifest(london, tmp_path, times)
    loaded = read_manifest(manifest)
    paths = [image_path(loaded.info.image_root, name) for name in loaded.image_ids]
    assert len(paths) == 3335 * times

    script, names = tmp_path / "pillow.py", tmp_path / "names"
    script.write_text(PILLOW)
    names.write_text("\n".join(map(str, paths)))

    def ours() -> None:
        check(manifest, decode_workers=2)

    ours()  # the first of all reads from the disk
    seconds: dict[str, list[float]] = {"check": [], "spawn": [], "fork": []}
    for _ in range(num_pairs):
        seconds["check"].append(timed(ours))
        for other in ("spawn", "fork"):
            seconds[other].append(pillow(script, other, names))
    print(f"\n{len(paths):,} photographs")
    ratios = {}
    for name, own in seconds.items():
        ratios[name] = float(np.median(np.divide(seconds["check"], own)))
        print(f"{name}: median {np.median(own):.2f} s, check / this {ratios[name]:.2f}")
    assert ratios[start] <= 1.2
