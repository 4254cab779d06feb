"""The shape of the tiny LLaVA: nothing but small numbers in the configuration of a real one."""

from typing import Any

import torch
from transformers import (
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from vprcap.tiny_llava.pictures import PICTURE_SIZE
from vprcap.tiny_llava.tokens import PATCH_SIZE

WIDTH = 192
HEADS = 6
VISION_LAYERS = 4
TEXT_LAYERS = 3
CONTEXT = 1024


def build_model(processor: LlavaProcessor) -> LlavaForConditionalGeneration:
    """Return an untrained model of under 4 million parameters for the processor's vocabulary."""
    special: dict[str, Any] = {
        "pad_token_id": processor.tokenizer.pad_token_id,
        "bos_token_id": processor.tokenizer.bos_token_id,
        "eos_token_id": processor.tokenizer.eos_token_id,
    }
    config = LlavaConfig(
        vision_config=vision_config(),
        text_config=_text_config(len(processor.tokenizer), special),
        image_token_index=processor.tokenizer.convert_tokens_to_ids(processor.image_token),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=(PICTURE_SIZE // PATCH_SIZE) ** 2,
        tie_word_embeddings=False,
        **special,
    )
    model: LlavaForConditionalGeneration = AutoModelForImageTextToText.from_config(
        config, dtype=torch.float32, attn_implementation="eager"
    )
    model.generation_config = GenerationConfig(do_sample=False, max_new_tokens=96, **special)
    return model


def vision_config() -> CLIPVisionConfig:
    """Return the shape of a vision tower of 2 million parameters that sees 10 x 10 patches."""
    return CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=VISION_LAYERS,
        num_attention_heads=HEADS,
        image_size=PICTURE_SIZE,
        patch_size=PATCH_SIZE,
        hidden_act="gelu",
    )


def _text_config(vocabulary: int, special: dict[str, Any]) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=CONTEXT,
        # 1 / sqrt(WIDTH): with the usual 0.02 a model this narrow starts with vanishing attention.
        initializer_range=WIDTH**-0.5,
        **special,
    )
