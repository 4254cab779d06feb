"""What the captioner `vllm` asks of vLLM, which is not installed here: a stand-in writes down."""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import vprcap.captioners.vllm as vllm_module
from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.caption_sets.captions import read_captions
from vprcap.captioners import Generated, load_captioner, row_seeds
from vprcap.captioners.checkpoint import Checkpoint
from vprcap.captioners.vllm import EngineDied, VllmCaptioner, engine_arguments, start_engine
from vprcap.errors import DependencyError, Interrupted
from vprcap.prompt import Prompt
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

PROMPT = Prompt("test", "Describe the place.")
PICTURES = [
    np.random.default_rng(seed).integers(0, 255, (56, 56, 3), dtype=np.uint8) for seed in range(4)
]


def never() -> bool:
    return False


def finished(text: str, reason: str | None = "stop") -> SimpleNamespace:
    """A `vllm.RequestOutput`, so far as it is read."""
    completion = SimpleNamespace(text=text, finish_reason=reason, token_ids=[5, 6, 2])
    return SimpleNamespace(outputs=[completion], prompt_token_ids=list(range(21)))


@dataclass
class StandIn:
    """An engine that describes a picture by its first pixel, the darkest first."""

    arguments: Mapping[str, Any]
    asked: list[tuple[Mapping[str, Any], Mapping[str, Any], str, bool]] = field(
        default_factory=list
    )
    aborted: list[str] = field(default_factory=list)
    fault: Exception | str | None = None
    has_ended: bool = False

    async def generate(
        self, prompt: Mapping[str, Any], sampling: Mapping[str, Any], request_id: str, bos: bool
    ) -> AsyncIterator[Any]:
        self.asked.append((prompt, sampling, request_id, bos))
        red = np.asarray(prompt["multi_modal_data"]["image"])[0, 0, 0]
        if isinstance(self.fault, Exception):
            raise self.fault
        try:
            await asyncio.sleep(60 if self.fault == "hang" else red / 2000)
        except asyncio.CancelledError:
            self.aborted.append(request_id)
            raise
        yield finished(f" red {red} ", self.fault or "stop")

    def shutdown(self) -> None:
        self.has_ended = True


def captioner_of(model: Path, **options: Any) -> tuple[VllmCaptioner, list[StandIn]]:
    started: list[StandIn] = []

    def start(arguments: Mapping[str, Any]) -> StandIn:
        assert asyncio.get_running_loop(), "its tasks must live where requests are made"
        started.append(StandIn(arguments))
        return started[-1]

    settings = {"prompt": PROMPT, "framing": "pad", "max_new_tokens": 9, **options}
    captioner = VllmCaptioner(str(model), start=start, **settings)
    captioner.load()
    return captioner, started


def test_a_request_holds_the_rendered_prompt_the_pixels_and_greedy_settings(
    random_llava: Path,
) -> None:
    captioner, [engine] = captioner_of(random_llava)
    written = captioner.caption(PICTURES[:1], never)
    [(prompt, sampling, _, bos)] = engine.asked
    # The line break behind the template's last block is the block's, by trim_blocks.
    assert prompt["prompt"] == "<image>\nDescribe the place.ASSISTANT:"
    assert list(prompt["multi_modal_data"]) == ["image"]
    np.testing.assert_array_equal(np.asarray(prompt["multi_modal_data"]["image"]), PICTURES[0])
    assert sampling.pop("repetition_detection") == {
        "min_pattern_size": 6,
        "max_pattern_size": 16,
        "min_count": 4,
    }
    assert sampling == {"max_tokens": 9, "temperature": 0.0}
    assert bos, "the template writes no first token, so the tokenizer must"
    assert written == [Generated(f"red {PICTURES[0][0, 0, 0]}", "stop", 21, 3)]


def test_a_template_that_writes_the_first_token_gets_no_second_one(
    random_llava: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoint, "render", lambda self, text: f"<s><image>{text}")
    captioner, [engine] = captioner_of(random_llava)
    captioner.caption(PICTURES[:1], never)
    assert engine.asked[0][3] is False


def test_a_sampled_caption_has_the_seed_of_its_row(random_llava: Path) -> None:
    captioner, [engine] = captioner_of(random_llava, temperature=0.7, seed=3)
    seeds = row_seeds(captioner.config, ["aa", "bb"])
    captioner.caption(PICTURES[:2], never, seeds)
    sent = [sampling for _, sampling, _, _ in engine.asked]
    assert [each["seed"] for each in sent] == [int(f"{seed:0128b}"[:63], 2) for seed in seeds]
    assert {each["temperature"] for each in sent} == {0.7}


def test_captions_come_back_in_the_order_of_their_images(random_llava: Path) -> None:
    captioner, [engine] = captioner_of(random_llava)
    for _ in range(2):
        texts = [each.text for each in captioner.caption(PICTURES, never)]
        assert texts == [f"red {image[0, 0, 0]}" for image in PICTURES]
    assert len({request_id for _, _, request_id, _ in engine.asked}) == 8


def test_the_engine_gets_safe_weights_of_the_resolved_revision(random_llava: Path) -> None:
    _, [engine] = captioner_of(random_llava)
    assert engine.arguments["model"] == str(random_llava)
    assert engine.arguments["revision"] is engine.arguments["tokenizer_revision"] is None
    assert (engine.arguments["load_format"], engine.arguments["trust_remote_code"]) == (
        "safetensors",
        False,
    )
    hub = engine_arguments(Checkpoint("llava", "llava-hf/llava", "0123abcd", None, None))
    assert hub == {
        **engine.arguments,
        "model": "llava-hf/llava",
        "revision": "0123abcd",
        "tokenizer_revision": "0123abcd",
    }


def test_the_configuration_differs_from_that_of_transformers(random_llava: Path) -> None:
    own = captioner_of(random_llava)[0]
    other = load_captioner(
        "transformers",
        str(random_llava),
        quantization="none",
        prompt=PROMPT,
        framing="pad",
        max_new_tokens=9,
    )
    assert own.framing == other.framing
    assert (own.config.model, own.config.revision) == (other.config.model, other.config.revision)
    assert own.config.captioner == "vllm"
    assert own.config.processor == {**other.config.processor, "backend": "vllm"}
    assert own.config.config_id != other.config.config_id


def test_asked_to_stop_it_aborts_what_is_in_flight(random_llava: Path) -> None:
    captioner, [engine] = captioner_of(random_llava)
    engine.fault = "hang"
    end = time.monotonic() + 0.3
    with pytest.raises(Interrupted):
        captioner.caption(PICTURES, lambda: time.monotonic() > end)
    assert time.monotonic() - end < 2
    while len(engine.aborted) < 4 and time.monotonic() - end < 5:
        time.sleep(0.01)
    assert sorted(engine.aborted) == sorted(request_id for _, _, request_id, _ in engine.asked)


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_a_caption_that_vllm_breaks_off_is_no_caption(random_llava: Path, reason: str) -> None:
    captioner, [engine] = captioner_of(random_llava)
    engine.fault = reason
    with pytest.raises(RuntimeError, match="did not finish this image"):
        captioner.caption(PICTURES[:1], never)


def test_an_image_that_vllm_refuses_is_an_error_of_its_own(random_llava: Path) -> None:
    captioner, [engine] = captioner_of(random_llava)
    engine.fault = ValueError("image too large")
    with pytest.raises(ValueError, match="image too large"):
        captioner.caption(PICTURES[:1], never)


def test_a_dead_engine_ends_its_worker_but_not_one_that_is_stopping(
    random_llava: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(vllm_module.os, "_exit", codes.append)
    captioner, [engine] = captioner_of(random_llava)
    engine.fault = EngineDied("gone")
    with pytest.raises(Interrupted):
        captioner.caption(PICTURES[:2], lambda: True)
    assert codes == []
    with pytest.raises(EngineDied):
        captioner.caption(PICTURES[:2], never)
    assert codes == [75]
    assert capsys.readouterr().err.startswith("vprcap: vLLM's engine has died; this worker ends")


def test_the_engine_ends_with_its_captioner(random_llava: Path) -> None:
    captioner, [engine] = captioner_of(random_llava)
    captioner.caption(PICTURES[:1], never)
    assert not engine.has_ended
    del captioner
    gc.collect()
    assert engine.has_ended


def test_a_whole_run_writes_the_rows_of_any_captioner(
    random_llava: Path, tmp_path: Path, make_images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_module, "find_spec", lambda name: True)
    monkeypatch.setattr(vllm_module, "start_engine", StandIn)
    images = make_images(["a.jpg", "b.jpg", "c.jpg"])
    manifest = scan(images, tmp_path / "images.parquet")
    shard(manifest)
    job = open_job(JobOptions(manifest, captioner="vllm", model=str(random_llava)))
    caption(job, WorkOptions(decode_workers=1, batch_size=2))
    rows = read_captions(
        job.captions.root, ["image_id", "caption", "status", "finish_reason", "captioner"]
    ).to_pylist()
    assert [row.pop("image_id") for row in rows] == ["a.jpg", "b.jpg", "c.jpg"]
    assert all(row.pop("caption").startswith("red ") for row in rows)
    assert rows == [{"status": "ok", "finish_reason": "stop", "captioner": "vllm"}] * 3


def test_without_vllm_there_is_one_line_that_says_what_to_do(
    random_llava: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_module, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"needs vLLM, .*; install 'vprcap\[vllm\]' .*") as it:
        load_captioner(
            "vllm",
            str(random_llava),
            quantization="nf4",
            prompt=PROMPT,
            framing="pad",
            max_new_tokens=9,
        )
    assert "\n" not in str(it.value)


class _Detection:
    """Stands for vLLM's ``RepetitionDetectionParams``."""

    def __init__(self, max_pattern_size: int, min_pattern_size: int, min_count: int) -> None:
        self.told = (max_pattern_size, min_pattern_size, min_count)


class _EngineDeadError(Exception):
    """Stands for vLLM's."""


@pytest.fixture
def vllm_library(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Put modules in vLLM's place that have the few names of 0.33 that are used."""
    seen = SimpleNamespace(fault=None, requests=[])

    class AsyncLLM:
        @classmethod
        def from_engine_args(cls, arguments: Any) -> "AsyncLLM":
            if seen.fault is not None:
                raise seen.fault
            seen.arguments = arguments
            return cls()

        async def generate(
            self, prompt: Any, sampling_params: Any, request_id: str, *, tokenization_kwargs: Any
        ) -> AsyncIterator[Any]:
            seen.requests.append((prompt, sampling_params, request_id, tokenization_kwargs))
            if seen.fault is not None:
                raise seen.fault
            yield finished("a wall")

        def shutdown(self) -> None:
            seen.has_ended = True

    names = {
        "vllm.engine.arg_utils": {"AsyncEngineArgs": dict},
        "vllm.sampling_params": {
            "RequestOutputKind": SimpleNamespace(FINAL_ONLY="final only"),
            "SamplingParams": dict,
            "RepetitionDetectionParams": _Detection,
        },
        "vllm.v1.engine.async_llm": {"AsyncLLM": AsyncLLM},
        "vllm.v1.engine.exceptions": {"EngineDeadError": _EngineDeadError},
    }
    for name, contents in names.items():
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            parent = ".".join(parts[:length])
            if parent not in sys.modules:
                monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
        for attribute, value in contents.items():
            setattr(sys.modules[name], attribute, value)
    monkeypatch.delitem(sys.modules, "vprcap.captioners.vllm_engine", raising=False)
    return seen


async def _texts(engine: Any) -> list[str]:
    rule = {"max_pattern_size": 16, "min_pattern_size": 6, "min_count": 4}
    sampling = {"max_tokens": 9, "repetition_detection": rule}
    outputs = engine.generate({"prompt": "p"}, sampling, "id-1", False)
    return [output.outputs[0].text async for output in outputs]


def test_vllm_is_asked_for_one_finished_output(vllm_library: SimpleNamespace) -> None:
    engine = start_engine({"model": "m"})
    assert vllm_library.arguments == {"model": "m"}
    assert asyncio.run(_texts(engine)) == ["a wall"]
    [request] = vllm_library.requests
    assert request[1].pop("repetition_detection").told == (16, 6, 4)
    assert request == (
        {"prompt": "p"},
        {"max_tokens": 9, "output_kind": "final only"},
        "id-1",
        {"add_special_tokens": False},
    )
    engine.shutdown()
    assert vllm_library.has_ended


def test_the_death_of_vllm_is_told_from_its_other_errors(vllm_library: SimpleNamespace) -> None:
    engine = start_engine({"model": "m"})
    vllm_library.fault = _EngineDeadError("see above")
    with pytest.raises(EngineDied, match="see above"):
        asyncio.run(_texts(engine))
    vllm_library.fault = ValueError("too long")
    with pytest.raises(ValueError, match="too long"):
        asyncio.run(_texts(engine))


def test_a_vllm_that_does_not_start_is_one_line(vllm_library: SimpleNamespace) -> None:
    vllm_library.fault = RuntimeError("Engine core initialization failed.\nSee above.")
    with pytest.raises(DependencyError) as caught:
        start_engine({"model": "m"})
    assert str(caught.value) == (
        "vLLM does not start with m (Engine core initialization failed); see its messages above"
    )
