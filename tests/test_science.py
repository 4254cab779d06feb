"""What text is worth: corruptions, curves and ablations, each by its command, on miniatures."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from miniatures import write_encoders, write_gsv_cities, write_pitts
from vprcap.cli import main
from vprcap.late_fusion import LATE_FUSIONS

Vprcap = Callable[..., tuple[int, str, str]]
PITTS = ("--dataset", "pitts30k", "--allow-partial")
RUN = Path("runs/combiner")


def call(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["vprcap", *arguments])
        main()
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captioned miniatures of two datasets and a combiner that was trained on one."""
    folder = tmp_path_factory.mktemp("world")
    write_gsv_cities(folder / "data/gsv-cities")
    write_pitts(folder / "data/pitts30k")
    image, text = write_encoders(folder / "encoders")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("VPRCAP_DATA", str(folder / "data"))
        assert call("caption", "--dataset", "gsv-cities", "--captioner", "fake") == 0
        assert call("caption", *PITTS, "--captioner", "fake") == 0
        encoders = ("--image-encoder", str(image), "--text-encoder", str(text))
        sizes = ("--epochs", "1", "--descriptor-dim", "160")
        assert call("train", "--dataset", "gsv-cities", *sizes, *encoders) == 0
    return folder


@pytest.fixture
def vprcap(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Vprcap:
    monkeypatch.chdir(world)
    monkeypatch.setenv("VPRCAP_DATA", str(world / "data"))

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = call(*arguments)
        return code, *capsys.readouterr()

    return run


def variant_of(evaluation: str) -> object:
    return json.loads((RUN / "eval" / evaluation / "results.json").read_text())["variant"]


def test_captions_of_wrong_places_reach_every_query_and_its_gates(vprcap: Vprcap) -> None:
    (code, said), (code_wrong, said_wrong) = (
        vprcap("eval", *PITTS, *how)[:2]
        for how in ([], ["--corrupt", "wrong-place", "--strength", "1"])
    )
    assert (code, code_wrong) == (0, 0)
    assert "CHANGED" not in said
    assert "CHANGED on purpose: corrupted captions: wrong-place-1-seed0" in said_wrong
    honest, wrong = (
        pq.read_table(RUN / "eval" / name / "gates.parquet").to_pylist()
        for name in ("pitts30k-test", "pitts30k-test-wrong-place-1-seed0")
    )
    called = "corrupted captions: wrong-place-1-seed0"
    assert (variant_of("pitts30k-test"), variant_of("pitts30k-test-wrong-place-1-seed0")) == (
        None,
        called,
    )
    place_of = {row["image_id"]: row["image_id"].split("@")[7] for row in honest}
    places_with = {
        row["caption"]: {
            place_of[each["image_id"]] for each in honest if each["caption"] == row["caption"]
        }
        for row in honest
    }
    for row in wrong:
        assert places_with[row["caption"]] - {place_of[row["image_id"]]}
        assert 0 < row["reliability"] < 1 and len(row["gates"]) == len(row["words"]) > 3


def test_a_curve_over_strengths_is_a_table_a_plot_and_a_file(vprcap: Vprcap) -> None:
    features = Path("data/pitts30k/features")
    before = set(features.glob("bert-*"))
    code, out, err = vprcap("eval", *PITTS, "--corrupt", "shuffle", "--seeds", "2")
    assert code == 0, err
    folder = RUN / "eval" / "pitts30k-test-shuffle"
    assert "plot in" in err and (folder / "curve.svg").read_text().startswith("<?xml")
    rows = {row["name"]: row for row in json.loads((folder / "curve.json").read_text())["rows"]}
    names = ["image-only", *(f"strength {each}" for each in ("0", "0.1", "0.3", "0.5", "1"))]
    assert list(rows) == names and all(f"\n{name}" in out for name in names)
    assert all(len(row["by_seed"]) == 2 for row in rows.values())
    assert variant_of("pitts30k-test-shuffle/shuffle-0-seed0") is None
    assert variant_of("pitts30k-test-shuffle/shuffle-0.5-seed1") == (
        "corrupted captions: shuffle-0.5-seed1"
    )
    # Honest captions may be there already; each strength and seed has texts of its own.
    assert len(set(features.glob("bert-*")) - before) in (8, 9)


def test_gates_are_trained_once_and_compared_with_the_runs_own(vprcap: Vprcap) -> None:
    command = ("eval", *PITTS, "--ablate", "gates", "--seeds", "2")
    corrupt = ("--corrupt", "wrong-place", "--strength", "0.3")
    code, out, err = vprcap(*command, *corrupt)
    assert code == 0, err
    trained = {path.parent.name: path for path in RUN.glob("ablations/*/model.safetensors")}
    assert len(trained) == 7  # four gates, two seeds; the run itself is token-wise with seed 0
    assert {"token-wise+cross-attention-seed1", "none+cross-attention-seed0"} <= set(trained)
    times = [path.stat().st_mtime_ns for path in trained.values()]
    stored: dict[str, Any] = json.loads(vprcap(*command, *corrupt, "--json")[1])
    assert [path.stat().st_mtime_ns for path in trained.values()] == times
    names = [row["name"] for row in stored["rows"]]
    assert names == ["token-wise", "max-cosine", "global", "none"]
    assert stored["reference"] == "token-wise" and all(f"\n{name}" in out for name in names)
    assert "captions wrong-place 0.3" in stored["title"]


def test_fusions_of_tokens_and_of_descriptors_stand_in_one_table(vprcap: Vprcap) -> None:
    code, out, err = vprcap("eval", *PITTS, "--ablate", "fusions", "--seeds", "1")
    assert code == 0, err
    for name in ("efficient-seed0", f"{LATE_FUSIONS[0]}-seed0"):
        assert variant_of(f"pitts30k-test-fusions/{name}") == f"ablation {name}"
    names = ["cross-attention", "efficient", "none", *LATE_FUSIONS]
    assert all(f"\n{name}" in out for name in names), out


def test_lengths_and_codes_say_their_bytes(vprcap: Vprcap) -> None:
    code, out, err = vprcap("eval", *PITTS, "--ablate", "dims", "--seeds", "1", "--json")
    assert code == 0, err
    stored = json.loads(out)
    assert {row["name"]: row["num_bytes"] for row in stored["rows"]} == {
        **{f"{mode} 128": 512 for mode in ("fused", "image-only")},
        **{f"{mode} 160": 640 for mode in ("fused", "image-only")},
        **{f"{mode} 160 bits, re-ranked": 20 for mode in ("fused", "image-only")},
    }
    assert stored["reference"] == "image-only 160"


def test_a_variant_that_fails_is_one_line_and_the_others_are_compared(
    vprcap: Vprcap, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vprcap.workflows.ablation.LATE_FUSIONS", ("concatenation", "nonsense"))
    code, out, _ = vprcap("eval", *PITTS, "--ablate", "fusions", "--seeds", "1")
    assert code == 0 and "\nconcatenation" in out and "nonsense" not in out
    assert "nonsense is left out: no late fusion 'nonsense'" in caplog.text


def test_captions_of_another_configuration_are_warned_of_by_both_names(
    vprcap: Vprcap, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = json.loads((RUN / "run.json").read_text())
    vprcap("eval", *PITTS)
    assert "was trained on captions" not in caplog.text
    other = {**stored, "captions": "0123456789abcdef"}
    (RUN / "run.json").write_text(json.dumps(other))
    code, _, _ = vprcap("eval", *PITTS)
    (RUN / "run.json").write_text(json.dumps(stored))
    assert code == 0
    assert "(configuration 01234567)" in caplog.text
    assert f"is of configuration {stored['captions'][:8]}" in caplog.text
    assert caplog.records[-1].levelno == logging.WARNING


def test_a_run_whose_training_features_are_gone_is_one_line(vprcap: Vprcap, world: Path) -> None:
    stored = json.loads((RUN / "run.json").read_text())
    gone = {**stored["material"], "text_features": "/nowhere/features"}
    for material, message in (
        (gone, "text features that runs/combiner was trained on are gone (/nowhere/features)"),
        (None, "does not name stored features"),
    ):
        (RUN / "run.json").write_text(json.dumps({**stored, "material": material}))
        code, out, err = vprcap("eval", *PITTS, "--ablate", "gates", "--seeds", "2")
        (RUN / "run.json").write_text(json.dumps(stored))
        assert (code, out) == (1, "")
        assert [line for line in err.splitlines() if message in line] == err.splitlines()[-1:]
