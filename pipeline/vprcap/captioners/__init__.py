"""Captioners: a model that writes a caption for each image of a batch.

A captioner knows its `config` (what changes the text) and its `framing` (what decode workers must
do to a picture) before any weights are loaded, so that a run with nothing to do stays cheap.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from vprcap.caption_sets.caption_set import CaptionConfig
from vprcap.errors import InvalidError
from vprcap.images import Framing
from vprcap.prompt import Prompt

CAPTIONERS = ("transformers", "openai", "vllm", "labels", "fake")
QUANTIZATIONS = ("nf4", "int8", "none")
FRAMINGS = ("pad", "crop")
DEFAULT_MODEL = "llava-hf/llava-1.5-7b-hf"
DEFAULT_CLASSIFIER = "packaged:efficientnet-lite0"
MAX_NEW_TOKENS = 128
IMAGE_SIDE = 336
"""Pixels of the square that LLaVA-1.5 sees."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What a captioner wrote for one image."""

    text: str
    finish_reason: str
    """``stop`` where the model ended by itself, ``length`` where the token limit cut it,
    ``repetition`` where it went in circles."""
    num_prompt_tokens: int | None
    """None where a server does not count."""
    num_output_tokens: int | None
    status: str = "ok"


class OutOfMemory(Exception):  # noqa: N818 - an event that the caller answers with a smaller batch
    """The batch does not fit into memory."""


class Unavailable(Exception):  # noqa: N818 - an event that says nothing of the images
    """Whoever writes the captions is not there; waiting did not help."""

    def __init__(self, reason: str, ended_at_work: bool = False) -> None:
        """Take the reason, and whether it ended while it had the images of this batch."""
        super().__init__(reason)
        self.ended_at_work = ended_at_work


@runtime_checkable
class Captioner(Protocol):
    """Writes captions; greedy, or by seeds: the text of an image does not depend on its batch.

    That is promised where we compute; of a server and of vLLM nobody can promise it.
    """

    config: CaptionConfig
    framing: Framing

    @property
    def device(self) -> str:
        """Where it computes: ``cpu``, the name of a GPU, or a server."""
        ...

    def load(self) -> None:
        """Load the weights; a run with nothing to do never asks for them."""
        ...

    def caption(
        self,
        pixels: Sequence[UInt8[np.ndarray, "_ _ 3"]],
        should_stop: Callable[[], bool],
        seeds: Sequence[int] = (),
    ) -> list[Generated]:
        """Caption a batch of framed images.

        Args:
            pixels: the images.
            should_stop: asked between tokens.
            seeds: one an image, where the temperature is above 0.

        Raises:
            OutOfMemory: the batch is too large; nothing was captioned.
            Unavailable: `should_stop` became true while a server was away.
            Interrupted: `should_stop` became true; nothing was captioned.
        """
        ...


@runtime_checkable
class Running(Protocol):
    """A batch that images enter and captions leave one by one; after an error it is lost."""

    @property
    def wanted(self) -> int:
        """How many images it would take now; 0: first, captions must end."""
        ...

    def advance(
        self,
        names: Sequence[str],
        pixels: Sequence[UInt8[np.ndarray, "_ _ 3"]],
        seeds: Sequence[int],
        should_stop: Callable[[], bool],
    ) -> list[tuple[str, Generated]]:
        """Let images enter, and write until a caption ends; return names and captions.

        Raises:
            OutOfMemory: the batch is too large.
            Interrupted: `should_stop` became true.
        """
        ...


@runtime_checkable
class RunningCaptioner(Captioner, Protocol):
    """A captioner whose captions need not wait for the longest one of their batch."""

    def running(self, num_slots: int) -> Running | None:
        """Start a batch of so many images at a time; None where this model cannot."""
        ...


def row_seeds(config: CaptionConfig, image_sha256s: Sequence[str | None]) -> list[int]:
    """Derive the 128-bit seed of each image's caption from its bytes; none of greedy captions."""
    if not config.temperature:
        return []
    texts = (f"{config.seed} {sha256} {config.config_id}".encode() for sha256 in image_sha256s)
    return [int.from_bytes(blake2b(text, digest_size=16).digest()) for text in texts]


def load_captioner(
    captioner: str,
    model: str | None,
    *,
    quantization: str,
    prompt: Prompt,
    framing: str,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    base_url: str | None = None,
    image_side: int = IMAGE_SIDE,
) -> Captioner:
    """Build a captioner by name.

    Args:
        captioner: ``transformers``, ``openai``, ``vllm``, ``labels`` or ``fake``.
        model: hub name, directory or ``packaged:tiny-llava``; of ``openai``, as the server names
            it, or None for its only one; of ``labels``, a classifier; of ``fake``, its switches.
        quantization: ``nf4``, ``int8`` or ``none``; of ``transformers`` only.
        prompt: the fixed instruction; ``labels`` has none.
        framing: ``pad`` or ``crop``.
        max_new_tokens: longest caption; ``labels`` writes no tokens.
        temperature: 0 is greedy; above, captions are sampled. ``labels`` has nothing to sample.
        seed: of sampling; the seed of each caption derives from it.
        base_url: of ``openai``, the server; None: what ``OPENAI_BASE_URL`` says.
        image_side: of ``openai``, pixels of the square that is sent.
    """
    _check_choice("--quantization", quantization, QUANTIZATIONS)
    _check_choice("--framing", framing, FRAMINGS)
    _check_choice("--captioner", captioner, CAPTIONERS)
    if max_new_tokens < 1:
        raise InvalidError(f"--max-new-tokens {max_new_tokens} is too small; it must be at least 1")
    if not 0 <= temperature < math.inf:
        raise InvalidError(f"--temperature {temperature:g} is out of range; use 0 to about 1.5")
    if captioner == "fake":
        from vprcap.captioners.fake import FakeCaptioner

        return FakeCaptioner(model or "", prompt, max_new_tokens, temperature, seed)
    if captioner == "labels":
        if temperature:
            raise InvalidError("labels has nothing to sample; leave --temperature out")
        from vprcap.captioners.labels import LabelCaptioner

        return LabelCaptioner(model or DEFAULT_CLASSIFIER, framing)
    if captioner == "openai":
        from vprcap.captioners.openai import OpenAICaptioner

        return OpenAICaptioner(
            model,
            base_url=base_url,
            prompt=prompt,
            framing=framing,
            image_side=image_side,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
        )
    if captioner == "vllm":
        from vprcap.captioners.vllm import VllmCaptioner

        return VllmCaptioner(
            model or DEFAULT_MODEL,
            prompt=prompt,
            framing=framing,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
        )
    from vprcap.captioners.transformers import TransformersCaptioner

    return TransformersCaptioner(
        model or DEFAULT_MODEL,
        quantization=quantization,
        prompt=prompt,
        framing=framing,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
    )


def _check_choice(flag: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InvalidError(f"{flag} {value!r} is unknown; choose {', '.join(choices)}")
