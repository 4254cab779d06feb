"""Search of 1,000,000 descriptors of 512 floats by 1,000 queries, against bare faiss.

    make bench

Bare faiss has both arrays in memory. Ours searches the same arrays, and a flat index on disk under
a budget that they do not fit into; the two are timed in turn, and the medians of the pairs' ratios
are printed. Peak memory is the largest resident set of a process of its own, as the operating
system counted it (files that were read stay in the system's cache, which is nobody's memory).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file

from vprcap.manifests.manifest import ManifestInfo, build_manifest, write_manifest
from vprcap.retrieval.search import nearest
from vprcap.stages.index import index
from vprcap.stages.search import search

pytestmark = pytest.mark.bench

NUM_ROWS = int(os.environ.get("VPRCAP_BENCH_ROWS", "1000000"))
NUM_QUERIES, DIM, NUM_RETRIEVED, NUM_PAIRS = 1000, 512, 20, 3
BUDGET = 500 * 10**6
NO_BUDGET = 64 * 10**9


def unit(rows: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray, np.ndarray]:
    return unit(NUM_ROWS, 0), unit(NUM_QUERIES, 1)


@pytest.fixture(scope="module")
def folder(arrays: tuple[np.ndarray, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Descriptors with their manifest, and the queries."""
    root = tmp_path_factory.mktemp("search")
    ids = pa.array([f"{row:08d}.jpg" for row in range(NUM_ROWS)])
    write_manifest(build_manifest({"image_id": ids}, ManifestInfo("x", "s")), root / "s.parquet")
    present = np.ones(NUM_ROWS, dtype=bool)
    save_file({"vectors": arrays[0], "present": present}, root / "d.safetensors")
    np.save(root / "queries.npy", arrays[1])
    return root


def make(folder: Path, kind: str) -> Path:
    root = folder / kind
    if not root.exists():
        given = (folder / "d.safetensors", folder / "s.parquet", root)
        index(*given, kind=kind, mode="fused", memory=NO_BUDGET)
    return root


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def test_exact_search_takes_about_the_time_of_bare_faiss(
    arrays: tuple[np.ndarray, np.ndarray], folder: Path
) -> None:
    database, queries = arrays
    root = make(folder, "flat")

    def bare() -> np.ndarray:
        return faiss.knn(queries, database, NUM_RETRIEVED, faiss.METRIC_INNER_PRODUCT)[1]

    def in_memory() -> np.ndarray:
        return nearest(database, queries, NUM_RETRIEVED)

    def from_disk() -> np.ndarray:
        return search(root, queries, NUM_RETRIEVED, memory=NO_BUDGET).rows

    rows = bare()  # the first of all is slower; and all must agree
    assert np.mean(rows == in_memory()) > 0.999 and np.mean(rows == from_disk()) > 0.999
    for name, ours in (("array in memory", in_memory), ("file, read in blocks", from_disk)):
        pairs = [(timed(ours), timed(bare)) for _ in range(NUM_PAIRS)]
        ratios = [own / theirs for own, theirs in pairs]
        print(
            f"\n{NUM_ROWS:,} x {DIM}, {len(queries):,} queries, {name}: "
            f"{np.median([own for own, _ in pairs]):.2f} s, bare faiss "
            f"{np.median([theirs for _, theirs in pairs]):.2f} s; ratios "
            f"{', '.join(f'{ratio:.3f}' for ratio in ratios)}, median {np.median(ratios):.3f}"
        )
        assert np.median(ratios) <= 1.1


def peak(code: str, *arguments: object) -> dict:
    """Run code in a process of its own; what it prints, with its peak resident bytes and time."""
    measured = (
        f"import json, resource, sys, time\nimport numpy as np\nfrom pathlib import Path\n{code}\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(json.dumps({'peak': 1024 * int(peak.split()[1]), 'seconds': seconds}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", measured, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found: dict = json.loads(done.stdout.splitlines()[-1])
    return found


SEARCH = """
from vprcap.stages.search import search
queries = np.load(sys.argv[2])
begun = time.perf_counter()
search(Path(sys.argv[1]), queries, 20, memory=int(sys.argv[3]))
seconds = time.perf_counter() - begun
"""
BUILD = """
from vprcap.stages.index import index
folder, kind = Path(sys.argv[1]), sys.argv[2]
begun = time.perf_counter()
index(folder / 'd.safetensors', folder / 's.parquet', folder / f'{kind}-again', kind=kind,
      mode='fused', memory=int(sys.argv[3]))
seconds = time.perf_counter() - begun
"""


@pytest.mark.parametrize("kind", ["flat", "binary"])
def test_building_and_searching_stay_within_their_memory(folder: Path, kind: str) -> None:
    build = peak(BUILD, folder, kind, BUDGET)
    ask = peak(SEARCH, make(folder, kind), folder / "queries.npy", BUDGET)
    for name, found in (("built", build), ("searched", ask)):
        print(
            f"\n{kind}, {NUM_ROWS:,} x {DIM} ({NUM_ROWS * DIM * 4 / 1e6:,.0f} MB) {name} under "
            f"{BUDGET / 1e6:.0f} MB: peak {found['peak'] / 1e6:.0f} MB, {found['seconds']:.1f} s"
        )
        assert found["peak"] <= BUDGET


def test_the_binary_index_is_32_times_smaller(folder: Path) -> None:
    root = make(folder, "binary")
    codes, floats = ((root / name).stat().st_size for name in ("codes.npy", "descriptors.npy"))
    print(f"\nbinary codes {codes / 1e6:.1f} MB, descriptors {floats / 1e6:.1f} MB")
    assert floats / codes == pytest.approx(32, rel=1e-3)
