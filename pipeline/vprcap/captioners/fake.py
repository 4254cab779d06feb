"""A captioner without weights: words from the pixels, faults on demand.

For rehearsing a run before GPU hours are paid for, and for fault tests. The model's name is a
comma-separated list of switches, e.g. ``latency=0.02,oom=8``; faults that depend on the image
strike the share of images given, chosen by content, so they strike the same ones every time.
"""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vprcap.caption_sets.caption_set import CaptionConfig
from vprcap.captioners import Generated, OutOfMemory
from vprcap.errors import Interrupted, InvalidError
from vprcap.images import Framing
from vprcap.prompt import Prompt

_SIDE = 64
_COLOURS = ("red", "brown", "grey", "white", "yellow", "green", "blue", "black")
_THINGS = ("house", "tower", "church", "shop", "bridge", "wall", "garden", "station")


@dataclass(frozen=True, slots=True)
class Switches:
    """Faults of a fake model."""

    latency: float = 0.0
    """Seconds a batch takes for each image in it."""
    oom: int = 0
    """Batches larger than this run out of memory; 0: none do."""
    oom_every: int = 0
    """Each so many batches, one runs out of memory, whatever its size; 0: none does."""
    crash: float = 0.0
    """Share of images that end the process."""
    hang: float = 0.0
    """Share of images that take for ever, until the model is asked to stop."""
    hard_hang: float = 0.0
    """Share of images that the model does not return from at all."""
    refuse: float = 0.0
    """Share of images that the model refuses to describe."""
    loop: float = 0.0
    """Share of images whose caption repeats itself up to the token limit."""


class FakeCaptioner:
    """Deterministic captions from the pixels' hash."""

    def __init__(
        self,
        model: str,
        prompt: Prompt,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.switches = _parse(model)
        self.device = "cpu"
        self.framing = Framing("pad", _SIDE)
        self._limit = max_new_tokens
        self._num_batches = 0
        text_switches = f"refuse={self.switches.refuse},loop={self.switches.loop}"
        self.config = CaptionConfig(
            captioner="fake",
            model="fake",
            revision=text_switches,
            quantization="none",
            prompt_name=prompt.name,
            prompt=prompt.text,
            max_new_tokens=max_new_tokens,
            framing="pad",
            processor={"side": _SIDE},
            dtype="none",
            temperature=temperature,
            seed=seed,
        )

    def load(self) -> None:
        """There are no weights."""

    def caption(
        self,
        pixels: Sequence[UInt8[np.ndarray, "_ _ 3"]],
        should_stop: Callable[[], bool],
        seeds: Sequence[int] = (),
    ) -> list[Generated]:
        """Caption a batch, after the faults that its images ask for."""
        self._run_out_of_memory(len(pixels))
        if self.switches.latency:
            time.sleep(self.switches.latency * len(pixels))
        digests = [hashlib.sha256(image.tobytes()).digest() for image in pixels]
        self._fail(min(map(chance, digests)), should_stop)
        if should_stop():
            raise Interrupted("stopped")
        if self.config.temperature:
            digests = [_drawn(digest, seed) for digest, seed in zip(digests, seeds, strict=True)]
        return [self._describe(digest) for digest in digests]

    def _run_out_of_memory(self, num_images: int) -> None:
        self._num_batches += 1
        every = self.switches.oom_every
        if 0 < self.switches.oom < num_images or (every and self._num_batches % every == 0):
            raise OutOfMemory(f"{num_images} images do not fit")

    def _fail(self, strikes: float, should_stop: Callable[[], bool]) -> None:
        """Crash or hang on the image that is struck before the others of its batch."""
        if strikes < self.switches.crash:
            os._exit(139)
        while strikes < self.switches.hard_hang or (
            strikes < self.switches.hang and not should_stop()
        ):
            time.sleep(0.01)

    def _describe(self, digest: bytes) -> Generated:
        if chance(digest) < self.switches.refuse:
            return Generated("I'm sorry, I cannot help with that.", "stop", 1, 8, "refused")
        if chance(digest) < self.switches.loop:
            return Generated(" ".join(["a wall"] * self._limit), "length", 1, self._limit)
        words = [
            f"{_COLOURS[digest[i] % 8]} {_THINGS[digest[i + 1] % 8]} {digest[i + 2]}"
            for i in (4, 8, 12)
        ]
        text = f"A {words[0]} on the left, a {words[1]} ahead, a {words[2]} on the right."
        return Generated(text, "stop", 1, len(text.split()))


def chance(digest: bytes) -> float:
    """Return the share of images that a switch must exceed to strike the one of this hash."""
    return int.from_bytes(digest[:4]) / 2**32


def _drawn(digest: bytes, seed: int) -> bytes:
    """Let other words come from another seed, and the same faults."""
    return digest[:4] + hashlib.sha256(b"%b %d" % (digest, seed)).digest()[4:]


def _parse(model: str) -> Switches:
    kinds: dict[str, type] = {field.name: type(field.default) for field in fields(Switches)}
    values: dict[str, Any] = {}
    for part in filter(None, model.split(",")):
        name, _, value = part.partition("=")
        try:
            values[name] = kinds[name](value)
        except (KeyError, ValueError):
            raise InvalidError(
                f"fake model switch {part!r} is unknown; give NAME=NUMBER of {', '.join(kinds)}"
            ) from None
    return Switches(**values)
