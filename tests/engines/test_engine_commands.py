import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from slurm_stand_in import StandIn, install

from vprcap.cli import main

MakeImages = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]
FAKE = ("--captioner", "fake")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process: exit code, stdout, stderr."""

    def run_main(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vprcap", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run_main


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A Slurm whose tasks wait for ever."""
    monkeypatch.setenv("STAND_IN_RUNS", "no")
    return install(tmp_path / "slurm", monkeypatch.setenv)


def test_submitting_prints_the_job_and_how_to_follow_it(
    run: Run, slurm: StandIn, make_images: MakeImages
) -> None:
    images = make_images(["a.jpg", "b.jpg"])
    code, out, err = run("caption", images, *FAKE, "--engine", "slurm", "--gpus", 0)
    assert (code, err) == (0, "")
    captions, job, follow, end = out.splitlines()
    assert job == f"job 7, tasks: 1, logs in {captions}/slurm"
    assert follow == f"follow it: vprcap status {captions} --watch"
    assert end == "end it:    scancel 7"
    code, out, _ = run("status", captions)
    assert code == 0 and "0 of 2" in out


def test_submitting_says_as_much_in_json(run: Run, slurm: StandIn, make_images: MakeImages) -> None:
    images = make_images(["a.jpg"])
    _, out, _ = run("caption", images, *FAKE, "--engine", "slurm", "--json")
    said = json.loads(out)
    assert (said["job_id"], said["tasks"]) == ("7", 1)
    assert said["logs"] == f"{said['captions']}/slurm"


def test_a_dry_run_prints_the_script_and_submits_nothing(
    run: Run, make_images: MakeImages, slurm: StandIn
) -> None:
    images = make_images(["a.jpg"])
    asked = ("caption", images, *FAKE, "--engine", "slurm", "--partition", "gpu", "--dry-run")
    code, out, _ = run(*asked)
    assert code == 0 and not (slurm.folder / "script.sh").exists()
    printed = out[out.index("#!/bin/bash") :]
    assert printed.rstrip("\n") == json.loads(run(*asked, "--json")[1])["commands"].rstrip("\n")
    run(*asked[:-1])
    assert printed.rstrip("\n") == slurm.script().rstrip("\n")


def test_an_option_of_another_engine_is_one_line(run: Run, make_images: MakeImages) -> None:
    images = make_images(["a.jpg"])
    for command in ("caption", "retry"):
        code, out, err = run(command, images, "--partition", "gpu")
        assert (code, out) == (1, "")
        assert err.count("\n") == 1 and "--partition is of --engine slurm, not of local" in err


def test_rows_are_made_again_by_an_engine_and_kept_where_it_cannot_start(
    run: Run, make_images: MakeImages, slurm: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = make_images(["a.jpg"])
    (images / "broken.jpg").write_bytes(b"")
    assert run("caption", images, *FAKE)[0] == 0
    retry = ("retry", images, "--where", "status=decode_error", "--engine", "slurm", "--json")
    with monkeypatch.context() as without:
        without.setenv("PATH", "")
        code, _, err = run(*retry)
    assert code == 1 and "no Slurm here" in err
    assert json.loads(run("status", images, "--json")[1])["images_left"] == 0
    code, out, _ = run(*retry)
    said = json.loads(out)
    assert code == 0 and said["job_id"] == "7" and said["rows_to_make_again"] == 1
    assert json.loads(run("status", images, "--json")[1])["images_left"] == 1
