"""Scan of a table of 10,000,000 rows, and the plan of its manifest: time and memory.

    make bench

The rows lie in the table in random order, with positions in degrees over half of Europe. Each
step is a process of its own; its peak memory is its largest resident set, as the operating system
counted it. VPRCAP_BENCH_SCALE_ROWS makes the table shorter.

Measured on two cores: scan 24 s and 768 MB from Parquet, 27 s and 648 MB from CSV; plan 6.8 s and
at most 518 MB; drift 2.1 s. CSV read in blocks of 16 MiB instead of 4 took the scan to 1,078 MB, at
the same speed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vprcap.manifests.manifest import read_manifest_info
from vprcap.manifests.plan import plan_path, read_plan

pytestmark = pytest.mark.bench

NUM_ROWS = int(os.environ.get("VPRCAP_BENCH_SCALE_ROWS", "10000000"))
PART_ROWS = 250_000
STEPS = {
    "scan": "from vprcap.stages.scan import scan; scan(images, manifest, table=table)",
    "plan": "from vprcap.stages.shard import shard; shard(manifest)",
    "drift": (
        "from vprcap.manifests.plan import drift, plan_path, read_plan; "
        "assert drift(read_plan(plan_path(manifest)), manifest) == (0, 0)"
    ),
}
MEASURE = """
import json, resource, sys, time
from pathlib import Path
images, manifest, table = map(Path, sys.argv[1:])
start = time.perf_counter()
{step}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([time.perf_counter() - start, peak]))
"""


def write_table(images: Path, table: Path) -> None:
    """Rows of a shuffled drive; the first is there as a file."""
    rng = np.random.default_rng(0)
    numbers = rng.permutation(NUM_ROWS)
    with pq.ParquetWriter(
        table,
        pa.schema([("path", "string"), ("role", "string"), ("lat", "float64"), ("lon", "float64")]),
    ) as writer:
        for start in range(0, NUM_ROWS, PART_ROWS):
            part = numbers[start : start + PART_ROWS]
            paths = [f"city{n % 97:02d}/drive{n // 4000:05d}/{n:010d}.jpg" for n in part.tolist()]
            columns = [
                pa.array(paths),
                pa.array(np.where(part % 10, "database", "query")),
                pa.array(40 + 20 * part / NUM_ROWS),
                pa.array(-10 + 40 * (part % 1009) / 1009),
            ]
            writer.write_table(pa.table(columns, schema=writer.schema))
            if start == 0:
                (images / paths[0]).parent.mkdir(parents=True)
                (images / paths[0]).touch()


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_ten_million_rows_scan_and_plan_in_little_memory(tmp_path: Path, suffix: str) -> None:
    images, manifest = tmp_path / "images", tmp_path / "set.parquet"
    images.mkdir()
    table = tmp_path / "table.parquet"
    write_table(images, table)
    if suffix == "csv":
        table = as_csv(table)
    figures = {}
    for name, step in STEPS.items():
        command = [sys.executable, "-c", MEASURE.format(step=step)]
        printed = subprocess.run(
            [*command, images, manifest, table], check=True, capture_output=True
        ).stdout
        figures[name] = json.loads(printed)
        print(f"\n{name} of {NUM_ROWS:,} rows ({suffix}): {figures[name][0]:.1f} s, peak ", end="")
        print(f"{figures[name][1] / 1e6:.0f} MB", end="")
    assert read_manifest_info(manifest)[1] == NUM_ROWS
    assert read_plan(plan_path(manifest)).info.num_images == NUM_ROWS
    assert figures["plan"][0] < 60
    assert max(peak for _, peak in figures.values()) < 10**9


def as_csv(table: Path) -> Path:
    import pyarrow.csv

    path = table.with_suffix(".csv")
    with pq.ParquetFile(table) as file, pyarrow.csv.CSVWriter(path, file.schema_arrow) as writer:
        for batch in file.iter_batches():
            writer.write_batch(batch)
    table.unlink()
    return path
