"""`vprcap index` and `vprcap search` on a small set with random encoders of the real classes."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertConfig, BertModel, BertTokenizerFast, Dinov2Config, Dinov2Model

from vprcap.cli import main
from vprcap.combiner import CombinerConfig, FeatureCombiner
from vprcap.files import write_json

NUM_IMAGES = 6
Run = Callable[..., tuple[int, str, str]]


def save_encoders(folder: Path) -> tuple[Path, Path]:
    image, text = folder / "dinov2", folder / "bert"
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(**size, image_size=56, patch_size=14)).save_pretrained(image)
    text.mkdir()
    letters = list("abcdefghijklmnopqrstuvwxyz,.0123456789")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{x}" for x in letters)]
    (text / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(text / "vocab.txt")).save_pretrained(text)
    wide = {"initializer_range": 0.2}  # so that one text differs from another
    config = BertConfig(**size, **wide, intermediate_size=64, vocab_size=len(words))
    BertModel(config).save_pretrained(text)
    return image, text


def save_run(folder: Path, encoders: tuple[Path, Path], seed: int) -> Path:
    torch.manual_seed(seed)
    sizes = {"descriptor_dim": 16, "width": 12, "num_words": 4}
    combiner = FeatureCombiner(CombinerConfig(image_dim=32, text_dim=32, **sizes))
    torch.nn.init.normal_(combiner.compress_text.weight)  # it starts at zero: no text, no vector
    torch.nn.init.constant_(combiner.text_scale, 0.5)
    combiner.save(folder)
    image, text = map(str, encoders)
    write_json(folder / "run.json", {"image_encoder": image, "text_encoder": text})
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run, another one, and images whose first is at a known place."""
    root = tmp_path_factory.mktemp("world")
    torch.manual_seed(0)
    encoders = save_encoders(root)
    save_run(root / "run", encoders, seed=0)
    save_run(root / "other-run", encoders, seed=1)
    (root / "images").mkdir()
    for row in range(NUM_IMAGES):
        noise = np.random.default_rng(row).integers(0, 255, (8, 11, 3)).astype(np.uint8)
        picture = Image.fromarray(noise).resize((64, 48), Image.Resampling.NEAREST)
        picture.save(root / "images" / f"{row}.png")
    lines = [f"{row}.png,database,{500000 + 100 * row},4000000" for row in range(NUM_IMAGES)]
    table = "\n".join(["path,role,easting,northing", *lines]) + "\n"
    (root / "table.csv").write_text(table)
    return root


@pytest.fixture
def run(world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in the world: exit code, stdout, stderr."""
    monkeypatch.chdir(world)

    def run_main(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vprcap", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run_main


@pytest.fixture
def captioned(run: Run, world: Path) -> Path:
    """The set with its captions."""
    manifest = world / "set.parquet"
    if not manifest.exists():
        assert run("scan", "images", "--table", "table.csv", "--output", manifest)[0] == 0
        assert run("shard", manifest)[0] == 0
        assert run("caption", manifest, "--captioner", "fake")[0] == 0
    return manifest


def search_json(run: Run, *arguments: object) -> list[dict]:
    code, out, err = run("search", *arguments, "--json", "--memory", "8GB")
    assert code == 0, err
    results: list[dict] = json.loads(out)["results"]
    return results


def test_a_set_without_captions_is_indexed_by_its_images_and_finds_them(
    run: Run, world: Path
) -> None:
    shutil.copytree(world / "images", world / "plain", dirs_exist_ok=True)
    code, _, err = run("index", "plain", "--run", "run", "--output", "no", "--memory", "8GB")
    assert code == 1 and "--mode image does without captions" in err
    options = ["--run", "run", "--mode", "image", "--output", "plain-index", "--memory", "8GB"]
    code, out, _ = run("index", "plain", *options)
    assert code == 0
    assert out == "plain-index\n6 images of plain, image, 16 numbers each, flat\n"
    for row in range(NUM_IMAGES):
        hits = search_json(run, "plain-index", "--image", f"images/{row}.png", "--top", 2)
        assert [hit["rank"] for hit in hits] == [1, 2]
        assert hits[0]["image_id"] == f"{row}.png"
        assert hits[0]["score"] == pytest.approx(1, abs=1e-5)
        assert hits[0]["easting"] is None


def test_every_way_to_ask_finds_the_image_that_was_described_so(
    run: Run, captioned: Path, world: Path
) -> None:
    """Each index holds descriptors of one mode; its own caption or picture is the best match."""
    from vprcap.caption_sets.captions import read_captions

    captions = next((world / "images/captions").glob("*/config.json")).parent
    written = {row["image_id"]: row["caption"] for row in read_captions(captions).to_pylist()}
    questions = {
        "image": ["--image", "images/3.png"],
        "text": ["--text", written["3.png"]],
        "fused": ["--image", "images/3.png", "--text", written["3.png"]],
    }
    for mode, question in questions.items():
        options = ["--run", "run", "--mode", mode, "--output", f"by-{mode}", "--memory", "8GB"]
        assert run("index", captioned, *options)[0] == 0
        best = search_json(run, f"by-{mode}", *question)[0]
        assert best["score"] == pytest.approx(1, abs=1e-4), mode
        assert best["image_id"] == "3.png"
        assert (best["easting"], best["northing"]) == (500300, 4000000)


def test_hits_are_printed_with_rank_score_name_and_position(run: Run, captioned: Path) -> None:
    made = run("index", captioned, "--run", "run", "--output", "printed", "--memory", "8GB")
    assert made[0] == 0
    code, out, _ = run("search", "printed", "--text", "a red house", "--top", 99, "--memory", "8GB")
    lines = out.splitlines()
    assert code == 0 and len(lines) == NUM_IMAGES
    for place, line in enumerate(lines, start=1):
        rank, score, name, easting, northing = line.split()
        assert int(rank) == place and -1 <= float(score) <= 1
        assert (float(easting), float(northing)) == (500000 + 100 * int(name[0]), 4000000)


def test_another_model_is_refused_and_a_moved_one_accepted(
    run: Run, captioned: Path, world: Path
) -> None:
    made = run("index", captioned, "--run", "run", "--output", "owned", "--memory", "8GB")
    assert made[0] == 0
    ask = ["search", "owned", "--text", "a house", "--memory", "8GB"]
    code, out, err = run(*ask, "--run", "other-run")
    assert (code, out) == (1, "") and err.count("\n") == 1
    fingerprint = json.loads((world / "owned/index.json").read_text())["model"]["fingerprint"]
    assert f"was made by model {fingerprint[:8]} of {world}/run, the one in other-run is" in err
    shutil.move(world / "run", world / "moved-run")
    try:
        code, _, err = run(*ask)
        assert code == 1 and "which is gone; say where it is now with --run" in err
        assert run(*ask, "--run", "moved-run")[0] == 0
    finally:
        shutil.move(world / "moved-run", world / "run")
    weights = world / "run/model.safetensors"
    kept = weights.read_bytes()
    save_run(world / "run", (world / "dinov2", world / "bert"), seed=2)
    try:
        code, _, err = run(*ask)
        assert code == 1 and err.count("\n") == 1 and "or index again" in err
    finally:
        weights.write_bytes(kept)
    assert run(*ask)[0] == 0


def test_stored_descriptors_are_indexed_as_they_are(run: Run, captioned: Path, world: Path) -> None:
    from vprcap.retrieval.descriptors import Descriptors, write_descriptors

    vectors = np.eye(NUM_IMAGES, 16, dtype=np.float32)
    write_descriptors(
        Descriptors(vectors, np.ones(NUM_IMAGES, dtype=bool)), world / "d.safetensors"
    )
    given = ["index", captioned, "--descriptors", "d.safetensors"]
    code, _, err = run(*given)
    assert code == 1 and "say where the index of these descriptors goes" in err
    code, out, _ = run(*given, "--output", "stored", "--kind", "binary", "--json")
    assert code == 0 and json.loads(out)["count"] == NUM_IMAGES
    code, _, err = run("search", "stored", "--text", "x")
    assert code == 1 and "does not say whose descriptors it holds" in err
    assert run(*given, "--output", "stored", "--run", "run")[0] == 0
    assert len(search_json(run, "stored", "--text", "x")) == NUM_IMAGES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "gone.parquet", "--run", "run"], "no manifest at gone.parquet"),
        (["index", "gone.parquet", "--run", "gone"], "no trained combiner in gone"),
        (["index", "gone.parquet", "--memory", "much"], "'much' is not an amount of memory"),
        (["index", "set.parquet", "--run", "run", "--kind", "lsh"], "no index kind 'lsh'"),
        (["index", "set.parquet", "--run", "run", "--mode", "smell"], "mode 'smell' is unknown"),
        (
            ["index", "set.parquet", "--descriptors", "table.csv", "--output", "x"],
            "table.csv holds no descriptors",
        ),
        (["search", "gone", "--text", "x"], "no finished index in gone"),
        (["search", "table.csv", "--text", "x"], "table.csv is a file; an index is a folder"),
        (["search", "mistakes"], "ask for something: --image PATH, --text WORDS, or both"),
        (["search", "mistakes", "--text", "  "], "the text is blank"),
        (["search", "mistakes", "--image", "gone.jpg"], "gone.jpg: missing: no such file"),
        (["search", "mistakes", "--image", "table.csv"], "table.csv: decode_error: not an image"),
        (["search", "mistakes", "--text", "x", "--memory", "9MB"], "--memory 9MB is too little"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_one(
    run: Run, captioned: Path, arguments: list[str], message: str
) -> None:
    if not (captioned.parent / "mistakes").exists():
        run("index", captioned, "--run", "run", "--output", "mistakes", "--memory", "8GB")
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("vprcap: ") and message in err
    assert err.count("\n") == 1


def test_a_run_of_images_alone_refuses_words(run: Run, captioned: Path, world: Path) -> None:
    save_run(world / "image-run", (world / "dinov2", world / "bert"), seed=3)
    stored = json.loads((world / "image-run/run.json").read_text())
    write_json(world / "image-run/run.json", stored | {"captions": None})
    options = ["--run", "image-run", "--memory", "8GB"]
    made = run("index", captioned, *options, "--mode", "image", "--output", "of-images")
    assert made[0] == 0
    code, _, err = run("index", captioned, *options, "--mode", "text", "--output", "of-words")
    assert code == 1 and "was trained on images alone: words mean nothing to it" in err
    code, out, err = run("search", "of-images", "--text", "a house", "--memory", "8GB")
    assert (code, out) == (1, "") and "ask with --image alone" in err
