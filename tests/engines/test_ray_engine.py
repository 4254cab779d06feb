import queue
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vprcap.caption_job import CaptionJob, JobOptions, WorkOptions, open_job
from vprcap.caption_sets.captions import status_counts
from vprcap.engines import ray as ray_engine
from vprcap.engines.options import EngineOptions
from vprcap.engines.process import Event
from vprcap.engines.ray_actor import WorkerActor
from vprcap.engines.ray_cluster import join_cluster
from vprcap.engines.start import describe, require, start
from vprcap.engines.worker_process import parse_options
from vprcap.errors import BusyError, DependencyError, InvalidError, VprcapError
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard
from vprcap.stopping import StopFlag

MakeImages = Callable[..., Path]
WORK = WorkOptions(batch_size=2, decode_workers=1)


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def options(make_images: MakeImages) -> JobOptions:
    images = make_images(["a.jpg", "b.jpg", "c.jpg"])
    manifest = scan(images, images.parent / "m.parquet")
    shard(manifest, shard_size=2)
    return JobOptions(manifest, captioner="fake")


def supervised(monkeypatch: pytest.MonkeyPatch, *ends: VprcapError | None) -> list[CaptionJob]:
    """Let rounds of supervised workers end in these ways; return what each was asked for."""
    left, asked = list(ends), []

    def supervise(job: CaptionJob, *_: Any) -> VprcapError | None:
        asked.append(job)
        return left.pop(0)

    monkeypatch.setattr(ray_engine, "supervise", supervise)
    return asked


def test_without_ray_one_line_says_how_to_install_it(
    options: JobOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for attempt in (
        lambda: start(options, WORK, EngineOptions("ray")),
        lambda: require(EngineOptions("ray")),
    ):
        with pytest.raises(DependencyError, match=r"pip install 'vprcap\[ray\]'"):
            attempt()
    assert not open_job(options).captions.root.exists()


def test_options_that_cannot_work_are_refused_before_anything_is_started(
    options: JobOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidError, match="--workers 0 is too small"):
        start(options, WORK, EngineOptions("ray", workers=0))
    with pytest.raises(InvalidError, match="--ray-address auto"):
        start(options, WORK, EngineOptions("ray", ray_address="ray://head:10001"))
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(InvalidError, match="ray://head:10001 is an address of Ray's client"):
        require(EngineOptions("ray"))


def test_a_dry_run_says_what_is_asked_of_which_cluster_and_needs_no_ray(
    options: JobOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = describe(options, WORK, EngineOptions("ray", workers=3, ray_address="head:6379"))
    cluster, actors, each, folder, command = said.splitlines()
    assert cluster == "cluster: head:6379" and actors == "actors:  3"
    assert '"num_gpus": 1' in each and '"scheduling_strategy": "SPREAD"' in each
    assert folder == f"runs in: {Path.cwd()}"
    assert command.startswith(f"{sys.executable} -m vprcap.engines.worker_process '")
    assert parse_options(command.partition("'")[2][:-1]) == (options, WORK)


def test_workers_of_a_server_take_no_gpu_of_the_cluster() -> None:
    job = JobOptions(Path("m.parquet"), captioner="openai")
    assert '"num_gpus": 1' not in describe(job, WORK, EngineOptions("ray"))


def events_of(options: JobOptions, folder: Path, captions: Path) -> Iterator[dict[str, Any]]:
    """Yield what an actor says, without fields that say nothing."""
    for event in WorkerActor(3).work(options, WORK, folder, captions):
        said = {name: getattr(event, name) for name in ("new", "error", "message", "returncode")}
        assert event.worker == 3
        yield {name: value for name, value in said.items() if value not in (None, "", 0)}


def test_an_actor_runs_the_worker_program_and_passes_on_its_words(options: JobOptions) -> None:
    job = open_job(options)
    job.captions.create(job.captioner.config, asdict(job.plan.info))
    events = list(events_of(options, Path.cwd(), job.captions.root))
    assert sum(event.get("new", 0) for event in events) == 3
    assert events[-1] == {}, "it ended with 0"
    assert status_counts(job.captions.root) == {"ok": 3}


@pytest.mark.parametrize("missing", ["folder", "captions"])
def test_a_node_that_does_not_see_the_folders_says_which(
    options: JobOptions, tmp_path: Path, missing: str
) -> None:
    folders = {"folder": tmp_path, "captions": tmp_path, missing: tmp_path / "elsewhere"}
    errors = [event for event in events_of(options, **folders) if "error" in event]
    assert [event["error"] for event in errors] == ["MissingError"]
    assert f"does not see {tmp_path / 'elsewhere'}; mount it there" in errors[0]["message"]


def test_what_a_lost_node_held_is_captioned_in_another_round(
    options: JobOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = supervised(monkeypatch, BusyError("held"), None)
    monkeypatch.setattr(ray_engine, "wait_for_holders", lambda job, stop: True)
    assert ray_engine._caption(open_job(options), lambda *_: None, 2, StopFlag()) is None
    assert len(asked) == 2


def test_what_living_workers_of_others_hold_is_left_to_them(
    options: JobOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = supervised(monkeypatch, BusyError("held"))
    monkeypatch.setattr(ray_engine, "wait_for_holders", lambda job, stop: False)
    failure = ray_engine._caption(open_job(options), lambda *_: None, 2, StopFlag())
    assert isinstance(failure, BusyError) and len(asked) == 1


def full_cluster(monkeypatch: pytest.MonkeyPatch, is_needed: bool) -> list[Event]:
    """Ask a cluster that has no place for a worker; return what comes of it."""
    ray = SimpleNamespace(
        wait=lambda waiting, timeout: ([], waiting),
        kill=lambda actor: None,
        exceptions=SimpleNamespace(RayError=RuntimeError),
    )
    monkeypatch.setattr(ray_engine, "load_ray", lambda: ray)
    monkeypatch.setattr(ray_engine, "PLACE_SECONDS", 0.0)
    ready = SimpleNamespace(__ray_ready__=SimpleNamespace(remote=lambda: "pending"))
    kind = SimpleNamespace(remote=lambda number: ready)
    events: queue.Queue[Event] = queue.Queue()
    ray_engine._RemoteWorker(4, kind, (), events, lambda: is_needed)
    found = [events.get(timeout=10)]
    while found[-1].returncode is None:
        found.append(events.get(timeout=10))
    return found


def test_a_worker_that_finds_no_place_in_time_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error, end = full_cluster(monkeypatch, is_needed=True)
    assert error.error == "WorkerError" and "no node had a free place" in error.message
    assert end == Event(4, returncode=0)


def test_a_worker_without_a_place_is_not_waited_for_when_all_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert full_cluster(monkeypatch, is_needed=False) == [Event(4, returncode=0)]


def test_a_node_without_vprcap_is_named_and_not_tried_again() -> None:
    said = (
        "The actor died (pid=7, ip=10.0.0.3, actor_id=b8)\nModuleNotFoundError: No module 'vprcap'"
    )
    line, error, end = ray_engine._endings(1, RuntimeError(said))
    assert error.error == "DependencyError" and line.line == error.message
    assert "node 10.0.0.3 cannot load vprcap" in error.message and "\n" not in error.message
    assert end.returncode == 0


def test_an_actor_that_is_gone_is_lost() -> None:
    (lost,) = ray_engine._endings(1, RuntimeError("The node has died.\nMore of it."))
    assert lost.lost == "was lost (The node has died)"


def test_an_address_where_nobody_answers_is_one_line() -> None:
    pytest.importorskip("ray", reason="the Ray engine needs ray: pip install 'vprcap[ray]'")
    with pytest.raises(DependencyError, match="no Ray cluster at 127.0.0.1:1 .*refused"):
        with join_cluster("127.0.0.1:1"):
            pass
