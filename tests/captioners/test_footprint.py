"""Estimated memory, held against memory that was counted on real models."""

import pytest
import torch
from transformers import LlamaConfig

from vprcap.captioners.checkpoint import load_model, open_checkpoint
from vprcap.captioners.footprint import Footprint, _llava, footprint, llava_configs

GIB = 2**30


@pytest.mark.parametrize(
    ("quantization", "weights", "batches"),
    [  # GiB as `make gpu` measured them on an H200: README, "On a GPU"
        ("none", 13.2, {16: 19.9, 64: 40.1, 128: 67.0}),
        ("nf4", 4.3, {16: 11.0, 64: 31.2, 128: 58.1}),
    ],
)
def test_estimates_for_the_shape_of_llava_7b_are_what_a_gpu_took(
    quantization: str, weights: float, batches: dict[int, float]
) -> None:
    config = llava_configs()["llava-hf/llava-1.5-7b-hf"]
    estimate = footprint(config, quantization)
    assert estimate.weights / GIB == pytest.approx(weights, rel=0.03)
    for batch_size, measured in batches.items():
        static = estimate.weights + batch_size * estimate.image
        assert static / GIB == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
def test_weights_are_as_many_bytes_as_those_of_a_model_that_is_loaded(
    quantization: str, dtype: torch.dtype
) -> None:
    checkpoint = open_checkpoint("packaged:tiny-llava")
    loaded = load_model(checkpoint, quantization, dtype, "cpu")
    counted = sum(each.numel() * each.element_size() for each in loaded.parameters())
    estimate = footprint(checkpoint.config, quantization, dtype)
    assert estimate.weights == pytest.approx(counted, rel=0.05)


def test_an_image_takes_a_key_and_a_value_of_each_token_in_each_layer() -> None:
    text = LlamaConfig(
        vocab_size=100,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=8,
        num_key_value_heads=2,
    )
    # 576 + 128 + 100 tokens, 2 bytes, key and value, 3 layers, 2 heads of 64 / 8 numbers.
    assert footprint(_llava(text), "none", max_new_tokens=100).image == 804 * 2 * 2 * 3 * 2 * 8


def test_the_largest_batch_leaves_room_for_the_weights() -> None:
    estimate = Footprint(weights=1000, image=300)
    assert [estimate.batch_size(room) for room in (999, 1299, 1300, 1899, 1900)] == [0, 0, 0, 1, 2]
    assert estimate.total(2) == 1900  # one more waits for a row
    assert estimate.total(8) == 1000 + 10 * 300 and estimate.batch_size(4000) == 8
