"""`vprcap caption --retry-flagged`, by its command, with local workers.

The fake model's captions do not depend on the prompt, so a prompt that says what it will say of
one image makes it echo the prompt there; drawn with another seed it says something else.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import read_captions
from vprcap.caption_sets.qa import FLAGS
from vprcap.cli import main
from vprcap.engines.options import EngineOptions
from vprcap.errors import InvalidError
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.select_flagged import select_flagged
from vprcap.stages.shard import shard
from vprcap.workflows.retry_flagged import retry_flagged

MakeImages = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]
WORK = WorkOptions(decode_workers=1)


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


def options(manifest: Path, prompt: Path, **more: Any) -> JobOptions:
    return JobOptions(manifest, captioner="fake", prompt=str(prompt), **more)


def rows_of(root: Path) -> dict[str, dict[str, Any]]:
    columns = ["image_id", "caption", "status", "qa_flags", "config_id"]
    return {row["image_id"]: row for row in read_captions(root, columns).to_pylist()}


@pytest.fixture
def echoed(make_images: MakeImages, tmp_path: Path) -> tuple[Path, Path]:
    """A plan of 9 images, and a prompt that the caption of 3.jpg has four words of."""
    manifest = scan(make_images([f"{i}.jpg" for i in range(9)]), tmp_path / "m.parquet")
    shard(manifest, shard_size=4)
    plain = JobOptions(manifest, tmp_path / "plain", captioner="fake")
    text = rows_of(caption(open_job(plain), WORK))["3.jpg"]["caption"]
    prompt = tmp_path / "echo.txt"
    prompt.write_text(" ".join(text.replace(",", "").split()[7:11]))
    return manifest, prompt


def told(run: Run, echoed: tuple[Path, Path], *more: object) -> dict[str, Any]:
    manifest, prompt = echoed
    arguments = ("--captioner", "fake", "--prompt", prompt, "--retry-flagged", "--json", *more)
    code, out, err = run("caption", manifest, *arguments)
    assert code == 0, err
    result: dict[str, Any] = json.loads(out)
    return result


def test_a_flagged_caption_is_written_again_and_the_better_one_says_how_it_was_made(
    run: Run, echoed: tuple[Path, Path]
) -> None:
    first = rows_of(caption(open_job(options(*echoed)), WORK))
    assert first["3.jpg"]["qa_flags"] == ["prompt_echo"]
    result = told(run, echoed)
    assert (result["flagged"], result["better"]) == (1, 1)
    captions = CaptionSet(Path(result["captions"]))
    now = rows_of(captions.root)
    assert now["3.jpg"]["qa_flags"] == [] and now["3.jpg"]["caption"] != first["3.jpg"]["caption"]
    assert {k: v for k, v in now.items() if k != "3.jpg"} == {
        k: v for k, v in first.items() if k != "3.jpg"
    }
    [made] = captions.retries.glob("*/config.json")
    config = json.loads(made.read_text())
    assert (config["temperature"], config["seed"]) == (0.7, 1)
    assert now["3.jpg"]["config_id"] == config["config_id"] != captions.config_id
    assert run("verify", echoed[0], "--captions", captions.root)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in captions.root.rglob("*.parquet")}
    assert "flagged" not in told(run, echoed), "there is no third try"
    assert before == {path: path.stat().st_mtime_ns for path in captions.root.rglob("*.parquet")}


@pytest.mark.parametrize("steps", ["selected", "written again"])
def test_a_run_that_was_killed_after_any_step_is_run_again_to_the_same_end(
    run: Run, echoed: tuple[Path, Path], steps: str
) -> None:
    captions = CaptionSet(caption(open_job(options(*echoed)), WORK))
    selected = select_flagged(captions, FLAGS)
    assert selected is not None
    if steps == "written again":
        more = {"captions_root": captions.retries, "temperature": 0.7, "seed": 1}
        caption(open_job(options(selected[0], echoed[1], **more)), WORK)
    assert told(run, echoed)["better"] == 1
    assert rows_of(captions.root)["3.jpg"]["qa_flags"] == []


def test_captions_that_get_no_better_stay_and_are_not_written_a_third_time(
    run: Run, make_images: MakeImages
) -> None:
    manifest = scan(make_images(["a.jpg", "b.jpg"]), make_images([]).parent / "m.parquet")
    arguments = ("caption", manifest, "--captioner", "fake", "--model", "loop=1", "--json")
    root = Path(json.loads(run(*arguments)[1])["captions"])
    first = rows_of(root)
    for _ in range(2):
        code, out, err = run(*arguments, "--retry-flagged")
        assert code == 0, err
        assert json.loads(out)["flagged"] == 2 and json.loads(out)["better"] == 0
    assert rows_of(root) == first
    assert CaptionSet(root).generations() == [0]
    assert len(list(CaptionSet(root).retries.glob("*/config.json"))) == 1


def test_only_the_flags_that_are_named_are_meant(run: Run, echoed: tuple[Path, Path]) -> None:
    assert "flagged" not in told(run, echoed, "--flags", "refusal, empty")


def test_an_unknown_flag_and_a_captioner_without_sampling_are_refused(
    run: Run, echoed: tuple[Path, Path]
) -> None:
    given = ("caption", echoed[0], "--captioner")
    code, _, err = run(*given, "fake", "--retry-flagged", "--flags", "refused")
    assert code == 1 and "'refused' is unknown; choose of empty, refusal" in err
    with pytest.raises(InvalidError, match="labels has nothing to sample"):
        retry_flagged(JobOptions(echoed[0], captioner="labels"), FLAGS, WORK, EngineOptions())
