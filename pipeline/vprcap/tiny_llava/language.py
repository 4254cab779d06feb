"""Later stages: projector and language model learn to write captions from the tower's patches.

First with the tower frozen, so that the untrained language model cannot spoil it, then together.
The instruction is part of every sequence. In the first of the two it is mostly a short one: a
hundred words between picture and answer slow the learning of where to look by half. In the second
half of the batches see an instruction of random pieces and random length, so that the model hangs
neither on the words of one prompt file nor on the distance between picture and answer.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from vprcap.city.claims import caption_of
from vprcap.tiny_llava.pictures import Pictures
from vprcap.tiny_llava.progress import Progress
from vprcap.tiny_llava.tower import augmented, batches

FROZEN_STEPS = 400
JOINT_STEPS = 800
BATCH = 32
FROZEN_RATE = 2e-3
JOINT_RATE = 8e-4
TOWER_RATE = 2e-4
FROZEN_PROMPT_SHARE = 0.15
JOINT_PROMPT_SHARE = 0.5
MAX_PIECES = 120
SHORT_WORDINGS = (
    "Describe this place.",
    "What stands here? Name what stays.",
    "Describe the buildings, the street and the signs.",
    "Where is this? Describe it so that it can be found again.",
)


def train_language(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    pictures: Pictures,
    prompt: str,
) -> None:
    """Teach projector and language model the captions; the tower is trained already and stays."""
    lessons = Lessons(processor, pictures, prompt, FROZEN_PROMPT_SHARE, SHORT_WORDINGS)
    model.model.vision_tower.requires_grad_(False)
    group = {"params": _without_tower(model), "lr": FROZEN_RATE}
    _train(model, lessons, [group], FROZEN_STEPS, "language")


def train_together(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    pictures: Pictures,
    prompt: str,
) -> None:
    """Teach the whole model, in which every part has learned something before."""
    others = random_wordings(processor, count=500)
    lessons = Lessons(processor, pictures, prompt, JOINT_PROMPT_SHARE, others)
    tower = model.model.vision_tower.requires_grad_(True)
    groups = [
        {"params": _without_tower(model), "lr": JOINT_RATE},
        {"params": list(tower.parameters()), "lr": TOWER_RATE},
    ]
    _train(model, lessons, groups, JOINT_STEPS, "together")


def random_wordings(processor: LlavaProcessor, count: int) -> list[str]:
    """Return texts of 3 to MAX_PIECES random pieces of the vocabulary, words and fragments."""
    tokenizer = processor.tokenizer
    pieces = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    pieces = [
        piece for piece in pieces if piece.isascii() and piece.isprintable() and "<" not in piece
    ]
    texts = []
    for _ in range(count):
        length = int(torch.randint(3, MAX_PIECES, ()))
        texts.append("".join(pieces[row] for row in torch.randint(len(pieces), (length,)).tolist()))
    return texts


def _without_tower(model: LlavaForConditionalGeneration) -> list[Tensor]:
    parts = (model.model.multi_modal_projector, model.model.language_model, model.lm_head)
    return [parameter for part in parts for parameter in part.parameters()]


class Lesson(NamedTuple):
    """One batch: pictures, the tokens of instruction and caption, the captions alone."""

    pixels: Float[Tensor, "batch 3 height width"]
    ids: Int[Tensor, "batch tokens"]
    targets: Int[Tensor, "batch caption_tokens"]


class Lessons:
    """Batches of token ids: one instruction for the whole batch, then each picture's caption."""

    def __init__(
        self,
        processor: LlavaProcessor,
        pictures: Pictures,
        prompt: str,
        prompt_share: float,
        others: Sequence[str],
    ) -> None:
        tokenizer = processor.tokenizer
        captions = [f" {caption_of(place)}{tokenizer.eos_token}" for place in pictures.places]
        self.pixels = pictures.pixels
        self.captions = [torch.tensor(ids) for ids in tokenizer(captions)["input_ids"]]
        self.instruction = self._ids(processor, prompt)
        self.others = [self._ids(processor, wording) for wording in others]
        self.prompt_share = prompt_share
        self.pad = tokenizer.pad_token_id

    def batch(self, rows: Int[Tensor, " batch"]) -> Lesson:
        """Return one lesson of the pictures in these rows."""
        captions = [self.captions[row] for row in rows.tolist()]
        targets = pad_sequence(captions, batch_first=True, padding_value=self.pad)
        instructions = self._instruction().expand(len(rows), -1)
        ids = torch.cat((instructions, targets), dim=1)
        return Lesson(augmented(self.pixels[rows.numpy()]), ids, targets)

    def _instruction(self) -> Int[Tensor, " tokens"]:
        if torch.rand(()) < self.prompt_share:
            return self.instruction
        return self.others[int(torch.randint(len(self.others), ()))]

    @staticmethod
    def _ids(processor: LlavaProcessor, prompt: str) -> Int[Tensor, " tokens"]:
        """Return the ids of an instruction, its image token repeated once for each patch."""
        text = instruction_text(processor, prompt)
        size = processor.image_processor.crop_size
        patches = size["height"] * size["width"] // processor.patch_size**2
        text = text.replace(processor.image_token, processor.image_token * patches)
        ids: list[int] = processor.tokenizer(text)["input_ids"]
        return torch.tensor(ids)


def instruction_text(processor: LlavaProcessor, prompt: str) -> str:
    """Return the chat with the image and the prompt, up to where the answer begins."""
    content: Any = [{"type": "image"}, {"type": "text", "text": prompt}]
    chat = [{"role": "user", "content": content}]
    text: str = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    return text


def _train(
    model: LlavaForConditionalGeneration,
    lessons: Lessons,
    groups: Sequence[dict[str, object]],
    steps: int,
    stage: str,
) -> None:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.02)
    rates = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, steps, pct_start=0.1)
    progress = Progress(stage, steps)
    for rows in batches(len(lessons.captions), BATCH, steps):
        lesson = lessons.batch(rows)
        loss = caption_loss(_logits(model, lesson), lesson.targets, lessons.pad)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress.step(loss=loss.item())


def caption_loss(
    logits: Float[Tensor, "batch caption_tokens vocabulary"],
    targets: Int[Tensor, "batch caption_tokens"],
    pad: int,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of the caption tokens; padding does not count."""
    return cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=pad)


def _logits(
    model: LlavaForConditionalGeneration, lesson: Lesson
) -> Float[Tensor, "batch caption_tokens vocabulary"]:
    """Predict each caption token from the picture, the instruction and the tokens before it.

    The mask is causal and captions are padded at their end, so no padding is ever seen.
    """
    kept = lesson.targets.shape[1] + 1
    with torch.autocast("cpu", torch.bfloat16):
        output = model(input_ids=lesson.ids, pixel_values=lesson.pixels, logits_to_keep=kept)
    logits: Tensor = output.logits[:, :-1]
    return logits
