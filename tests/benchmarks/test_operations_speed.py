"""What looking after 10^8 rows costs: 24,415 shards of 4,096, as files on this disk.

    make bench

The plan is whole: 10^8 image ids. The captions are not: no picture is read, the captioner is the
fake one. Status looks at 24,415 parts with their real summaries; the parts are hard links to two
real ones, because a status opens none. Claims and commits are measured on some of the
shards, and compaction and verification on more rows the second time than the first, in processes
of their own, to see whether memory grows. All figures are with a warm page cache.
"""

import hashlib
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from vprcap.caption_job import CaptionJob, WorkOptions
from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import build_table, commit_part, failed_rows, status_counts
from vprcap.captioners import load_captioner
from vprcap.commit_protocol.journal import Journal, read_journals
from vprcap.manifests.plan import Plan, PlanInfo, Shard, read_plan
from vprcap.prompt import load_prompt
from vprcap.stages.caption import caption

pytestmark = pytest.mark.bench

SHARDS, SHARD_SIZE = 24_415, 4096
COMMITTED = 200
RUNNING = 64
FAILED = 3
COMPACTED = (64, 256)
WORDS = [
    "".join(random.Random(number).choices("abcdefghijklmnopqrstuvwxyz", k=3 + number % 8))
    for number in range(4000)
]

CAPTIONER = load_captioner(
    "fake",
    "",
    quantization="none",
    prompt=load_prompt("place"),
    framing="pad",
    max_new_tokens=128,
)


def write_plan(path: Path, num_shards: int) -> Plan:
    """Write a plan as `freeze_plan` does, without a manifest: a shard is a row group."""
    info = PlanInfo("0" * 64, str(path.parent), num_shards * SHARD_SIZE, SHARD_SIZE)
    schema = pa.schema([("image_id", pa.string())], {"vprcap.plan": json.dumps(asdict(info))})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, num_shards, 64):
            stop = min(start + 64, num_shards)
            numbers = pa.array(np.arange(start * SHARD_SIZE, stop * SHARD_SIZE))
            digits = pc.utf8_lpad(numbers.cast(pa.string()), 10, "0")
            ids = pc.binary_join_element_wise("city/drive", digits, ".jpg", "")
            writer.write_table(pa.table([ids], schema=schema), row_group_size=SHARD_SIZE)
    return read_plan(path)


def rows_of(plan: Plan, shard: Shard) -> Iterator[dict[str, Any]]:
    """Rows with captions of 24 words drawn at random: no real text packs worse."""
    chance = random.Random(shard.index)
    for image_id in plan.image_ids(shard):
        yield {
            "image_id": image_id,
            "image_sha256": hashlib.sha256(image_id.encode()).hexdigest(),
            "caption": " ".join(chance.choices(WORDS, k=24)),
            "status": "ok",
            "error": None,
            "finish_reason": "stop",
            "num_prompt_tokens": 636,
            "num_output_tokens": 40 + chance.randrange(60),
            "qa_flags": [],
            "image_width": 640,
            "image_height": 480,
            "seconds": chance.random(),
        }


def new_set(root: Path, plan: Plan) -> CaptionSet:
    captions = CaptionSet(root)
    captions.create(CAPTIONER.config, asdict(plan.info))
    return captions.now()


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan of 10^8 images."""
    return write_plan(tmp_path_factory.mktemp("plan") / "set.plan.parquet", SHARDS)


def test_claim_and_commit_of_a_shard(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards whose rows are all journaled: the worker does all but caption, flushes included.

    To read a full journal is what only a killed attempt costs its successor: it is told apart.
    """
    captions = new_set(tmp_path / "set", plan)
    shards = plan.shards[:: SHARDS // COMMITTED][:COMMITTED]
    for shard in shards:
        with Journal(captions.journals, shard.name, "earlier") as journal:
            journal.append(rows_of(plan, shard))
    reads: list[tuple[float, float]] = []

    def timed(folder: Path, stem: str) -> dict[str, dict[str, Any]]:
        begun = time.perf_counter()
        rows = read_journals(folder, stem)
        reads.append((begun, time.perf_counter()))
        return rows

    monkeypatch.setattr("vprcap.worker.read_journals", timed)
    caption(CaptionJob(plan, captions, CAPTIONER, shards), WorkOptions(decode_workers=1))
    reading = statistics.median(end - begun for begun, end in reads)
    # From the end of one read to the begin of the next: commit, release, claim.
    between = [later[0] - earlier[1] for earlier, later in itertools.pairwise(reads)]
    seconds, worst = statistics.median(between), max(between)
    size = sum(captions.part(shard).stat().st_size for shard in shards) / len(shards)
    print(
        f"\n{len(shards)} of {SHARDS:,} shards of {SHARD_SIZE:,} rows: median "
        f"{1e3 * seconds:.1f} ms (worst {1e3 * worst:.1f}) to commit, release and claim, and "
        f"{1e3 * reading:.1f} ms to read a full journal; {size / SHARD_SIZE:.0f} bytes a row"
    )
    assert len(captions.files()) == COMMITTED == len(reads)
    assert seconds < 0.050


def test_claims_alone(tmp_path: Path) -> None:
    from vprcap.commit_protocol.lease import claim

    begun = time.perf_counter()
    for number in range(1000):
        lease = claim(tmp_path / f"{number}")
        assert lease is not None
        with lease:
            pass
    seconds = (time.perf_counter() - begun) / 1000
    print(f"\nclaim and release: {1e3 * seconds:.2f} ms, {1 / seconds:,.0f} a second")


def test_status_of_24415_shards(plan: Plan, tmp_path: Path) -> None:
    captions = new_set(tmp_path / "set", plan)
    first, second = plan.shards[:2]
    for shard, failed in ((first, FAILED), (second, 0)):
        rows = list(rows_of(plan, shard))
        for row in rows[:failed]:
            row |= {"caption": None, "status": "missing", "error": "no such file"}
        table = build_table(rows, CAPTIONER.config, plan.info.plan_id)
        commit_part(captions, shard, "t", table)
    finished = plan.shards[:-100]
    for shard in finished:
        if shard not in (first, second):
            like = second if shard.index % 100 else first
            os.link(captions.part(like), captions.part(shard))
        captions.summary(shard).write_text(json.dumps(summary_of(captions, shard), indent=2))
    for shard in plan.shards[-100 : RUNNING - 100]:
        holder = {"host": "node/1", "pid": 1, "token": "t", "since": time.time() - 200}
        captions.lease(shard).write_text(json.dumps(holder))
        with Journal(captions.journals, shard.name, "t") as journal:
            journal.append(list(rows_of(plan, first))[:2000])
    seconds, peak, told = run("status", captions.root)
    missing = FAILED * len(range(0, len(finished), 100))
    ok = len(finished) * SHARD_SIZE - missing
    assert told["statuses"] == {"ok": ok, "missing": missing}
    assert (told["shards_done"], told["shards_running"]) == (len(finished), RUNNING)
    assert told["rows_journaled"] == RUNNING * 2000
    print(f"\nstatus of {SHARDS:,} shards: {seconds:.2f} s, {peak / 1e6:.0f} MB, Python included")
    assert seconds < 5
    begun = time.perf_counter()
    assert status_counts(captions.root) == {"ok": ok, "missing": missing}
    assert len(failed_rows(captions.root, at_most=10)) == 10
    seconds = time.perf_counter() - begun
    print(f"closing summary of `vprcap caption`: {seconds:.2f} s")
    assert seconds < 5


def summary_of(captions: CaptionSet, shard: Shard) -> dict[str, Any]:
    """Give what the worker writes; some rows of every hundredth shard have no image."""
    failed = {"missing": FAILED} if shard.index % 100 == 0 else {}
    return {
        "part": captions.part(shard).name,
        "rows": SHARD_SIZE,
        "bytes": 700_000,
        "statuses": {**failed, "ok": SHARD_SIZE - sum(failed.values())},
        "captioned_here": SHARD_SIZE,
        "seconds": 215.579,
        "device": "NVIDIA H100 80GB HBM3",
        "config_id": CAPTIONER.config.config_id,
        "plan_id": "0" * 64,
    }


def test_compaction_and_verification_hold_one_row_group(tmp_path: Path) -> None:
    peaks: dict[str, list[float]] = {"compact": [], "verify": []}
    for num_shards in COMPACTED:
        root = tmp_path / f"{num_shards}"
        root.mkdir()
        plan = write_plan(root / "set.plan.parquet", num_shards)
        captions = new_set(root / "set", plan)
        for shard in plan.shards:
            rows = build_table(list(rows_of(plan, shard)), CAPTIONER.config, plan.info.plan_id)
            commit_part(captions, shard, "t", rows)
        before = sum(path.stat().st_size for path in captions.files())
        for command in peaks:
            seconds, peak, told = run(command, captions.root)
            peaks[command].append(peak)
            rate = plan.info.num_images / seconds
            print(f"\n{command} of {plan.info.num_images:,} rows: {seconds:.1f} s, ", end="")
            print(f"{rate:,.0f} rows/s, peak {peak / 1e6:.0f} MB", end="")
        after = sum(path.stat().st_size for path in captions.now().files())
        each = [size / plan.info.num_images for size in (before, after)]
        print(f"\nbytes a row: {each[0]:.1f} in parts, {each[1]:.1f} compacted")
    for small, large in peaks.values():
        # Half of it is the interpreter; if it held all rows, it would grow more than twofold.
        assert large < 1.3 * small


MEASURE = """
import json, resource, sys, time
from pathlib import Path
from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.manifests.plan import read_plan
command, root = sys.argv[1], Path(sys.argv[2])
begun = time.perf_counter()
if command == "status":
    from vprcap.caption_sets.status import read_status
    told = read_status(CaptionSet(root)).totals()
else:
    plan = read_plan(root.parent / "set.plan.parquet")
    if command == "compact":
        from vprcap.stages.compact import compact
        told = len(compact(CaptionSet(root), plan))
    else:
        from vprcap.stages.verify import verify
        told = dict(verify(CaptionSet(root), plan).counts)
        assert not told, told
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([peak, told]))
"""


def run(command: str, root: Path) -> tuple[float, float, Any]:
    """Run a command in a process of its own: seconds with its start, peak bytes, what it told."""
    begun = time.perf_counter()
    printed = subprocess.run(
        [sys.executable, "-c", MEASURE, command, root], check=True, capture_output=True
    ).stdout
    seconds = time.perf_counter() - begun
    peak, told = json.loads(printed)
    return seconds, peak, told
