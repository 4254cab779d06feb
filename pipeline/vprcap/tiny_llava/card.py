"""The model card, written from the measured report so that its figures cannot drift."""

from typing import Any

from vprcap.city.view import CONDITIONS

FIGURES = ("accuracy", "hallucination")

CARD = """---
license: apache-2.0
language: en
pipeline_tag: image-text-to-text
library_name: transformers
---

# vprcap tiny LLaVA

A real `LlavaForConditionalGeneration` with {parameters:.1f} million parameters that describes the
procedural demo city of `vprcap`. It lets demo, tests and rehearsals run exactly the code that a 7B
model runs through, without a GPU and without a download.

**It never saw a photograph.** On real images its captions are grammatical and wrong.

## Architecture

CLIP-type vision tower (4 layers, width 192, 160 x 160 pixels, patches of 16), two-layer projector,
Llama of 3 layers and width 192, byte-level BPE of {vocabulary} tokens. Weights are float16.

## Data and training

{training_pictures:,} rendered views of as many places of the city, made by `vprcap.city` from one
seed; nothing else. First the tower learns to name the attributes, then projector and language model
learn the captions. `python -m vprcap.tiny_llava OUT` repeats it ({minutes:.0f} minutes on one core
of the machine that made this checkpoint).

## Measured

Greedy captions of {pictures} unseen places, one view each, mixed conditions. Accuracy: share of the
place's attributes that the caption states correctly. Hallucination: share of the signs, landmarks
and trees named that are not there. NF4: the language model's layers quantized by bitsandbytes.

| | pictures | fp32 accuracy | fp32 hallucination | NF4 accuracy | NF4 hallucination |
|---|---|---|---|---|---|
{conditions}

By day, for each attribute:

| attribute | fp32 | NF4 |
|---|---|---|
{attributes}

Made by `python -m vprcap.tiny_llava`; all figures are in `report.json`.
"""


def model_card(report: dict[str, Any]) -> str:
    """Return the card as Markdown for the report that `train_tiny_llava` writes."""
    fp32, nf4 = report["fp32"], report["nf4"]
    conditions = [
        f"| {name} | {report['pictures_by_condition'][name]} | "
        + " | ".join(f"{each[figure][name]:.1%}" for each in (fp32, nf4) for figure in FIGURES)
        + " |"
        for name in (*CONDITIONS, "all")
    ]
    by_day = "accuracy_of_attributes_by_day"
    attributes = [
        f"| {name} | {value:.1%} | {nf4[by_day][name]:.1%} |"
        for name, value in fp32[by_day].items()
    ]
    return CARD.format(
        parameters=report["parameters"] / 1e6,
        vocabulary=report["vocabulary"],
        training_pictures=report["training_pictures"],
        minutes=report["training_seconds"] / 60,
        pictures=report["pictures_by_condition"]["all"],
        conditions="\n".join(conditions),
        attributes="\n".join(attributes),
    )
