"""A LLaVA of any size with random weights: what a model of that shape costs, none of its words.

The tokenizer, the prompt and the image processor's steps are those of the shipped tiny LLaVA. Every
token that the tokenizer does not know is a word of its own, so equal texts are equal tokens.
"""

import json
import shutil
from pathlib import Path

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from vprcap.tiny_llava import checkpoint_path

_COPIED = ("chat_template.jinja", "generation_config.json", "tokenizer_config.json")


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
    for name in _COPIED:
        shutil.copy(checkpoint_path() / name, folder / name)
    _write_tokenizer(folder, text.vocab_size)
    _write_processor(folder, vision)
    return folder


def _write_tokenizer(folder: Path, vocab_size: int) -> None:
    tokenizer = json.loads((checkpoint_path() / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    words |= {f"\u0120w{number}": number for number in range(len(words), vocab_size)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


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


def llava_200m() -> tuple[CLIPVisionConfig, LlamaConfig]:
    """Realistic proportions at a hundredth of the cost.

    CLIP ViT-B/16 of 86e6 weights, Llama of 134e6. Weights are spread so widely that one token
    hardly foretells the next: with the usual 0.02, a random Llama repeats one word for ever.
    """
    vision = CLIPVisionConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        image_size=224,
        patch_size=16,
        projection_dim=512,
    )
    text = LlamaConfig(
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        vocab_size=32064,
        max_position_embeddings=2048,
        initializer_range=0.06,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return vision, text
