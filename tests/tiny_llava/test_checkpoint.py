"""What the shipped checkpoint must do: load as any LLaVA does and describe places it never saw."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from jaxtyping import UInt8
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from vprcap.city import CaptionScore, caption_of, city_places, claims_of, score_caption, seeds
from vprcap.city.scene import render
from vprcap.city.view import random_view
from vprcap.prompt import load_prompt
from vprcap.tiny_llava import checkpoint_path
from vprcap.tiny_llava.card import model_card
from vprcap.tiny_llava.measure import describe, load

PLACES = city_places(seeds.TESTS, 12)
Pixels = UInt8[np.ndarray, "batch height width 3"]
Loaded = tuple[LlavaForConditionalGeneration, LlavaProcessor]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """More threads make layers this small slower, and far slower beside other processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    rng = np.random.default_rng(seeds.TESTS)
    return np.stack([np.asarray(render(place, random_view("day", rng))) for place in PLACES])


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load(checkpoint_path())


@pytest.fixture(scope="module")
def captions(loaded: Loaded, pixels: Pixels) -> list[str]:
    return describe(*loaded, pixels, load_prompt("place").text)


def total(captions: list[str]) -> CaptionScore:
    scores = [
        score_caption(caption, claims_of(place))
        for caption, place in zip(captions, PLACES, strict=True)
    ]
    return sum(scores, start=CaptionScore())


def test_the_checkpoint_is_small_enough_to_ship() -> None:
    assert sum(file.stat().st_size for file in checkpoint_path().iterdir()) <= 16 * 2**20


def test_it_is_a_llava_of_the_usual_classes_and_pads_on_the_left(loaded: Loaded) -> None:
    model, processor = loaded
    assert type(model).__name__ == "LlavaForConditionalGeneration"
    assert type(processor).__name__ == "LlavaProcessor"
    assert processor.tokenizer.padding_side == "left"
    assert model.dtype == torch.float32
    assert model.generation_config.eos_token_id == processor.tokenizer.eos_token_id


def test_unseen_places_by_day_are_described_correctly(captions: list[str]) -> None:
    assert total(captions).attribute_accuracy > 0.8
    assert total(captions).hallucination_rate < 0.2


def test_the_captions_of_other_places_would_not_pass(captions: list[str]) -> None:
    assert total(captions[1:] + captions[:1]).attribute_accuracy < 0.7


def test_quantized_to_nf4_it_still_describes_them(pixels: Pixels) -> None:
    model, processor = load(checkpoint_path(), nf4=True)
    quantized = [name for name, module in model.named_modules() if "4bit" in type(module).__name__]
    assert len(quantized) == 3 * 7  # seven linear layers in each of three blocks
    assert all(name.startswith("model.language_model.") for name in quantized)
    assert (
        total(describe(model, processor, pixels, load_prompt("place").text)).attribute_accuracy
        > 0.8
    )


def test_a_caption_does_not_depend_on_its_batch(
    loaded: Loaded, pixels: Pixels, captions: list[str]
) -> None:
    alone = [
        describe(*loaded, picture[None], load_prompt("place").text)[0] for picture in pixels[:3]
    ]
    assert alone == captions[:3]


def test_another_wording_of_the_prompt_does_as_well(loaded: Loaded, pixels: Pixels) -> None:
    prompt = "Please tell me which buildings, signs and trees stand here, in at most 60 words."
    assert total(describe(*loaded, pixels, prompt)).attribute_accuracy > 0.8


def test_captions_read_like_the_reference(captions: list[str]) -> None:
    shared = set(caption_of(PLACES[0]).split()[:4])
    assert all(set(caption.split()[:4]) == shared for caption in captions)
    assert max(len(caption.split()) for caption in captions) <= 60


def test_the_card_says_what_the_report_measured() -> None:
    report = json.loads((checkpoint_path() / "report.json").read_text())
    assert (checkpoint_path() / "README.md").read_text() == model_card(report)
    assert report["fp32"]["accuracy"]["day"] > 0.9
    assert report["nf4"]["accuracy"]["day"] > 0.9
