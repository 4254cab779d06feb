"""A batch that does not wait for its longest caption: rows leave when they end, others enter.

New rows are prefilled together, as soon as a quarter of the slots is free: their pictures and
prompts have one length, so they need no padding. As many again are let in ahead of that, and their
pictures are encoded meanwhile (`vprcap.captioners.ahead`). Then every live row gets one token at a
time, at its own position. A row is computed as `generate` computes it alone, so greedy captions are
equal to the token in float32.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from transformers.modeling_outputs import BaseModelOutputWithPooling

from vprcap.captioners import Generated
from vprcap.captioners.ahead import Beside, Encoded, WaitingRoom
from vprcap.captioners.in_memory import in_memory
from vprcap.captioners.repetition import LONGEST_CIRCLE, is_looping
from vprcap.captioners.sampling import gumbel_noise
from vprcap.captioners.slot_cache import SlotCache
from vprcap.captioners.step_threads import StepThreads
from vprcap.errors import Interrupted

_SHARE_REFILLED = 4
"""One over the share of free slots that is worth a prefill."""
_LANGUAGE_MODELS = ("llama", "mistral", "qwen2")
"""Whose attention takes a mask and positions of our own."""


@dataclass(frozen=True)
class Writer:
    """A loaded model and how captions are written with it."""

    model: Any
    encode: Callable[[Sequence[np.ndarray]], Encoded]
    """Makes of pictures what the language model takes."""
    beside: Beside
    read: Callable[[Sequence[int], int], Generated]
    """Makes a caption of its tokens and the number of those of its prompt."""
    end_ids: Collection[int]
    max_new_tokens: int
    temperature: float
    step_threads: StepThreads | None
    """On a CPU."""


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
        and "mm_encoder_outputs" in signature(model.model.forward).parameters
        and text.model_type in _LANGUAGE_MODELS
        and getattr(text, "sliding_window", None) is None
    )


class RunningBatch:
    """Rows in work with one model; after an error it is lost."""

    def __init__(self, writer: Writer, num_slots: int) -> None:
        self._writer, self._model, self._num_slots = writer, writer.model, num_slots
        self._refill = max(1, num_slots // _SHARE_REFILLED)
        self._waiting = WaitingRoom(writer.encode, writer.beside, self._refill)
        self._rows: list[_Row] = []
        self._cache: SlotCache | None = None

    @property
    def wanted(self) -> int:
        """How many images it would take now, as many ahead as there are slots; 0: too few."""
        room = 2 * self._num_slots - len(self._rows) - len(self._waiting)
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
        self._waiting.let_in(rows, pixels)
        in_memory(self._enter)
        while not (left := self._leave()) and self._rows:
            if should_stop():
                raise Interrupted("stopped while captions were being written")
            threads = self._writer.step_threads
            with threads.step() if threads else nullcontext():
                in_memory(self._write)
        return [(row.name, self._writer.read(row.tokens, row.num_prompt)) for row in left]

    @torch.inference_mode()
    def _enter(self) -> None:
        """Prefill those that wait, where enough rows are free."""
        num_free = self._num_slots - len(self._rows)
        if num_free < self._refill or (let_out := self._waiting.let_out(num_free)) is None:
            return
        rows, encoded = let_out
        num_prompt = encoded.input_ids.shape[1]
        if self._cache is None:
            longest = num_prompt + self._writer.max_new_tokens
            self._cache = SlotCache(self._num_slots, longest, self._model.device)
        self._cache.enter(len(rows))
        features: Any = encoded.features  # LLaVA keeps a list there
        seen = BaseModelOutputWithPooling(pooler_output=features)
        logits = self._logits(
            input_ids=encoded.input_ids,
            mm_encoder_outputs={"image": seen},
            position_ids=torch.arange(num_prompt, device=self._model.device)[None],
        )
        self._cache.settle(num_prompt)
        for row in rows:
            row.num_prompt = num_prompt
        self._append(rows, logits)
        self._rows += rows

    @torch.inference_mode()
    def _write(self) -> None:
        assert self._cache is not None, "rows have entered"
        last = [[row.tokens[-1]] for row in self._rows]
        logits = self._logits(
            input_ids=torch.tensor(last, device=self._model.device),
            attention_mask=self._cache.mask,
            position_ids=self._cache.positions,
        )
        self._cache.settle(1)
        self._append(self._rows, logits)

    def _logits(self, **inputs: Any) -> Float[torch.Tensor, "rows vocabulary"]:
        output = self._model(
            **inputs, past_key_values=self._cache, use_cache=True, logits_to_keep=1
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def _append(self, rows: Sequence[_Row], logits: torch.Tensor) -> None:
        for row, token in zip(rows, self._choose(rows, logits).tolist(), strict=True):
            row.tokens.append(token)

    def _choose(self, rows: Sequence[_Row], logits: torch.Tensor) -> Int64[torch.Tensor, " rows"]:
        """Choose the next token of each row: the most likely one, or the one after its noise."""
        if self._writer.temperature:
            size = logits.shape[1]
            noise = [gumbel_noise(row.seed or 0, len(row.tokens), size) for row in rows]
            noisy = torch.stack(noise).to(logits.device)
            logits = logits.double() / self._writer.temperature + noisy
        return logits.argmax(1)

    @torch.inference_mode()
    def _leave(self) -> list[_Row]:
        """Take out the rows that have ended; from the last one on, so that gaps fill from there."""
        left = []
        for position in reversed(range(len(self._rows))):
            row = self._rows[position]
            if self._has_ended(row):
                assert self._cache is not None, "rows have entered"
                self._cache.leave(position)
                self._rows[position] = self._rows[-1]
                del self._rows[-1]
                left.append(row)
        return left

    def _has_ended(self, row: _Row) -> bool:
        full = len(row.tokens) >= self._writer.max_new_tokens
        ended = row.tokens[-1] in self._writer.end_ids
        return full or ended or is_looping(row.tokens[-LONGEST_CIRCLE:])
