"""A LLaVA of any size with random weights: what a model of that shape costs, none of its words.

The tokenizer, the prompt and the image processor's steps are those of the shipped tiny LLaVA.
"""

import json
import shutil
from pathlib import Path

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from vprcap.tiny_llava import checkpoint_path

_TOKENIZER = ("chat_template.jinja", "generation_config.json", "tokenizer.json")


def write_random_llava(
    folder: Path, vision: CLIPVisionConfig, text: LlamaConfig, dtype: torch.dtype, device: str
) -> Path:
    """Save a LLaVA with random weights of these shapes and return its folder."""
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=3,
        image_seq_length=(vision.image_size // vision.patch_size) ** 2,
        vision_feature_layer=-2,
        pad_token_id=0,
    )
    with torch.device(device):
        LlavaForConditionalGeneration(config).to(dtype).save_pretrained(folder)
    for name in (*_TOKENIZER, "tokenizer_config.json"):
        shutil.copy(checkpoint_path() / name, folder / name)
    _write_processor(folder, vision)
    return folder


def _write_processor(folder: Path, vision: CLIPVisionConfig) -> None:
    settings = json.loads((checkpoint_path() / "processor_config.json").read_text())
    side = vision.image_size
    settings["image_processor"] |= {
        "crop_size": {"height": side, "width": side},
        "size": {"shortest_edge": side},
    }
    settings |= {"patch_size": vision.patch_size}
    (folder / "processor_config.json").write_text(json.dumps(settings))


def llava_15_7b() -> tuple[CLIPVisionConfig, LlamaConfig]:
    """Shapes of llava-1.5-7b-hf: CLIP ViT-L/14 at 336 pixels, and a Llama of 6.7e9 weights."""
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
        projection_dim=768,
    )
    text = LlamaConfig(
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        vocab_size=32064,
        max_position_embeddings=4096,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return vision, text
