"""What looking into a caption set of 1,000,000 rows costs: seconds a page, and memory.

    make bench

The set is one compacted file, as `vprcap compact` writes it, with captions of 45 words that are
drawn anew for each row. Pages are rendered as they are served; no picture is made. A search reads
every row once and is kept for the following pages.
"""

import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import CAPTION_SCHEMA, PARQUET, build_table
from vprcap.caption_sets.shard_rows import FIRST_SHARD
from vprcap.manifests.plan import PlanInfo
from vprcap.pages.captions_server import CaptionServer
from vprcap.stages.compact import ROWS_PER_GROUP
from vprcap.stages.view import open_sets

pytestmark = pytest.mark.bench

NUM_ROWS = 1_000_000
WORDS = np.array(
    "red brick house with arched windows a clock tower behind the left right white plaster".split()
)
QUERIES = ("", "page=19999", "search=tower+plaster", "search=zebra", "search=red+clock&page=900")


def test_a_page_of_a_million_rows_takes_seconds_and_megabytes(tmp_path: Path) -> None:
    root = _write(tmp_path)
    done = subprocess.run(
        [sys.executable, __file__, str(root)], check=True, capture_output=True, text=True
    )
    print(done.stdout)
    *seconds, before, after = (float(line.split()[0]) for line in done.stdout.splitlines())
    assert max(seconds) < 10
    assert after - before < 200


def _write(folder: Path) -> Path:
    from written_sets import CONFIG, row  # not at hand in the process that looks

    captions = CaptionSet(folder / "captions" / "million")
    info = PlanInfo("0" * 64, str(folder), NUM_ROWS, 4096)
    captions.create(CONFIG, asdict(info))
    path = captions.folder(1) / captions.compacted(0, 1)
    path.parent.mkdir()
    rng = np.random.default_rng(0)
    schema = CAPTION_SCHEMA.with_metadata({FIRST_SHARD: b"0"})
    with pq.ParquetWriter(path, schema, **PARQUET) as writer:
        for start in range(0, NUM_ROWS, ROWS_PER_GROUP):
            numbers = range(start, min(start + ROWS_PER_GROUP, NUM_ROWS))
            drawn = WORDS[rng.integers(0, len(WORDS), (len(numbers), 45))]
            rows = [
                {**row(f"{number:07}.jpg"), "caption": " ".join(words)}
                for number, words in zip(numbers, drawn, strict=True)
            ]
            table = build_table(rows, CONFIG, info.plan_id)
            writer.write_table(table.replace_schema_metadata(schema.metadata))
    return captions.root


def _look(root: Path) -> None:
    """Render pages in a process of its own and say what each took."""
    before = _peak_megabytes()
    begun = time.perf_counter()
    server = CaptionServer(open_sets(root))
    print(f"{time.perf_counter() - begun:.2f} s to open")
    for query in QUERIES:
        begun = time.perf_counter()
        server.page(query)
        print(f"{time.perf_counter() - begun:.2f} s for ?{query}")
    server.server_close()
    print(f"{before:.0f} MB of the process before")
    print(f"{_peak_megabytes():.0f} MB at most")


def _peak_megabytes() -> float:
    """Of this program alone: what `getrusage` tells includes the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    _look(Path(sys.argv[1]))
