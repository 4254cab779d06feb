"""vLLM itself, behind the few plain values of `vllm.Engine`; the only module that imports it.

Written against vLLM 0.33.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind, SamplingParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from vprcap.captioners.vllm import EngineDied
from vprcap.errors import DependencyError, first_line


class VllmEngine:
    """A running engine; an `Engine`."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        try:
            self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        except (RuntimeError, ValueError, OSError) as problem:
            raise DependencyError(
                f"vLLM does not start with {arguments['model']} ({first_line(problem)}); "
                "see its messages above"
            ) from None

    async def generate(
        self, prompt: Mapping[str, Any], sampling: Mapping[str, Any], request_id: str, bos: bool
    ) -> AsyncIterator[Any]:
        """Yield the finished output; where this is cancelled, vLLM aborts the request."""
        detection = RepetitionDetectionParams(**sampling["repetition_detection"])
        parameters = SamplingParams(
            **{**sampling, "repetition_detection": detection},
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        try:
            async for output in self._engine.generate(
                prompt, parameters, request_id, tokenization_kwargs={"add_special_tokens": bos}
            ):
                yield output
        except EngineDeadError as problem:
            raise EngineDied(first_line(problem)) from None

    def shutdown(self) -> None:
        """End the engine's processes."""
        self._engine.shutdown()
