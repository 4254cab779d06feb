"""Captions by vLLM in this process, for a GPU that one worker has to itself.

`AsyncLLM`, not `LLM`: only it prepares pictures in threads beside the model. The checkpoint is
opened as `transformers` opens it, so revision, framing and rendered prompt are the same; weights
are safetensors, and no code from a model repository is run. Quantization is the checkpoint's own
(AWQ, GPTQ, FP8). vLLM's kernels depend on what else is in the batch, so even greedy text may.

vLLM is imported in `start_engine` alone; the rest is plain values, and tested without it.
"""

import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from itertools import count
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vprcap.caption_sets.caption_set import CaptionConfig
from vprcap.captioners import Generated
from vprcap.captioners.checkpoint import Checkpoint, open_checkpoint
from vprcap.captioners.in_flight import InFlight
from vprcap.captioners.repetition import VLLM_RULE
from vprcap.captioners.running_requests import RunningRequests
from vprcap.captioners.source import local_folder
from vprcap.captioners.watch import HUNG_EXIT_CODE
from vprcap.errors import DependencyError, Interrupted
from vprcap.images import Framing
from vprcap.prompt import Prompt

_RENDERERS = 4
"""Threads that prepare pictures; vLLM's default of one is slower than its GPU."""
_SEED_BITS = 63


class EngineDied(Exception):  # noqa: N818 - an event that ends the worker
    """The engine's processes are gone; only a new worker can go on."""


@runtime_checkable
class Engine(Protocol):
    """What is asked of vLLM, in plain values."""

    def generate(
        self, prompt: Mapping[str, Any], sampling: Mapping[str, Any], request_id: str, bos: bool
    ) -> AsyncIterator[Any]:
        """Yield `vllm.RequestOutput`, once, when it is finished.

        Args:
            prompt: ``vllm.inputs.TextPrompt``.
            sampling: keywords of ``vllm.SamplingParams``.
            request_id: of its own.
            bos: whether the tokenizer adds its first token.

        Raises:
            EngineDied: nothing can be generated any more.
        """
        ...

    def shutdown(self) -> None:
        """End the engine's processes."""
        ...


Start = Callable[[Mapping[str, Any]], Engine]


class VllmCaptioner:
    """Captions, greedy or sampled, from vLLM."""

    def __init__(
        self,
        model: str,
        *,
        prompt: Prompt,
        framing: str,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        start: Start | None = None,
    ) -> None:
        if start is None and find_spec("vllm") is None:
            raise DependencyError(
                "captioner vllm needs vLLM, in an environment of its own; install "
                "'vprcap[vllm]' there under constraints-vllm.txt, or use --captioner openai"
            )
        self._start = start or start_engine
        self._checkpoint = open_checkpoint(model)
        self._text = self._checkpoint.render(prompt.text)
        self._engine: Engine | None = None
        self._in_flight = InFlight()
        self._ids = count()
        self.device = "GPU of vLLM"
        self.framing = Framing(framing, self._checkpoint.side, self._checkpoint.fill)
        self.config = CaptionConfig(
            captioner="vllm",
            model=self._checkpoint.name,
            revision=self._checkpoint.revision,
            quantization="none",
            prompt_name=prompt.name,
            prompt=prompt.text,
            max_new_tokens=max_new_tokens,
            framing=framing,
            processor={**self._checkpoint.processor_identity, "backend": "vllm"},
            dtype="auto",
            temperature=temperature,
            seed=seed,
            repetition_stop=f"vLLM's: {VLLM_RULE}",
        )

    def load(self) -> None:
        """Start the engine, which loads the weights onto the GPU."""
        self._engine = self._in_flight.enter(_running(self._start, self._checkpoint))

    def caption(
        self,
        pixels: Sequence[UInt8[np.ndarray, "_ _ 3"]],
        should_stop: Callable[[], bool],
        seeds: Sequence[int] = (),
    ) -> list[Generated]:
        """Caption a batch; where the engine has died, this process ends, for a new one to go on."""
        own: Sequence[int | None] = seeds or [None] * len(pixels)
        requests = [
            partial(self._generate, image, seed) for image, seed in zip(pixels, own, strict=True)
        ]
        try:
            return self._in_flight.all(requests, should_stop)
        except EngineDied as problem:
            raise _meaning(problem, should_stop) from None

    def running(self, num_slots: int) -> RunningRequests:
        """Start requests of which one takes another's place as soon as that is answered."""
        return RunningRequests(self._in_flight, self._generate, num_slots, _meaning)

    async def _generate(self, image: np.ndarray, seed: int | None) -> Generated:
        assert self._engine is not None, "load() comes first"
        tokenizer = self._checkpoint.processor.tokenizer
        bos = not self._text.startswith(tokenizer.bos_token or "\0")
        outputs = self._engine.generate(
            text_prompt(self._text, image),
            sampling_arguments(self.config, seed),
            f"vprcap-{next(self._ids)}",
            bos,
        )
        last = None
        async for output in outputs:
            last = output
        return read_output(last)


def _meaning(problem: Exception, should_stop: Callable[[], bool]) -> Exception:
    """Say what an error means; where the engine has died, this process ends."""
    if isinstance(problem, EngineDied):
        if should_stop():  # Ctrl-C reaches the engine's processes too
            return Interrupted("stopped together with the engine")
        _end_worker()
    return problem


@asynccontextmanager
async def _running(start: Start, checkpoint: Checkpoint) -> AsyncIterator[Engine]:
    """Start the engine in the loop that its tasks are to live in."""
    engine = start(engine_arguments(checkpoint))
    try:
        yield engine
    finally:
        engine.shutdown()


def engine_arguments(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the keywords of ``vllm.AsyncEngineArgs``."""
    is_local = local_folder(checkpoint.source) is not None
    revision = None if is_local else checkpoint.revision
    return {
        "model": checkpoint.source,
        "revision": revision,
        "tokenizer_revision": revision,
        "trust_remote_code": False,
        "load_format": "safetensors",
        "limit_mm_per_prompt": {"image": 1},
        "mm_processor_cache_gb": 0,  # no picture comes twice
        "renderer_num_workers": _RENDERERS,
        "generation_config": "vllm",  # not the checkpoint's habits of sampling
        "disable_log_stats": True,
    }


def sampling_arguments(config: CaptionConfig, seed: int | None) -> dict[str, Any]:
    """Return the keywords of ``vllm.SamplingParams`` for one caption.

    Those of ``repetition_detection`` are of ``vllm.sampling_params.RepetitionDetectionParams``.
    """
    own = {} if seed is None else {"seed": seed >> (128 - _SEED_BITS)}
    return {
        "max_tokens": config.max_new_tokens,
        "temperature": config.temperature,
        "repetition_detection": VLLM_RULE,
        **own,
    }


def text_prompt(text: str, image: np.ndarray) -> dict[str, Any]:
    """Return a ``vllm.inputs.TextPrompt``: the rendered prompt and its picture."""
    return {"prompt": text, "multi_modal_data": {"image": Image.fromarray(image)}}


def read_output(output: Any) -> Generated:
    """Read a caption from a finished ``vllm.RequestOutput``.

    Raises:
        RuntimeError: it was not finished.
    """
    completion = output.outputs[0] if output is not None else None
    if completion is None or completion.finish_reason in (None, "abort", "error"):
        raise RuntimeError("vLLM did not finish this image")
    return Generated(
        completion.text.strip(),
        completion.finish_reason,
        len(output.prompt_token_ids),
        len(completion.token_ids),
    )


def start_engine(arguments: Mapping[str, Any]) -> Engine:
    """Start vLLM.

    Raises:
        DependencyError: it cannot start.
    """
    # Our process has threads by now, and a fork of it might wait for one for ever.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    try:
        from vprcap.captioners.vllm_engine import VllmEngine
    except ImportError as problem:
        raise DependencyError(f"vLLM cannot be imported ({problem})") from None
    return VllmEngine(arguments)


def _end_worker() -> None:
    print(
        "vprcap: vLLM's engine has died; this worker ends, the next one goes on from what is "
        "journaled: see vLLM's messages above",
        file=sys.stderr,
        flush=True,
    )
    os._exit(HUNG_EXIT_CODE)
