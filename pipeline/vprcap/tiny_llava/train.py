"""Trains the tiny LLaVA from nothing and writes its checkpoint: tower, language, measurement."""

import json
import time
from pathlib import Path

import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from vprcap.city.claims import caption_of
from vprcap.city.seeds import TINY_LLAVA_MEASURING, TINY_LLAVA_TRAINING
from vprcap.prompt import load_prompt
from vprcap.tiny_llava.card import model_card
from vprcap.tiny_llava.language import SHORT_WORDINGS, train_language, train_together
from vprcap.tiny_llava.measure import measure
from vprcap.tiny_llava.model import build_model, vision_config
from vprcap.tiny_llava.pictures import render_pictures
from vprcap.tiny_llava.tokens import build_processor
from vprcap.tiny_llava.tower import train_tower

TRAINING_PICTURES = 20_000
MEASURED_PICTURES = 600
SEED = 0  # set before each stage, so that either can be repeated alone
THREADS = 1  # more threads than free processors make small layers slower, not faster


def train_tiny_llava(out: Path) -> Path:
    """Train, write the checkpoint with its `report.json` into `out`, and return `out`.

    Takes about an hour on one processor; seeds are fixed.
    """
    begun = time.monotonic()
    torch.set_num_threads(THREADS)
    prompt = load_prompt("place").text
    pictures = render_pictures(TINY_LLAVA_TRAINING, TRAINING_PICTURES)
    # The prompt counts as often as it is seen, so that each of its words becomes one token.
    captions = [caption_of(place) for place in pictures.places]
    processor = build_processor([*captions, *[prompt, *SHORT_WORDINGS] * 1_000])
    torch.manual_seed(SEED)
    tower = train_tower(vision_config(), pictures)
    torch.manual_seed(SEED)
    model = build_model(processor)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    train_language(model, processor, pictures, prompt)
    torch.manual_seed(SEED)
    train_together(model, processor, pictures, prompt)
    _save(model, processor, out)
    report = {
        "parameters": model.num_parameters(),
        "vocabulary": len(processor.tokenizer),
        "training_pictures": TRAINING_PICTURES,
        "training_seconds": round(time.monotonic() - begun),
        **measure(out, render_pictures(TINY_LLAVA_MEASURING, MEASURED_PICTURES), prompt),
    }
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (out / "README.md").write_text(model_card(report))
    return out


def _save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, out: Path) -> None:
    model.half().save_pretrained(out)
    processor.save_pretrained(out)
