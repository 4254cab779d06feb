"""`vprcap scan --check` and `vprcap eval --drop-twins` on images of one's own."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from miniatures import write_encoders, write_pitts
from vprcap.cli import main
from vprcap.combiner import CombinerConfig, FeatureCombiner
from vprcap.files import write_json

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run_main(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vprcap", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run_main


def picture(seed: int) -> Image.Image:
    blobs = np.random.default_rng(seed).integers(0, 255, (9, 12, 3)).astype(np.uint8)
    return Image.fromarray(blobs).resize((160, 120), Image.Resampling.BICUBIC)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Each of two queries has its bytes in the database, and a trap that looks like it far away.

    What truly shows its place is another picture. So with the copies R@1 is 1, without them 0.
    """
    images = tmp_path / "images"
    images.mkdir()
    lines = ["path,role,easting,northing"]

    def add(name: str, role: str, easting: float) -> Path:
        lines.append(f"{name},{role},{easting},0")
        return images / name

    for place in range(2):
        here = 1000.0 * place
        picture(place).save(add(f"query{place}.png", "query", here))
        copy = add(f"copy{place}.png", "database", here + 3)
        copy.write_bytes((images / f"query{place}.png").read_bytes())
        picture(place).save(add(f"trap{place}.jpg", "database", here + 500), quality=95)
        picture(10 + place).save(add(f"true{place}.png", "database", here + 3))
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return images


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A combiner of images alone that was never trained: what it starts from."""
    torch.manual_seed(0)
    image, text = map(str, write_encoders(tmp_path / "encoders"))
    sizes = {"descriptor_dim": 16, "width": 12, "num_words": 4}
    FeatureCombiner(CombinerConfig(image_dim=32, text_dim=32, **sizes)).save(tmp_path / "run")
    known = {"image_encoder": image, "text_encoder": text, "captions": None}
    write_json(tmp_path / "run/run.json", known)
    return tmp_path / "run"


def test_a_folder_is_scanned_and_checked_in_one_command(run: Run, copied: Path) -> None:
    (copied / "true0.png").write_bytes(b"")
    asked = ("images", "--table", "table.csv", "--output", "set.parquet", "--check")
    code, out, err = run("scan", *asked, "--decode-workers", 2)
    assert code == 0, err
    assert out.startswith("set.parquet: 8 images (6 database, 2 queries), positives within 25 m\n")
    assert "set.health.parquet: 8 images: 7 decode" in out
    assert "true0.png: decode_error: the file is empty; fetch it again" in out
    assert "copy0.png: repeats query query0.png (1.000)" in out
    assert "check: 8 of 8" in err and "ETA" in err


def test_a_manifest_that_is_there_is_checked_without_scanning(run: Run, copied: Path) -> None:
    run("scan", "images", "--table", "table.csv", "--output", "set.parquet")
    before = Path("set.parquet").read_bytes()
    picture(5).save(copied / "new.png")
    code, out, err = run("scan", "set.parquet", "--check", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["images"], found["database"], found["queries"]) == (8, 6, 2)
    health = found["health"]
    assert (health["path"], health["num_ok"]) == ("set.health.parquet", 8)
    counts = {kind: own["count"] for kind, own in health["findings"].items()}
    # The bytes of a query are one file twice; a trap repeats a query and lies 500 m away.
    assert counts == dict.fromkeys(counts, 0) | {"duplicates": 2, "twins": 2, "displaced": 2}
    assert Path("set.parquet").read_bytes() == before


@pytest.mark.parametrize("limit", ["-1", "0", "nan"])
def test_a_limit_that_admits_no_image_is_refused_before_anything_is_written(
    run: Run, copied: Path, limit: str
) -> None:
    command = ("scan", "images", "--table", "table.csv", "--output", "set.parquet", "--check")
    code, out, err = run(*command, f"--max-megapixels={limit}")
    assert (code, out) == (1, "")
    assert err == f"vprcap: --max-megapixels {limit} admits no image; use e.g. 50\n"
    assert not Path("set.parquet").exists() and not Path("set.health.parquet").exists()


def test_an_image_above_the_limit_is_called_too_large(run: Run, copied: Path) -> None:
    Image.new("L", (2000, 1000)).save(copied / "true0.png")
    command = ("scan", "images", "--table", "table.csv", "--output", "set.parquet", "--check")
    code, out, _ = run(*command, "--max-megapixels", "1", "--decode-workers", "1")
    told = "true0.png: too_large: 2 megapixels, the limit is 1; make it smaller, or raise --max-m"
    assert code == 0 and told in out
    assert ["too", "large", "1"] in [line.split() for line in out.splitlines()]


def test_what_belongs_to_a_scan_is_refused_beside_a_manifest(run: Run, copied: Path) -> None:
    run("scan", "images", "--table", "table.csv", "--output", "set.parquet")
    for more in (("--output", "b"), ("--table", "table.csv"), ("--positives", "radius=9")):
        code, out, err = run("scan", "set.parquet", "--check", *more)
        assert (code, out) == (1, "") and "give nothing else beside a manifest" in err
    code, _, err = run("scan", "nowhere.parquet", "--check")
    assert code == 1 and "no manifest at nowhere.parquet" in err
    code, _, err = run("scan", "table.csv", "--check")
    assert code == 1 and "not a readable manifest" in err


def test_a_dataset_is_checked_by_name(run: Run, tmp_path: Path) -> None:
    write_pitts(tmp_path / "pitts30k")
    asked = ("--dataset", "pitts30k", "--root", tmp_path, "--allow-partial", "--check", "--json")
    code, out, err = run("scan", *asked)
    assert code == 0, err
    found = json.loads(out)["health"]
    assert found["path"] == str(tmp_path / "pitts30k/captions/pitts30k-test.health.parquet")
    # A miniature's two views of a place are one pattern with other noise, 1 m apart: ten twins.
    assert (found["num_ok"], found["findings"]["twins"]["count"]) == (20, 10)


def test_dropping_twins_shows_what_copies_were_worth(run: Run, copied: Path, trained: Path) -> None:
    run("scan", "images", "--table", "table.csv", "--output", "set.parquet")
    asked = ("set.parquet", "--run", trained, "--output", "results", "--drop-twins")
    code, out, err = run("eval", *asked)
    assert (code, out) == (1, "")
    assert err == (
        "vprcap: no set.health.parquet; check the images first: `vprcap scan set.parquet --check`\n"
    )
    assert not (copied / "features").exists()  # said before any image was described

    assert run("scan", "set.parquet", "--check")[0] == 0
    code, out, err = run("eval", *asked, "--json")
    assert code == 0, err
    effect = json.loads(out)
    assert json.loads(Path("results/twins.json").read_text()) == effect
    assert effect["with_twins"]["recall"]["image"]["1"]["value"] == 1.0
    assert effect["without_twins"]["recall"]["image"]["1"]["value"] == 0.0
    assert run("report", "results/without-twins")[0] == 0
    assert "without twins of queries" in Path("results/without-twins/report.html").read_text(
        "utf-8"
    )
    assert effect["without_twins"]["recall"]["image"]["5"]["value"] == 1.0
    assert effect["difference"]["image"]["1"] == {"value": -1.0, "low": -1.0, "high": -1.0}
    rows = pq.read_table("results/without-twins/per_query.parquet").to_pylist()
    assert [row["retrieved"][0] for row in rows] == ["trap0.jpg", "trap1.jpg"]

    _, out, _ = run("eval", *asked)
    assert "set: 6 database, 2 queries (2 solvable)" in out
    assert "set without 2 twins of queries: 4 database, 2 queries (2 solvable)" in out
    assert "2 of 6 database images are a twin of a query; 0 queries have no other positive" in out
    assert "-100.0 [-100.0, -100.0]" in out


def test_twins_are_dropped_from_one_evaluation_only(run: Run) -> None:
    for more in (("--ablate", "dims"), ("--corrupt", "shuffle")):
        code, _, err = run("eval", "set.parquet", "--drop-twins", *more)
        assert code == 1 and "--drop-twins is for one evaluation" in err
