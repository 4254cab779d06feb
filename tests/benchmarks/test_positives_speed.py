"""Scan and positives of 100,000 database images and 10,000 queries, against how the field does it.

    make bench

The field (VPR-methods-evaluation and those that copied it) lists both folders with glob, splits
every path at its @ and asks scikit-learn's NearestNeighbors for all database images within 25 m.
Ours scans the folder to a manifest on disk, reads it and builds the task. Files are real and empty,
24 to a position as in Pittsburgh; the two are timed in turn, and medians are printed.

The aim is 3 times, and it is missed: 2.0 to 2.3 times on two cores (0.25 s against 0.54 s). Of our
0.25 s, 0.09 go to listing 110,000 names, which os.listdir alone needs 0.06 for, 0.06 to
splitting them, 0.06 to sorting and checking, 0.04 to writing and reading the manifest, which
the field does not do, and 0.02 to the positives. What is asserted is that it does not get worse.
"""

import statistics
import time
from pathlib import Path

import pytest

from drives import assert_same, ours, the_field, write_drives

pytestmark = pytest.mark.bench

NUM_DATABASE, NUM_QUERIES, NUM_RUNS = 100_000, 10_000, 9


def test_scan_and_positives_are_well_faster_than_the_fields_way(tmp_path: Path) -> None:
    write_drives(tmp_path, NUM_DATABASE, NUM_QUERIES)
    assert_same(tmp_path, the_field(tmp_path), ours(tmp_path))  # also fills the system's cache
    seconds: dict[str, list[float]] = {"field": [], "ours": []}
    for _ in range(NUM_RUNS):
        for name, way in (("field", the_field), ("ours", ours)):
            start = time.perf_counter()
            way(tmp_path)
            seconds[name].append(time.perf_counter() - start)
    field, own = (statistics.median(seconds[name]) for name in ("field", "ours"))
    print(f"\nfield {field:.3f} s, ours {own:.3f} s: {field / own:.2f} times faster")
    assert field / own >= 1.7
