"""A batch that does not wait for its longest caption: rows leave when they end, others enter.

Pictures and prompts have one length, so rows are prefilled some at a time without padding, beside
those that write (`vprcap.captioners.ahead`). Then every live row writes at its own position: one
token a step, and with it as many as were guessed right (`vprcap.captioners.drafts`). Guesses are
fed with the last token and kept as far as the model chooses the same, so a row is what `generate`
makes of it alone: greedy captions are equal to the token in float32, sampled ones too.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from vprcap.captioners import Generated
from vprcap.captioners.ahead import Beside, Prefilled, WaitingRoom
from vprcap.captioners.drafts import Drafts
from vprcap.captioners.in_memory import in_memory
from vprcap.captioners.repetition import LONGEST_CIRCLE, is_looping
from vprcap.captioners.sampling import gumbel_noise
from vprcap.captioners.slot_cache import SlotCache
from vprcap.captioners.step_choice import DRAFTS, StepChoice
from vprcap.errors import Interrupted

SHARE_AHEAD = 4
"""One over the share of the slots that is prefilled together, and before there are rows for it."""
_LANGUAGE_MODELS = ("llama", "mistral", "qwen2")
"""Whose attention takes a mask and positions of our own."""


@dataclass(frozen=True)
class Writer:
    """A loaded model and how captions are written with it."""

    model: Any
    prefill: Callable[[Sequence[np.ndarray]], Prefilled]
    """Reads pictures and their prompts."""
    beside: Beside
    read: Callable[[Sequence[int], int], Generated]
    """Makes a caption of its tokens and the number of those of its prompt."""
    end_ids: Collection[int]
    max_new_tokens: int
    temperature: float
    step_choice: StepChoice
    drafts: Drafts


@dataclass
class _Row:
    name: str
    seed: int | None
    num_prompt: int = 0
    tokens: list[int] = field(default_factory=list)


def can_run(model: Any) -> bool:
    """Say whether rows of a model may each have their own length; others keep to `generate`."""
    text = model.config.get_text_config()
    return (
        model.config.model_type == "llava"
        and text.model_type in _LANGUAGE_MODELS
        and getattr(text, "sliding_window", None) is None
    )


class RunningBatch:
    """Rows in work with one model; after an error it is lost."""

    def __init__(self, writer: Writer, num_slots: int) -> None:
        self._writer, self._model, self._num_slots = writer, writer.model, num_slots
        self._refill = max(1, num_slots // SHARE_AHEAD)
        self._waiting = WaitingRoom(writer.prefill, writer.beside, self._refill)
        self._rows: list[_Row] = []
        self._slots = SlotCache(num_slots, writer.max_new_tokens + max(DRAFTS), self._model.device)

    @property
    def wanted(self) -> int:
        """How many images it would take now, some of them ahead; 0: too few."""
        room = self._num_slots + self._refill - len(self._rows) - len(self._waiting)
        return room if room >= self._refill else 0

    def advance(
        self,
        names: Sequence[str],
        pixels: Sequence[np.ndarray],
        seeds: Sequence[int],
        should_stop: Callable[[], bool],
    ) -> list[tuple[str, Generated]]:
        """Let images enter, and write tokens until a caption ends.

        Args:
            names: of the images that enter, not more than are wanted.
            pixels: of these images.
            seeds: one an image, where the temperature is above 0.
            should_stop: asked between tokens.

        Returns:
            Names and captions of the rows that left.

        Raises:
            OutOfMemory: the batch does not fit.
            Interrupted: `should_stop` became true.
        """
        own: Sequence[int | None] = seeds or [None] * len(names)
        rows = [_Row(name, seed) for name, seed in zip(names, own, strict=True)]
        self._waiting.let_in(rows, pixels, alone=not self._rows)
        try:
            if not self._rows:
                self._waiting.wait(should_stop)
            in_memory(self._enter)
            while not (left := self._leave()) and self._rows:
                if should_stop():
                    raise Interrupted("stopped while captions were being written")
                self._step()
                in_memory(self._enter)
        except Exception as problem:
            self._waiting.close(wait=not isinstance(problem, Interrupted))
            raise
        return [(row.name, self._writer.read(row.tokens, row.num_prompt)) for row in left]

    @torch.inference_mode()
    def _enter(self) -> None:
        """Give free rows to pictures that are ready."""
        num_free = self._num_slots - len(self._rows)
        for rows, prefilled in self._waiting.let_out(num_free):
            self._slots.enter(prefilled.entries)
            chosen = self._choose(rows, prefilled.logits.float())
            for row, tokens in zip(rows, chosen, strict=True):
                row.num_prompt, row.tokens = prefilled.num_prompt, tokens
            self._rows += rows

    def _step(self) -> None:
        """Write one token of each row, and those after it that were guessed right."""
        choice = self._writer.step_choice
        way, begun = choice.choose(len(self._rows)), time.perf_counter()
        drafts = [self._writer.drafts.after(row.tokens, way.drafts) for row in self._rows]
        with choice.threads(way):
            chosen = in_memory(lambda: self._check(drafts))
        kept = [self._accept(*each) for each in zip(self._rows, drafts, chosen, strict=True)]
        self._slots.keep(kept)
        way.note(sum(kept), time.perf_counter() - begun)

    @torch.inference_mode()
    def _check(self, drafts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return what the model chooses after the last token of each row, and after its guesses."""
        width = 1 + max(len(draft) for draft in drafts)
        fed = torch.zeros((len(drafts), width), dtype=torch.int64)  # whatever follows a guess
        for place, (row, draft) in enumerate(zip(self._rows, drafts, strict=True)):
            fed[place, : 1 + len(draft)] = torch.tensor([row.tokens[-1], *draft])
        self._slots.go_on(width)
        output = self._model(
            input_ids=fed.to(self._model.device),
            attention_mask=self._slots.mask,
            position_ids=self._slots.positions,
            past_key_values=self._slots,
            use_cache=True,
            logits_to_keep=width,
        )
        return self._choose(self._rows, output.logits.float())

    def _accept(self, row: _Row, draft: Sequence[int], chosen: Sequence[int]) -> int:
        """Append what was chosen, up to the first guess that was wrong; return how many."""
        before = len(row.tokens)
        for token, guess in zip_longest(chosen, draft):
            row.tokens.append(token)
            if token != guess or self._has_ended(row):
                break
        return len(row.tokens) - before

    def _choose(
        self, rows: Sequence[_Row], logits: Float[torch.Tensor, "rows next vocabulary"]
    ) -> list[list[int]]:
        """Choose the next tokens of each row: the most likely, or those after its noise."""
        if self._writer.temperature:
            noise = [
                gumbel_noise(row.seed or 0, len(row.tokens) + further, logits.shape[2])
                for row in rows
                for further in range(logits.shape[1])
            ]
            noisy = torch.stack(noise).view(logits.shape).to(logits.device)
            logits = logits.double() / self._writer.temperature + noisy
        chosen: list[list[int]] = logits.argmax(-1).tolist()
        return chosen

    @torch.inference_mode()
    def _leave(self) -> list[_Row]:
        """Take out the rows that have ended; from the last one on, so that gaps fill from there."""
        left = []
        for position in reversed(range(len(self._rows))):
            row = self._rows[position]
            if self._has_ended(row):
                self._slots.leave(position)
                self._rows[position] = self._rows[-1]
                del self._rows[-1]
                self._writer.drafts.learn(row.tokens)
                left.append(row)
        return left

    def _has_ended(self, row: _Row) -> bool:
        full = len(row.tokens) >= self._writer.max_new_tokens
        ended = row.tokens[-1] in self._writer.end_ids
        return full or ended or is_looping(row.tokens[-LONGEST_CIRCLE:])
