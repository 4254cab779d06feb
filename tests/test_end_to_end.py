"""The three commands of the README, by dataset name, on faithful miniatures."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from transformers import BertConfig, BertModel, BertTokenizerFast, Dinov2Config, Dinov2Model

from vprcap.cli import main

NUM_PLACES = 10


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Random encoders of the real classes."""
    image, text = tmp_path_factory.mktemp("dinov2"), tmp_path_factory.mktemp("bert")
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(**size, image_size=56, patch_size=14)).save_pretrained(image)
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"abcdefghijklmnopqrstuvwxyz,.0123456789",
    ]
    vocabulary = text / "vocab.txt"
    vocabulary.write_text("\n".join([*words, *(f"##{word}" for word in words[5:])]))
    BertTokenizerFast(vocab=str(vocabulary)).save_pretrained(text)
    BertModel(BertConfig(**size, intermediate_size=64, vocab_size=80)).save_pretrained(text)
    return image, text


def picture(place: int, view: int) -> Image.Image:
    """A pattern of its own for each place, a little noise for each view."""
    pattern = np.random.default_rng(place).integers(0, 200, (48, 64, 3))
    noise = np.random.default_rng((place, view)).integers(0, 40, (48, 64, 3))
    return Image.fromarray((pattern + noise).astype(np.uint8))


def write_gsv_cities(root: Path) -> None:
    lines = ["place_id,year,month,northdeg,city_id,lat,lon,panoid"]
    (root / "Images/London").mkdir(parents=True)
    (root / "Dataframes").mkdir()
    for place in range(NUM_PLACES):
        for view in range(4):
            lat, lon = f"{51.5 + place / 500}", "-0.1"
            name = f"London_{place:07d}_2015_0{view + 1}_090_{lat}_{lon}_pano{place}x{view}.jpg"
            picture(place, view).save(root / "Images/London" / name)
            lines.append(f"{place},2015,{view + 1},90,London,{lat},{lon},pano{place}x{view}")
    (root / "Dataframes/London.csv").write_text("\n".join(lines) + "\n")


def write_pitts(root: Path) -> None:
    for place in range(NUM_PLACES):
        for view, role in ((7, "database"), (8, "queries")):
            folder = root / "images/test" / role
            folder.mkdir(parents=True, exist_ok=True)
            easting, northing = f"{584000 + 100 * place:010.2f}", f"{4476000 + view:010.2f}"
            fields = f"@{easting}@{northing}@17@T@@@{place:06d}@25@@@@@@pitch1_yaw1@.jpg"
            picture(100 + place, view).save(folder / fields)


def test_caption_train_and_eval_by_dataset_name(
    tmp_path: Path,
    encoders: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VPRCAP_DATA", str(tmp_path / "data"))
    write_gsv_cities(tmp_path / "data/gsv-cities")
    write_pitts(tmp_path / "data/pitts30k")

    def vprcap(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vprcap", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        assert ended.value.code == 0, output.err
        return output.out

    fake = ["--captioner", "fake"]
    assert "40 images: 40 ok" in vprcap("caption", "--dataset", "gsv-cities", *fake)
    partial = ["--dataset", "pitts30k", "--allow-partial"]
    assert "20 images: 20 ok" in vprcap("caption", *partial, *fake)
    image, text = encoders
    vprcap(
        *("train", "--dataset", "gsv-cities", "--epochs", "1", "--descriptor-dim", "16"),
        *("--image-encoder", str(image), "--text-encoder", str(text)),
    )
    out = vprcap("eval", "--dataset", "pitts30k")
    assert "pitts30k-test: 10 database, 10 queries (10 solvable), positives within 25 m" in out
    assert "PARTIAL, not comparable: 10 of 10000 database images, 10 of 6816 query" in out
    results = json.loads(vprcap("eval", "--dataset", "pitts30k", "--json"))
    assert results["num_queries"] == 10 and set(results["recall"]) == {"image", "text", "fused"}
    check_against_brute_force(tmp_path / "runs/combiner/eval/pitts30k-test", results)


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
