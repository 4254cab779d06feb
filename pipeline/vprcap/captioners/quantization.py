"""Quantize the language model and nothing else, and check that this is what happened."""

from importlib.util import find_spec
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

from vprcap.errors import DependencyError, InvalidError


def quantization_config(config: Any, quantization: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    """Build the bitsandbytes configuration for a model whose language part alone is quantized.

    Raises:
        DependencyError: bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise DependencyError(
            f"--quantization {quantization} needs bitsandbytes; "
            "install it with `pip install bitsandbytes`, or say --quantization none"
        )
    skip = _full_precision_modules(config)
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skip)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=True,
        llm_int8_skip_modules=skip,
    )


def _full_precision_modules(config: Any) -> list[str]:
    """Full names of everything but the language model.

    transformers 5 anchors the skip list at the start of a module's name: the widely copied
    ``["vision_tower"]`` matches nothing, and giving any list drops the default skip of the head.
    """
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    decoder = model.get_decoder()
    inner = [
        f"model.{name}"
        for name, child in model.model.named_children()
        if child is not decoder and not any(part is decoder for part in child.modules())
    ]
    return [*inner, "lm_head"]


def check_quantized(model: Any, quantization: str) -> None:
    """Count quantized layers where they must be and where they must not."""
    if quantization == "none":
        return
    import bitsandbytes as bnb

    kind = bnb.nn.Linear4bit if quantization == "nf4" else bnb.nn.Linear8bitLt
    quantized = {name for name, module in model.named_modules() if isinstance(module, kind)}
    decoder = {id(module) for module in model.get_decoder().modules()}
    outside = [name for name in quantized if id(model.get_submodule(name)) not in decoder]
    if outside or not quantized:
        found = f"{outside[0]} was quantized" if outside else "no layer was quantized"
        raise InvalidError(
            f"{quantization} went wrong: {found}; only the language model may be. "
            "Say --quantization none and report the model's name"
        )
