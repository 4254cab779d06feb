"""The three commands of the README, by dataset name, on faithful miniatures."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from miniatures import NUM_PLACES, write_encoders, write_gsv_cities, write_pitts
from vprcap.cli import main
from vprcap.evaluation.provenance import read_provenance
from vprcap.retrieval.descriptors import QUERY_MODES


@pytest.fixture
def vprcap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a command in an empty folder; give what it says on stdout, and on stderr after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VPRCAP_DATA", str(tmp_path / "data"))

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vprcap", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        assert ended.value.code == 0, output.err
        return output.out + (output.err if "--json" not in arguments else "")

    return run


def test_caption_train_and_eval_by_dataset_name(tmp_path: Path, vprcap: Callable[..., str]) -> None:
    write_gsv_cities(tmp_path / "data/gsv-cities")
    write_pitts(tmp_path / "data/pitts30k")
    fake = ["--captioner", "fake"]
    assert "40 images: 40 ok" in vprcap("caption", "--dataset", "gsv-cities", *fake)
    partial = ["--dataset", "pitts30k", "--allow-partial"]
    assert "20 images: 20 ok" in vprcap("caption", *partial, *fake)
    image, text = write_encoders(tmp_path / "encoders")
    vprcap(
        *("train", "--dataset", "gsv-cities", "--epochs", "1", "--descriptor-dim", "16"),
        *("--image-encoder", str(image), "--text-encoder", str(text)),
    )
    out = vprcap("eval", "--dataset", "pitts30k")
    assert "pitts30k-test: 10 database, 10 queries (10 solvable), positives within 25 m" in out
    assert "PARTIAL, not comparable: 10 of 10000 database images, 10 of 6816 query" in out
    results = json.loads(vprcap("eval", "--dataset", "pitts30k", "--json"))
    assert results["num_queries"] == 10 and set(results["recall"]) == set(QUERY_MODES)
    folder = tmp_path / "runs/combiner/eval/pitts30k-test"
    check_against_brute_force(folder, results)
    made_of = read_provenance(folder)
    assert made_of is not None and made_of.command == "vprcap eval --dataset pitts30k --json"
    assert made_of.caption_config["captioner"] == "fake"
    page = Path(vprcap("report").splitlines()[0])
    assert page.name == "report.html" and "10 of 10000 database images" in page.read_text("utf-8")


def test_a_set_without_places_is_trained_on_in_cells_and_warned_of_in_evaluation(
    tmp_path: Path, vprcap: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    write_pitts(tmp_path / "data/pitts30k")
    image, text = write_encoders(tmp_path / "encoders")
    vprcap(
        *("train", "--dataset", "pitts30k", "--allow-partial", "--no-captions", "--epochs", "1"),
        *("--descriptor-dim", "16", "--image-encoder", str(image), "--text-encoder", str(text)),
    )
    assert f"cut into {NUM_PLACES} cells; 0 of 20 images are alone" in caplog.text
    vprcap("eval", "--dataset", "pitts30k")
    assert "was trained on pitts30k-test, so its recalls here say nothing" in caplog.text


def check_against_brute_force(folder: Path, results: dict) -> None:
    """The patterns tell the places apart, so a query's positive is the image of its own place."""
    rows = pq.read_table(folder / "per_query.parquet").to_pylist()
    for mode, recall in results["recall"].items():
        hits = [
            row["retrieved"][0].split("@")[7] == row["image_id"].split("@")[7]
            for row in rows
            if row["mode"] == mode
        ]
        assert len(hits) == NUM_PLACES
        assert recall["1"]["value"] == pytest.approx(sum(hits) / NUM_PLACES)
