"""How well the checkpoint describes places that it never saw, in full precision and in NF4."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    BitsAndBytesConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from vprcap.city.claims import (
    CaptionScore,
    Claims,
    claims_in,
    claims_of,
    score_caption,
)
from vprcap.tiny_llava.language import instruction_text
from vprcap.tiny_llava.pictures import Pictures

BATCH = 32
MAX_NEW_TOKENS = 96
FULL_PRECISION = ["model.vision_tower", "model.multi_modal_projector", "lm_head"]

Report = dict[str, Any]


def measure(checkpoint: Path, pictures: Pictures, prompt: str) -> Report:
    """Return the scores in fp32 and in NF4, with the seconds that captioning took."""
    counts = Counter(pictures.conditions)
    report: Report = {"pictures_by_condition": {"all": counts.total(), **counts}}
    for precision in ("fp32", "nf4"):
        model, processor = load(checkpoint, nf4=precision == "nf4")
        begun = time.monotonic()
        captions = describe(model, processor, pictures.pixels, prompt)
        seconds = time.monotonic() - begun
        report[precision] = scores(captions, pictures) | {"seconds": round(seconds, 1)}
    return report


def load(
    checkpoint: Path, *, nf4: bool = False
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Load the checkpoint on the CPU; with `nf4` the language model's layers are quantized."""
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=FULL_PRECISION,
    )
    model = AutoModelForImageTextToText.from_pretrained(
        checkpoint,
        dtype=torch.float32,
        device_map="cpu",
        quantization_config=quantization if nf4 else None,
    )
    return model.eval(), AutoProcessor.from_pretrained(checkpoint)


def describe(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    pixels: UInt8[np.ndarray, "batch height width 3"],
    prompt: str,
) -> list[str]:
    """Return the greedy caption of each picture."""
    text = instruction_text(processor, prompt)
    captions: list[str] = []
    for first in range(0, len(pixels), BATCH):
        images = list(pixels[first : first + BATCH])
        inputs = processor(
            text=[text] * len(images), images=images, return_tensors="pt", padding=True
        )
        tokens = model.generate(  # type: ignore[misc]  # its stub binds self to a protocol
            **inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False
        )
        answers = tokens[:, inputs["input_ids"].shape[1] :]
        captions += processor.batch_decode(answers, skip_special_tokens=True)
    return [caption.strip() for caption in captions]


def scores(captions: Sequence[str], pictures: Pictures) -> Report:
    """Return the scores over all pictures, of each condition, and of each attribute by day."""
    truths = [claims_of(place) for place in pictures.places]
    groups: dict[str, CaptionScore] = defaultdict(CaptionScore)
    for caption, truth, condition in zip(captions, truths, pictures.conditions, strict=True):
        score = score_caption(caption, truth)
        groups["all"] += score
        groups[condition] += score
    by_day = [row for row, condition in enumerate(pictures.conditions) if condition == "day"]
    return {
        "accuracy": {name: round(score.attribute_accuracy, 4) for name, score in groups.items()},
        "hallucination": {
            name: round(score.hallucination_rate, 4) for name, score in groups.items()
        },
        "accuracy_of_attributes": dict(_attributes(captions, truths, range(len(captions)))),
        "accuracy_of_attributes_by_day": dict(_attributes(captions, truths, by_day)),
    }


def _attributes(
    captions: Sequence[str], truths: Sequence[Claims], rows: Sequence[int]
) -> Iterator[tuple[str, float]]:
    """Yield each kind of attribute, left and right together, and the share stated correctly."""
    right: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        claims = claims_in(captions[row])
        for attribute, value in truths[row].items():
            right[attribute.split()[-1]].append(claims.get(attribute) == value)
    for kind, hits in sorted(right.items()):
        yield kind, round(sum(hits) / len(hits), 4)
