import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    BertConfig,
    BertModel,
    ResNetConfig,
    ResNetForImageClassification,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from vprcap.caption_job import CaptionJob, JobOptions, WorkOptions, open_job
from vprcap.caption_sets.captions import read_captions
from vprcap.captioners.labels import phrase, sentence
from vprcap.cli import main
from vprcap.errors import DependencyError, InvalidError, MissingError
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

MakeImages = Callable[..., Path]
NAMES = [f"{i}.png" for i in range(7)]
LABELS = [
    "Street_sign, traffic sign",
    "obelisk",
    "church, church building",
    "Église",
    "crane",  # the bird
    "crane, lifting device",
    "a\x1b[31mred\nhouse",
    ",",
    "unicycle, monocycle",
    "hourglass",
]


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """Save a random ResNet of ten classes and return its directory."""
    folder = tmp_path / "random-resnet"
    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    model = ResNetForImageClassification(config)
    # Random heads prefer the same classes whatever they see; a bolder one lets pictures matter.
    torch.nn.init.normal_(model.classifier[1].weight, std=3.0)
    model.save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 40, "width": 40}).save_pretrained(folder)
    return folder


def planned(images: Path) -> Path:
    manifest = scan(images, images.parent / f"{images.name}.parquet")
    shard(manifest, shard_size=4)
    return manifest


def job_of(manifest: Path, model: Path | str, **options: str) -> CaptionJob:
    return open_job(JobOptions(manifest, captioner="labels", model=str(model), **options))  # type: ignore[arg-type]


def rows_of(root: Path) -> list[dict[str, object]]:
    columns = ("image_id", "caption", "status", "captioner", "model", "revision", "prompt")
    return read_captions(root, columns).to_pylist()


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_captions_name_what_the_plain_classifier_ranks_first(
    classifier: Path, make_images: MakeImages
) -> None:
    images = make_images(NAMES, size=(40, 40))  # as the processor wants it: framing does nothing
    root = caption(job_of(planned(images), classifier), WorkOptions(decode_workers=1))
    processor = AutoImageProcessor.from_pretrained(classifier, backend="pil")
    model = AutoModelForImageClassification.from_pretrained(classifier).eval()
    spoken = {
        "Street_sign, traffic sign": "a street sign",
        "obelisk": "an obelisk",
        "church, church building": "a church",
        "Église": "a église",
        "crane": "a crane",
        "crane, lifting device": "a crane",
        "a\x1b[31mred\nhouse": "an a [31mred house",
        "unicycle, monocycle": "a unicycle",
        "hourglass": "an hourglass",
    }
    expected = []
    for name in NAMES:
        inputs = processor(images=Image.open(images / name), return_tensors="pt")
        scores = model(**inputs).logits[0].tolist()
        named: list[str] = []
        for _, label in sorted(zip(scores, LABELS, strict=True), reverse=True):
            if label in spoken and spoken[label] not in named:
                named.append(spoken[label])
        expected.append(f"A photograph with {', '.join(named[:4])} and {named[4]}.")
    rows = rows_of(root)
    assert [row["caption"] for row in rows] == expected
    assert len(set(expected)) > 1, "the pictures must matter"
    assert {row["status"] for row in rows} == {"ok"}


def test_every_row_says_how_it_was_made(classifier: Path, make_images: MakeImages) -> None:
    job = job_of(planned(make_images(NAMES)), classifier)
    root = caption(job, WorkOptions(decode_workers=1))
    row = rows_of(root)[0]
    assert (row["captioner"], row["model"]) == ("labels", "random-resnet")
    assert row["revision"] == job.captioner.config.revision and len(str(row["revision"])) == 64
    assert row["prompt"] == "no prompt: the 5 likeliest labels, wording 1"
    assert root.name == f"images-random-resnet-none-top5-{job.captioner.config.config_id[:8]}"


def test_neither_the_batch_size_nor_a_second_run_changes_a_caption(
    classifier: Path, make_images: MakeImages
) -> None:
    manifest = planned(make_images(NAMES))
    found = []
    for size in (1, 3, 3):
        root = manifest.parent / f"captions-{len(found)}"
        job = open_job(
            JobOptions(manifest, captioner="labels", model=str(classifier), captions_root=root)
        )
        found.append(rows_of(caption(job, WorkOptions(batch_size=size, decode_workers=1))))
    assert found[0] == found[1] == found[2]


def test_what_changes_the_text_makes_another_set_and_nothing_else_does(
    classifier: Path, make_images: MakeImages, tmp_path: Path
) -> None:
    manifest = planned(make_images(NAMES[:1]))

    def config_id(model: Path = classifier, **options: str) -> str:
        return job_of(manifest, model, **options).captioner.config.config_id

    known = config_id()
    assert config_id(quantization="int8") == known, "labels are never quantized"
    assert config_id(framing="crop") != known
    renamed = tmp_path / "renamed" / "random-resnet"
    shutil.copytree(classifier, renamed)
    assert config_id(renamed) == known, "where a model lies says nothing"
    edit_json(renamed / "config.json", id2label={str(i): f"thing {i} b" for i in range(10)})
    assert config_id(renamed) != known
    resized = tmp_path / "resized" / "random-resnet"
    shutil.copytree(classifier, resized)
    edit_json(resized / "preprocessor_config.json", image_mean=[0.1, 0.2, 0.3])
    assert config_id(resized) != known


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("Mobile_Home, manufactured home", "mobile home"),
        ("  two\twords\u202e ", "two words"),
        ("\x00", ""),
        ("道路标志", "道路标志"),
    ],
)
def test_the_first_synonym_is_said_without_what_cannot_be_read(label: str, said: str) -> None:
    assert phrase(label) == said


def test_the_sentence_stands_whatever_the_number_of_labels() -> None:
    assert sentence(["street sign", "obelisk", "church"]) == (
        "A photograph with a street sign, an obelisk and a church."
    )
    assert sentence(["european gallinule", "umbrella"]) == (
        "A photograph with a european gallinule and an umbrella."
    )
    assert sentence(["horse cart"]) == "A photograph with a horse cart."
    assert sentence([]) == ""


@pytest.mark.parametrize("label", ["LABEL_{}", "{}", " , "])
def test_a_model_without_names_for_its_classes_is_refused(
    classifier: Path, make_images: MakeImages, label: str
) -> None:
    edit_json(classifier / "config.json", id2label={str(i): label.format(i) for i in range(10)})
    message = f"no names for its classes ({label.format(0)} and so on)"
    with pytest.raises(InvalidError, match=re.escape(message)):
        job_of(planned(make_images(NAMES[:1])), classifier)


@pytest.mark.parametrize(
    ("processor", "side"),
    [
        (ViTImageProcessorPil(size={"height": 40, "width": 40}), 40),
        (CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size=48), 48),  # resized, then cut
        (ConvNextImageProcessorPil(size={"shortest_edge": 64}), 64),  # the crop is within
    ],
)
def test_the_square_is_the_one_that_the_processor_ends_with(
    processor: Any, side: int, classifier: Path, make_images: MakeImages
) -> None:
    processor.save_pretrained(classifier)
    job = job_of(planned(make_images(NAMES[:2])), classifier)
    assert job.captioner.framing.side == side
    assert [row["status"] for row in rows_of(caption(job, WorkOptions(decode_workers=1)))] == [
        "ok",
        "ok",
    ]
    plain = processor(images=Image.new("RGB", (90, 70)), return_tensors="pt")["pixel_values"]
    assert plain.shape[-2:] == (side, side)


def test_a_model_that_sees_no_square_is_refused(classifier: Path, make_images: MakeImages) -> None:
    ViTImageProcessorPil(size={"height": 40, "width": 60}).save_pretrained(classifier)
    with pytest.raises(InvalidError, match="does not see a square of fixed size"):
        job_of(planned(make_images(NAMES[:1])), classifier)


def test_what_is_no_classifier_is_refused_in_one_line(
    classifier: Path, make_images: MakeImages, tmp_path: Path
) -> None:
    manifest = planned(make_images(NAMES[:1]))
    empty = tmp_path / "empty"
    empty.mkdir()
    bert = tmp_path / "bert"
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
    BertModel(BertConfig(**size, intermediate_size=8)).save_pretrained(bert)
    shutil.copy(classifier / "preprocessor_config.json", bert)
    pickled = tmp_path / "pickled"
    shutil.copytree(classifier, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    for model, kind, message in (
        (empty, InvalidError, r"holds no \.safetensors"),
        (pickled, InvalidError, r"holds no \.safetensors"),
        (bert, InvalidError, "is no image classifier but a bert"),
        (tmp_path / "gone", MissingError, "no classifier .*gone; give a hub name"),
        ("packaged:vit", MissingError, "or packaged:efficientnet-lite0"),
        ("nobody/no-such-model", DependencyError, "or take packaged:efficientnet-lite0"),
    ):
        with pytest.raises(kind, match=message) as refused:
            job_of(manifest, model)
        assert "\n" not in str(refused.value)


def test_a_backbone_without_its_head_is_refused_and_none_is_made_up(
    classifier: Path, make_images: MakeImages
) -> None:
    weights = load_file(classifier / "model.safetensors")
    bare = {name: tensor for name, tensor in weights.items() if "classifier" not in name}
    assert len(weights) - len(bare) == 2
    save_file(bare, classifier / "model.safetensors", metadata={"format": "pt"})
    job = job_of(planned(make_images(NAMES[:1])), classifier)
    with pytest.raises(InvalidError, match="lacks 2 weights, first classifier"):
        caption(job, WorkOptions(decode_workers=1))


def test_scores_that_are_no_numbers_become_no_caption(
    classifier: Path, make_images: MakeImages
) -> None:
    weights = load_file(classifier / "model.safetensors")
    spoilt = {
        name: tensor * np.nan if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }
    save_file(spoilt, classifier / "model.safetensors", metadata={"format": "pt"})
    job = job_of(planned(make_images(NAMES)), classifier)
    with pytest.raises(InvalidError, match="fails on every image: the classifier's scores"):
        caption(job, WorkOptions(decode_workers=1))


def test_the_command_line_writes_labels(
    classifier: Path,
    make_images: MakeImages,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = make_images(NAMES)

    def run(model: Path | str) -> int:
        command = f"vprcap caption {images} --captioner labels --decode-workers 1 --model {model}"
        monkeypatch.setattr(sys, "argv", command.split())
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    assert run(classifier) == 0
    assert "7 images: 7 ok" in capsys.readouterr().out
    assert run("./gone") == 1
    refused = capsys.readouterr().err
    assert refused.startswith("vprcap: no classifier ./gone; give") and refused.count("\n") == 1
