"""Memory that a captioner will take, counted on a model without weights.

Estimates: activations, the vision tower's included, and what libraries keep come on top. Against a
LLaVA of the 7B's shape on an H200 they came out right within 5 % (README, "On a GPU").
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    PreTrainedConfig,
)

from vprcap.captioners import MAX_NEW_TOKENS
from vprcap.captioners.running import SHARE_AHEAD

_BYTES_QUANTIZED = {"nf4": 1 / 2 + 1 / 64 + 4 / (64 * 256), "int8": 1.0}
"""Of a weight. NF4 keeps a byte for every 64 weights, and four for 256 of those (double quant)."""
_PICTURE_TOKENS, _PROMPT_TOKENS = 576, 128
"""Of a picture, where a model's configuration does not say, and of a prompt with its template."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of a model's weights, and of each image of a batch: its keys and values."""

    weights: int
    image: int

    def total(self, batch_size: int) -> int:
        """Return the bytes of a whole batch in work, and of the images that it holds ahead."""
        return self.weights + _held(batch_size) * self.image

    def batch_size(self, num_bytes: int) -> int:
        """Return the largest batch for which so much memory is enough; 0: not even the weights."""
        most = max(0, (num_bytes - self.weights) // self.image)
        return max((size for size in range(most + 1) if _held(size) <= most), default=0)


def _held(batch_size: int) -> int:
    """Return how many images a running batch holds: `vprcap.captioners.running`."""
    return batch_size + max(1, batch_size // SHARE_AHEAD)


def footprint(
    config: PreTrainedConfig,
    quantization: str,
    dtype: torch.dtype = torch.bfloat16,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> Footprint:
    """Estimate what captioning with a model of this configuration takes.

    Args:
        config: of a vision-language model.
        quantization: ``nf4``, ``int8`` or ``none``, of the language model alone.
        dtype: in which it computes: half precision on a GPU, float32 on a CPU.
        max_new_tokens: tokens of a caption at most.
    """
    with torch.device("meta"):
        model: Any = AutoModelForImageTextToText.from_config(config)
    weights = dtype.itemsize * sum(parameter.numel() for parameter in model.parameters())
    if quantization != "none":
        linear = (
            each.weight.numel()
            for each in model.get_decoder().modules()
            if isinstance(each, torch.nn.Linear)
        )
        weights -= round(sum(linear) * (dtype.itemsize - _BYTES_QUANTIZED[quantization]))
    picture = getattr(config, "image_seq_length", None) or _PICTURE_TOKENS
    length = picture + _PROMPT_TOKENS + max_new_tokens
    return Footprint(weights, length * dtype.itemsize * _entry_size(config.get_text_config()))


def _entry_size(text: Any) -> int:
    """Return how many numbers a token has in the attention cache: key and value in every layer."""
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return int(2 * text.num_hidden_layers * heads * size)


def llava_configs() -> dict[str, LlavaConfig]:
    """Return the shapes of LLaVA-1.5 by name, so that its needs are known without a hub."""
    large = LlamaConfig(
        vocab_size=32064,
        hidden_size=5120,
        intermediate_size=13824,
        num_hidden_layers=40,
        num_attention_heads=40,
    )
    return {
        "llava-hf/llava-1.5-7b-hf": _llava(LlamaConfig(vocab_size=32064)),
        "llava-hf/llava-1.5-13b-hf": _llava(large),
    }


def _llava(text: LlamaConfig) -> LlavaConfig:
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
        projection_dim=768,
    )
    return LlavaConfig(vision_config=vision, text_config=text)
