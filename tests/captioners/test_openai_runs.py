"""Whole runs of the captioner `openai`: what a server does to them, and what they keep."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_servers import ChatServer
from PIL import Image

import vprcap.captioners.server as server_module
from vprcap.caption_job import CaptionJob, JobOptions, WorkOptions, open_job, options_of
from vprcap.caption_sets.captions import read_captions
from vprcap.cli import main
from vprcap.commit_protocol.journal import read_journals
from vprcap.engines.local import caption_locally
from vprcap.engines.worker_process import worker_command
from vprcap.errors import DependencyError, Interrupted
from vprcap.images import Framing, decode_image
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard
from vprcap.stopping import stop_on_signals

NAMES = [f"{i}.jpg" for i in range(8)]
FRAMING = Framing("pad", 24, (122, 116, 104))
MakeImages = Callable[..., Path]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(server_module, "_LONGEST_PAUSE", 0.1)


@pytest.fixture
def options(make_images: MakeImages, chat_server: ChatServer) -> JobOptions:
    images = make_images(NAMES)
    manifest = scan(images, images.with_suffix(".parquet"))
    shard(manifest, shard_size=len(NAMES))
    return JobOptions(manifest, captioner="openai", base_url=chat_server.url, image_side=24)


def run(options: JobOptions, **work: Any) -> CaptionJob:
    job = open_job(options)
    caption(job, WorkOptions(decode_workers=1, reuse=False, **work))
    return job


def rows_of(job: CaptionJob) -> dict[str, tuple[Any, ...]]:
    rows = read_captions(job.captions.root, ["image_id", "caption", "status", "error"]).to_pylist()
    return {row.pop("image_id"): tuple(row.values()) for row in rows}


def pictures_of(options: JobOptions) -> dict[str, str]:
    """SHA-256 of the PNG of each image, as the server should get it."""
    digests = {}
    for name in NAMES:
        decoded = decode_image(options.manifest.with_suffix("") / name, FRAMING, 50.0)
        assert decoded.pixels is not None
        png = io.BytesIO()
        Image.fromarray(decoded.pixels).save(png, "PNG", compress_level=1)
        digests[name] = hashlib.sha256(png.getvalue()).hexdigest()
    return digests


def undisturbed(options: JobOptions) -> dict[str, tuple[Any, ...]]:
    """Rows as they should be: the server's caption of a picture is made of its hash."""
    digests = pictures_of(options).items()
    return {name: (f"a wall with {digest[:8]}", "ok", None) for name, digest in digests}


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


def test_the_rows_are_those_of_any_captioner(options: JobOptions) -> None:
    job = run(options)
    assert rows_of(job) == undisturbed(options)
    [row, *_] = read_captions(
        job.captions.root,
        ["status", "finish_reason", "num_prompt_tokens", "num_output_tokens", "qa_flags"]
        + ["captioner", "model", "quantization", "revision"],
    ).to_pylist()
    assert row == {
        "status": "ok",
        "finish_reason": "stop",
        "num_prompt_tokens": 11,
        "num_output_tokens": 4,
        "qa_flags": [],
        "captioner": "openai",
        "model": "tiny",
        "quantization": "served",
        "revision": "unknown",
    }
    assert job.captions.root.name.startswith("images-tiny-served-place-")
    summary = json.loads(job.captions.summary(job.plan.shards[0]).read_text())
    assert summary["device"] == f"{options.base_url}, fp-test"


def test_a_set_can_be_gone_on_with_from_what_it_says_of_itself(
    options: JobOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = run(options)
    monkeypatch.setenv("OPENAI_BASE_URL", str(options.base_url))
    again = open_job(options_of(job.captions, options.manifest))
    assert again.captioner.config == job.captioner.config
    assert again.captions.root == job.captions.root


def test_a_server_that_is_killed_and_started_again_costs_nothing(
    options: JobOptions, chat_server: ChatServer
) -> None:
    calm = undisturbed(options)
    chat_server.behave(always={"delay": 0.2})

    def restart() -> None:
        until(lambda: len(chat_server.asked()) > 2)
        chat_server.kill()
        time.sleep(0.5)
        chat_server.start()

    killer = threading.Thread(target=restart)
    killer.start()
    job = run(options, batch_size=2)
    killer.join()
    assert rows_of(job) == calm
    assert len(chat_server.asked()) > len(NAMES), "somebody must have been asked twice"


def test_one_bad_image_has_its_row_and_the_others_their_captions(
    options: JobOptions, chat_server: ChatServer
) -> None:
    calm = undisturbed(options)
    bad, hung = (pictures_of(options)[name] for name in ("3.jpg", "5.jpg"))
    refusal = {"status": 400, "body": json.dumps({"error": {"message": "bad picture"}})}
    chat_server.behave(images={bad: refusal, hung: {"delay": 60}})
    rows = rows_of(run(options, batch_size=4, timeout_seconds=0.7))
    assert rows == {
        **calm,
        "3.jpg": (None, "model_error", "400 bad picture"),
        "5.jpg": (None, "timeout", "no caption within 0.7 s"),
    }


def test_an_image_that_ends_the_server_each_time_is_found(
    options: JobOptions, chat_server: ChatServer
) -> None:
    calm = undisturbed(options)
    poison = pictures_of(options)["6.jpg"]
    chat_server.behave(images={poison: {"die": True}})
    done = threading.Event()

    def supervise() -> None:
        while not done.wait(0.02):
            if chat_server.process is not None and chat_server.process.poll() is not None:
                chat_server.kill()
                chat_server.start()

    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    try:
        rows = rows_of(run(options, batch_size=4))
    finally:
        done.set()
        supervisor.join()
    caption_of_it, status, error = rows.pop("6.jpg")
    assert (caption_of_it, status) == (None, "model_error")
    assert error.startswith("its answer broke off (") and error.endswith("), 3 times")
    assert rows == {name: row for name, row in calm.items() if name != "6.jpg"}


def test_an_image_that_ends_a_server_that_nobody_starts_again_is_found_run_by_run(
    options: JobOptions, chat_server: ChatServer
) -> None:
    digests = pictures_of(options)
    company = {digests["7.jpg"]: {"delay": 0.3}}  # asked for before the server ends
    chat_server.behave(images={digests["6.jpg"]: {"die": True, "delay": 0.1}, **company})
    job = open_job(options)
    work = WorkOptions(decode_workers=1, batch_size=2, timeout_seconds=0.5, reuse=False)
    for _ in range(3):  # in a batch of two, then twice alone
        with pytest.raises(DependencyError, match="no connection"):
            caption(job, work)
        chat_server.kill()
        chat_server.start()
    caption(job, work)
    error = "ended its worker, alone in its batch, more than once"
    assert rows_of(job) == {**undisturbed(options), "6.jpg": (None, "poison", error)}


@pytest.mark.parametrize(
    "way", ["killed", "broken", pytest.param("overloaded", marks=pytest.mark.chaos)]
)
def test_a_server_that_stays_away_stops_the_run_and_leaves_no_row_of_failure(
    options: JobOptions, chat_server: ChatServer, way: str
) -> None:
    calm = undisturbed(options)
    job = open_job(options)
    status = {"killed": 200, "broken": 500, "overloaded": 429}[way]
    chat_server.behave(next=[{}] * 4, always={"status": status, "delay": 0.05})
    if way == "killed":  # once the first four are answered, and nothing after them
        chat_server.behave(next=[{}] * 4 + [{"die": True, "delay": 0.2}] + [{"delay": 5}] * 4)
    with pytest.raises(DependencyError, match=f"^{options.base_url}: .*, for 1 s; every caption"):
        caption(job, WorkOptions(decode_workers=1, batch_size=4, timeout_seconds=1, reuse=False))
    kept = read_journals(job.captions.journals, job.plan.shards[0].name)
    assert [row["status"] for row in kept.values()] == ["ok"] * 4
    assert list(job.captions.root.glob("leases/*")) == []
    if way == "killed":
        chat_server.kill()
        chat_server.start()
    chat_server.behave()
    assert rows_of(run(options, batch_size=4)) == calm
    pictures = Counter(entry["picture"] for entry in chat_server.asked())
    for name in kept:
        assert pictures[pictures_of(options)[name]] == 1, "it was paid for twice"


def test_a_signal_stops_it_within_moments_and_costs_no_more_than_the_batch(
    options: JobOptions, chat_server: ChatServer
) -> None:
    calm = undisturbed(options)
    chat_server.behave(next=[{}] * 4, always={"delay": 60})
    command = worker_command(options, WorkOptions(batch_size=4, decode_workers=1, reuse=False))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until(lambda: len(chat_server.asked()) == 8)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert time.monotonic() - begun < 5
        assert process.stdout is not None and process.stderr is not None
        last = json.loads(process.stdout.read().splitlines()[-1])
        assert process.stderr.read() == ""
    assert last["exit_code"] == 128 + signal.SIGTERM
    assert last["message"].startswith("stopped by SIGTERM: 4 of 8 images have their rows")
    chat_server.behave()
    assert rows_of(run(options)) == calm
    assert len(chat_server.asked()) == 8 + 4


def test_a_worker_of_a_server_loads_no_deep_learning_library() -> None:
    check = (
        "import sys, vprcap.stages.caption, {module}\n"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    for module, heavy in (("vprcap.captioners.openai", "[]"), ("torch", "['torch']")):
        command = [sys.executable, "-c", check.format(module=module)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == heavy


def test_a_signal_ends_the_wait_for_a_server_that_is_not_there(
    options: JobOptions, chat_server: ChatServer
) -> None:
    chat_server.kill()
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    begun = time.monotonic()
    with stop_on_signals(), pytest.raises(Interrupted):
        timer.start()
        open_job(options)
    assert time.monotonic() - begun < 5


def test_an_engine_does_not_wait_for_the_server_that_its_worker_gave_up(
    options: JobOptions, chat_server: ChatServer
) -> None:
    chat_server.behave(next=[{}] * 4 + [{"die": True}])
    work = WorkOptions(decode_workers=1, batch_size=4, timeout_seconds=0.5, reuse=False)
    begun = time.monotonic()
    with pytest.raises(
        DependencyError, match=r"no connection .*, for 0\.\d+ s; every caption so far"
    ):
        caption_locally(options, work, workers=1)
    assert time.monotonic() - begun < 60


def test_a_wrong_key_is_one_line_before_anything_is_written(
    options: JobOptions,
    chat_server: ChatServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chat_server.behave(models=[401, {"error": {"message": "bad key sk-secret"}}])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", chat_server.url)
    arguments = ["vprcap", "caption", str(options.manifest), "--captioner", "openai"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        f"vprcap: {chat_server.url} wants another key (401 bad key ***); set OPENAI_API_KEY\n"
    )
    assert not (options.manifest.with_suffix("") / "captions").exists()


def test_the_key_is_in_no_file(
    options: JobOptions, chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    root = run(options).captions.root
    assert {entry["key"] for entry in chat_server.asked()} == {"Bearer sk-secret"}
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not [path for path in files if b"sk-secret" in path.read_bytes()]


def test_nobody_waits_for_the_slowest_caption_of_a_batch(
    options: JobOptions, chat_server: ChatServer
) -> None:
    """Every fourth caption takes 0.6 s: batches of four would take 0.6 s each, 1.2 in all."""
    slow = [pictures_of(options)[name] for name in ("0.jpg", "4.jpg")]
    chat_server.behave(images={digest: {"delay": 0.6} for digest in slow})
    job = run(options, batch_size=4)
    assert rows_of(job) == undisturbed(options)
    asked = chat_server.asked()
    assert len(asked) == len(NAMES)
    begun = {entry["picture"]: entry["time"] for entry in asked}
    assert begun[slow[1]] - begun[slow[0]] < 0.5  # it was asked for before the first slow one ended
    assert max(entry["peak"] for entry in asked) <= 4


def test_an_image_that_is_refused_costs_no_other_a_second_request(
    options: JobOptions, chat_server: ChatServer
) -> None:
    digests = pictures_of(options)
    refusal = {"status": 400, "body": json.dumps({"error": "too blue"})}
    others = {digest: {"delay": 0.2} for digest in digests.values()}
    chat_server.behave(images={**others, digests["1.jpg"]: refusal})
    job = run(options, batch_size=4)
    expected = undisturbed(options)
    found = rows_of(job)
    assert found.pop("1.jpg")[1] == "model_error" and "1.jpg" in expected
    assert found == {name: row for name, row in expected.items() if name != "1.jpg"}
    times = Counter(entry["picture"] for entry in chat_server.asked())
    assert {times[digests[name]] for name in found} == {1}
    assert max(entry["peak"] for entry in chat_server.asked()[5:]) > 1  # and it goes on in company
