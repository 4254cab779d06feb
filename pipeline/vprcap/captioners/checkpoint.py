"""A vision-language checkpoint: resolved, identified and loaded with the right parts quantized."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationConfig,
)

from vprcap.captioners.quantization import check_quantized, quantization_config
from vprcap.captioners.source import (
    directory_hash,
    hub_revision,
    is_path,
    local_folder,
    mean_colour,
    processor_identity,
    refuse_gaps,
    shown_name,
)
from vprcap.errors import DependencyError, InvalidError, MissingError, first_line
from vprcap.quiet import quiet_libraries

_PACKAGED = "packaged:tiny-llava"
# Processors that bring every picture to one square; others choose a size per picture.
_SQUARE_PROCESSORS = ("CLIPImage", "BitImage", "ViTImage", "LlavaImage", "SiglipImage")


@dataclass(frozen=True)
class Checkpoint:
    """A model's configuration and processor; its weights are not loaded yet."""

    name: str
    source: str
    """Directory or hub name that transformers loads from."""
    revision: str
    config: Any
    processor: Any

    @property
    def side(self) -> int | None:
        """Pixels of the square that the processor makes; None where it adapts to the picture."""
        image_processor = self.processor.image_processor
        if not type(image_processor).__name__.startswith(_SQUARE_PROCESSORS):
            return None
        size = image_processor.crop_size if _crops(image_processor) else image_processor.size
        return int(size["height"]) if size and "height" in size else None

    @property
    def fill(self) -> tuple[int, int, int]:
        """Colour that the processor maps to zero: its mean, 0 to 255."""
        return mean_colour(self.processor.image_processor)

    @property
    def image_options(self) -> dict[str, Any]:
        """Keep the processor from resizing what the decode workers resized already."""
        return {} if self.side is None else {"do_resize": False, "do_center_crop": False}

    @property
    def processor_identity(self) -> dict[str, Any]:
        """What of the image processor changes the text."""
        return processor_identity(self.processor.image_processor)

    def render(self, prompt: str) -> str:
        """Place the image and the prompt with the model's own chat template."""
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        try:
            text: str = self.processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
            )
        except TemplateError as problem:
            raise InvalidError(
                f"the chat template of {self.name} does not work: {first_line(problem)}"
            ) from None
        return text

    def end_ids(self, model: Any) -> list[int]:
        """Token ids that end a caption."""
        end = model.generation_config.eos_token_id
        return list(end) if isinstance(end, list) else [end]


def open_checkpoint(model: str) -> Checkpoint:
    """Resolve a model name and read its configuration and processor.

    Raises:
        MissingError: a local directory without a model.
        DependencyError: neither the hub nor its cache has it.
        InvalidError: it has no chat template, or needs code of its own.
    """
    source = _source(model)
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        revision = getattr(config, "_commit_hash", None) or directory_hash(Path(source))
        processor = AutoProcessor.from_pretrained(
            source, trust_remote_code=False, backend="pil", revision=hub_revision(source, revision)
        )
    except (OSError, ValueError, KeyError) as problem:
        raise _load_error(model, problem) from None
    if getattr(processor, "chat_template", None) is None:
        raise InvalidError(f"model {model} has no chat template; choose an instruction-tuned one")
    _complete(processor, config)
    return Checkpoint(shown_name(model), source, revision, config, processor)


def _source(model: str) -> str:
    if model == _PACKAGED:
        from vprcap.tiny_llava import checkpoint_path

        return str(checkpoint_path())
    folder = local_folder(model)
    if folder is None and (model.startswith("packaged:") or is_path(model)):
        raise MissingError(f"no model {model}; give a hub name, a directory or {_PACKAGED}")
    return model if folder is None else str(folder)


def _load_error(model: str, problem: Exception) -> Exception:
    reason = first_line(problem)
    if Path(model).is_dir():
        return InvalidError(f"{model} is no usable vision-language model: {reason}")
    return DependencyError(
        f"cannot load model {model} ({reason}); "
        f"download it where the hub can be reached and give its directory, or try {_PACKAGED}"
    )


def _complete(processor: Any, config: Any) -> None:
    """Fill in what old checkpoints leave out and put padding on the left."""
    processor.tokenizer.padding_side = "left"
    if processor.tokenizer.pad_token_id is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    if getattr(processor, "patch_size", 0) is None:
        vision = config.vision_config
        processor.patch_size = vision.patch_size
        processor.vision_feature_select_strategy = config.vision_feature_select_strategy
        processor.num_additional_image_tokens = 0 if "siglip" in vision.model_type else 1


def load_model(checkpoint: Checkpoint, quantization: str, dtype: torch.dtype, device: str) -> Any:
    """Load the weights, quantizing the language model only.

    Raises:
        DependencyError: quantization without bitsandbytes.
        InvalidError: the weights do not fit the model class.
    """
    quiet_libraries()
    options: dict[str, Any] = {}
    if quantization != "none":
        options["quantization_config"] = quantization_config(checkpoint.config, quantization, dtype)
    try:
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            checkpoint.source,
            revision=hub_revision(checkpoint.source, checkpoint.revision),
            dtype=dtype,
            device_map={"": 0 if device == "cuda" else "cpu"},
            attn_implementation="sdpa",
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as problem:
        raise _load_error(checkpoint.source, problem) from None
    model, loading = loaded
    refuse_gaps(checkpoint.source, loading, "fetch the checkpoint again")
    model.generation_config = _special_tokens(checkpoint, model.generation_config)
    check_quantized(model, quantization)
    return model.eval()


def _special_tokens(checkpoint: Checkpoint, stored: GenerationConfig) -> GenerationConfig:
    """Keep a model's special tokens and drop its other habits, such as sampling or penalties."""
    return GenerationConfig(
        bos_token_id=stored.bos_token_id,
        eos_token_id=stored.eos_token_id,
        pad_token_id=checkpoint.processor.tokenizer.pad_token_id,
        do_sample=False,
    )


def _crops(image_processor: Any) -> bool:
    return bool(getattr(image_processor, "do_center_crop", False))
