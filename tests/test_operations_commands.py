import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.caption_sets.captions import read_captions
from vprcap.cli import main
from vprcap.errors import InvalidError
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard
from vprcap.workflows.estimation import estimate
from written_sets import write_set

MakeImages = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: exit code, stdout, stderr."""

    def run_main(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vprcap", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run_main


def planned(images: Path, shard_size: int = 4) -> Path:
    manifest = scan(images, images.parent / f"{images.name}.parquet")
    shard(manifest, shard_size=shard_size)
    return manifest


def test_a_set_is_found_by_its_manifest_its_folder_and_captions(run: Run, tmp_path: Path) -> None:
    written = write_set(tmp_path)
    root = written.captions.root
    for named in ([written.manifest], [root], ["--captions", root]):
        code, out, err = run("status", *named)
        assert (code, err) == (0, "")
        assert out.startswith(root.name)
        assert run("verify", *named)[0] == 0


def test_what_is_no_set_is_one_line(run: Run, tmp_path: Path) -> None:
    code, out, err = run("status", "--captions", tmp_path)
    assert (code, out) == (1, "")
    assert "is no caption set" in err
    code, _, err = run("status")
    assert code == 1 and "MANIFEST" in err


def test_a_set_without_its_plan_asks_for_the_manifest(run: Run, tmp_path: Path) -> None:
    written = write_set(tmp_path)
    moved = tmp_path / "moved"
    moved.mkdir()
    root = written.captions.root.rename(moved / written.captions.root.name)
    assert run("status", root)[0] == 0, "it needs no plan"
    code, _, err = run("verify", root)
    assert code == 1 and "name the manifest" in err
    assert run("verify", written.manifest, "--captions", root)[0] == 0


def test_a_status_is_watched_until_all_is_done_and_written_for_prometheus(
    run: Run, tmp_path: Path
) -> None:
    written = write_set(tmp_path)
    code, out, _ = run(
        "status", written.manifest, "--watch", "--json", "--prometheus", tmp_path / "x.prom"
    )
    assert code == 0
    assert json.loads(out)["statuses"] == {"ok": 10}
    assert "vprcap_images_left" in (tmp_path / "x.prom").read_text()


def test_verify_ends_with_1_and_a_table_of_what_is_wrong(run: Run, tmp_path: Path) -> None:
    written = write_set(tmp_path, shards=2)
    code, out, _ = run("verify", written.manifest)
    assert code == 1
    assert "shard without rows" in out and "shard 2 of 3" in out and "vprcap caption" in out
    code, out, _ = run("verify", written.manifest, "--json")
    assert code == 1
    assert json.loads(out)["problems"] == [
        {"problem": "shard without rows", "count": 1, "examples": ["shard 2 of 3"]}
    ]


def test_compact_says_where_the_rows_are_now(run: Run, tmp_path: Path) -> None:
    written = write_set(tmp_path)
    code, out, _ = run("compact", written.manifest, "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["data"], told["files"]) == (str(written.captions.root / "data-0001"), 1)
    code, out, _ = run("compact", written.manifest)
    assert f"removed {written.captions.root / 'data'}" in out


def test_retry_makes_the_rows_that_are_meant_again_and_only_them(
    run: Run, make_images: MakeImages
) -> None:
    images = make_images([f"{i}.jpg" for i in range(9)])
    good = (images / "3.jpg").read_bytes()
    (images / "3.jpg").write_bytes(b"")
    manifest = planned(images)
    root = caption(open_job(JobOptions(manifest, captioner="fake")), WorkOptions(decode_workers=1))
    columns = ["image_id", "status", "caption", "seconds"]
    before = read_captions(root, columns).to_pylist()
    assert run("compact", manifest)[0] == 0
    (images / "3.jpg").write_bytes(good)
    code, out, err = run("retry", manifest, "--where", "status=decode_error")
    assert code == 0, err
    assert "1 rows made again; now 9 ok" in out
    after = read_captions(root, columns).to_pylist()
    assert [row["image_id"] for row in after] == [f"{i}.jpg" for i in range(9)]
    assert [row for row in after if row["image_id"] != "3.jpg"] == [
        row for row in before if row["image_id"] != "3.jpg"
    ]
    assert run("verify", manifest, "--deep")[0] == 0
    assert [path for path in (root / "staging").iterdir()] == []
    assert [path for path in (root / "journal").iterdir()] == []


def test_retry_uses_the_options_of_a_set_of_the_first_images(
    run: Run, make_images: MakeImages
) -> None:
    images = make_images([f"{i}.jpg" for i in range(6)])
    manifest = planned(images)
    options = JobOptions(manifest, captioner="fake", model="refuse=1", max_new_tokens=40, limit=5)
    root = caption(open_job(options), WorkOptions(decode_workers=1))
    code, out, err = run("retry", manifest, "--captions", root, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["captions"], told["rows_made_again"]) == (str(root), 5)
    assert told["statuses"] == {"refused": 5}, "the same model refuses again"


def test_a_set_that_cannot_be_made_as_it_was_is_left_alone(run: Run, tmp_path: Path) -> None:
    written = write_set(tmp_path, statuses={"00.jpg": "oom"})  # by a prompt of nobody's
    code, _, err = run("retry", written.manifest, "--captions", written.captions.root)
    assert code == 1
    assert "the model or the prompt has changed" in err
    assert len(written.captions.files()) == 3


def test_estimate_measures_the_latency_of_a_model_and_prices_it(
    run: Run, make_images: MakeImages
) -> None:
    manifest = planned(make_images([f"{i:02}.jpg" for i in range(40)]))
    code, out, err = run(
        *("estimate", manifest, "--captioner", "fake", "--model", "latency=0.01"),
        *("--batch-size", "4", "--images", "24", "--usd-per-hour", "3600", "--json"),
        *("--decode-workers", "1"),
    )
    assert code == 0, err
    told = json.loads(out)
    assert (told["images_left"], told["images_measured"], told["batch_size"]) == (40, 24, 4)
    assert (told["device"], told["statuses"]) == ("cpu", {"ok": 24})
    assert told["speed"]["num_batches"] == 5
    assert 0.01 <= told["speed"]["seconds"] < 0.03
    assert told["hours"][0] == pytest.approx(40 * told["speed"]["seconds"] / 3600)
    assert told["usd"][0] == pytest.approx(40 * told["speed"]["seconds"])
    assert not (manifest.parent / "images" / "captions").exists(), "it leaves nothing behind"


def test_images_that_cannot_be_decoded_cost_the_model_nothing(make_images: MakeImages) -> None:
    images = make_images([f"{i:02}.jpg" for i in range(32)])
    for number in range(0, 32, 2):
        (images / f"{number:02}.jpg").write_bytes(b"")
    options = JobOptions(planned(images), captioner="fake", model="latency=0.02")
    result = estimate(options, WorkOptions(batch_size=4, decode_workers=1), num_images=32)
    assert result.statuses == {"ok": 16, "decode_error": 16}
    assert 0.01 <= result.speed.seconds < 0.02, "half of the images take 0.02 s"


def test_too_few_batches_to_measure_are_an_error(make_images: MakeImages) -> None:
    options = JobOptions(planned(make_images(["a.jpg", "b.jpg"])), captioner="fake")
    with pytest.raises(InvalidError, match=r"too few .* smaller --batch-size"):
        estimate(options, WorkOptions(decode_workers=1))
