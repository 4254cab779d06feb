"""Nodes of a Ray cluster that are lost: three raylets on this machine, one of them killed."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from fault_workers import Rehearsal, rows_of

from vprcap.caption_job import JobOptions, open_job
from vprcap.commit_protocol.lease import read_holder

pytest.importorskip("ray", reason="the Ray engine needs ray: pip install 'vprcap[ray]'")
pytestmark = [
    pytest.mark.chaos,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of Ray's own pipes
]

MODEL = "latency=0.5"
OBJECT_STORE_BYTES = 80_000_000
SECONDS = 120


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that runs no worker, and two nodes with a place for one worker each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    from ray.cluster_utils import Cluster

    arguments = {"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **arguments})
    for _ in range(2):
        started.add_node(num_cpus=1, **arguments)
    started.wait_for_nodes()
    try:
        yield started
    finally:
        started.shutdown()


def caption(rehearsal: Rehearsal, root: Path, address: str, workers: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vprcap", "caption", str(rehearsal.manifest)]
        + ["--captions-root", str(root), "--captioner", "fake", "--model", MODEL]
        + ["--batch-size", "2", "--decode-workers", "1"]
        + ["--engine", "ray", "--ray-address", address, "--workers", str(workers)],
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_holders(manifest: Path, root: Path, count: int) -> list[int]:
    """Return the processes that hold shards once there are so many and rows are journaled."""
    captions = open_job(
        JobOptions(manifest, captions_root=root, captioner="fake", model=MODEL)
    ).captions
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        holders = map(read_holder, captions.own_lease.parent.glob("part-*.json"))
        found = [holder.pid for holder in holders if holder is not None]
        journaled = any(path.stat().st_size for path in captions.journals.glob("*.jsonl"))
        if len(found) >= count and journaled:
            return found
        time.sleep(0.05)
    raise AssertionError("no worker holds a shard")


def kill_node_of(worker: int, cluster: Any) -> None:
    """Kill the raylet above a process, and all that it started, at once."""
    above = {parent.pid for parent in psutil.Process(worker).parents()}
    (raylet,) = (
        started.process.pid
        for node in cluster.worker_nodes
        for started in node.all_processes["raylet"]
        if started.process.pid in above
    )
    tree = [psutil.Process(raylet), *psutil.Process(raylet).children(recursive=True)]
    assert worker in {process.pid for process in tree}
    for process in tree:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.mark.parametrize("workers", [2, 1])
def test_a_lost_node_costs_no_row(
    rehearsal: Rehearsal, tmp_path: Path, cluster: Any, workers: int
) -> None:
    """With two workers the other takes the shard over, with one it is started on a node left."""
    driver = caption(rehearsal, tmp_path, cluster.address, workers)
    try:
        kill_node_of(wait_for_holders(rehearsal.manifest, tmp_path, workers)[0], cluster)
        _, said = driver.communicate(timeout=SECONDS)
    finally:
        driver.kill()
        driver.wait()
    assert driver.returncode == 0, said
    assert "was lost" in said and "Traceback" not in said
    assert rows_of(tmp_path) == rehearsal.rows
    print(
        f"\n1 node of 3 killed under {workers} workers: {len(rehearsal.rows)} rows, as undisturbed"
    )
