"""A tiny set with photographs and captions, and encoders of the real classes to train in."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertConfig, BertModel, BertTokenizer, Dinov2Config, Dinov2Model

from vprcap.caption_job import JobOptions, open_job
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

NUM_PLACES = 10
VIEWS = 4


@pytest.fixture(scope="session")
def tiny_encoders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Names of a DINOv2 and a BERT with random weights."""
    image, text = tmp_path_factory.mktemp("dinov2"), tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(**size, image_size=28, patch_size=14)).save_pretrained(image)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz,."]
    (text / "vocab.txt").write_text("\n".join([*words, *(f"##{word}" for word in words[5:])]))
    BertTokenizer(vocab=str(text / "vocab.txt")).save_pretrained(text)
    BertModel(BertConfig(**size, intermediate_size=32, vocab_size=80)).save_pretrained(text)
    return str(image), str(text)


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A manifest of ten places of four photographs, and its captions."""
    root = tmp_path_factory.mktemp("set")
    lines = ["path,place_id,easting,northing,sequence"]
    for place in range(NUM_PLACES):
        pattern = np.random.default_rng(place).integers(0, 200, (30, 40, 3))
        for view in range(VIEWS):
            noise = np.random.default_rng((place, view)).integers(0, 55, (30, 40, 3))
            name = f"{place}-{view}.png"
            (root / "images").mkdir(exist_ok=True)
            Image.fromarray((pattern + noise).astype(np.uint8)).save(root / "images" / name)
            lines.append(f"{name},{place},{100 * place},{view},{view % 2}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    manifest = scan(root / "images", root / "set.parquet", table=root / "table.csv")
    shard(manifest)
    return manifest, caption(open_job(JobOptions(manifest, captioner="fake")))


@pytest.fixture
def equal_weights() -> Callable[[Path, Path], bool]:
    """Says whether two files of weights hold the same bits."""

    def equal(first: Path, second: Path) -> bool:
        from safetensors.torch import load_file

        ours, theirs = load_file(first), load_file(second)
        return ours.keys() == theirs.keys() and all(
            torch.equal(ours[name], theirs[name]) for name in ours
        )

    return equal
