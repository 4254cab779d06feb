"""Captions by any ``AutoModelForImageTextToText`` model: LLaVA and its kind, quantized or not.

What goes wrong silently elsewhere is checked here: the vision tower, the projector and the output
head stay in full precision and this is counted after loading; padding is on the left; prompts of
one batch have equal length; the patch size is never absent. Weights are safetensors, and no code
from a model repository is run.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from transformers import LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from vprcap.caption_sets.caption_set import CaptionConfig
from vprcap.captioners import Generated
from vprcap.captioners.ahead import Beside, Prefilled
from vprcap.captioners.checkpoint import load_model, open_checkpoint
from vprcap.captioners.drafts import Drafts
from vprcap.captioners.in_memory import in_memory
from vprcap.captioners.repetition import LONGEST_CIRCLE, RULE, is_looping, loops_after
from vprcap.captioners.running import RunningBatch, Writer, can_run
from vprcap.captioners.sampling import GumbelNoise
from vprcap.captioners.step_choice import StepChoice
from vprcap.errors import Interrupted
from vprcap.images import Framing
from vprcap.prompt import Prompt


class TransformersCaptioner:
    """Captions, greedy or sampled, from a vision-language model."""

    def __init__(
        self,
        model: str,
        *,
        quantization: str,
        prompt: Prompt,
        framing: str,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._checkpoint = open_checkpoint(model)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.cuda.get_device_name() if self._device == "cuda" else "cpu"
        self._dtype = _compute_dtype(self._device)
        self._quantization = quantization
        self._max_new_tokens = max_new_tokens
        self._text = self._checkpoint.render(prompt.text)
        self._model: Any = None
        self._step_choice = StepChoice(self._device)
        self._drafts = Drafts()
        self.framing = Framing(framing, self._checkpoint.side, self._checkpoint.fill)
        self.config = CaptionConfig(
            captioner="transformers",
            model=self._checkpoint.name,
            revision=self._checkpoint.revision,
            quantization=quantization,
            prompt_name=prompt.name,
            prompt=prompt.text,
            max_new_tokens=max_new_tokens,
            framing=framing,
            processor=self._checkpoint.processor_identity,
            dtype=str(self._dtype).removeprefix("torch."),
            temperature=temperature,
            seed=seed,
            repetition_stop=RULE,
        )

    def load(self) -> None:
        """Load the weights onto the GPU, or the CPU where there is none."""
        self._model = load_model(self._checkpoint, self._quantization, self._dtype, self._device)
        self._beside = Beside(self._device)

    def caption(
        self,
        pixels: Sequence[UInt8[np.ndarray, "_ _ 3"]],
        should_stop: Callable[[], bool],
        seeds: Sequence[int] = (),
    ) -> list[Generated]:
        """Caption a batch. Pictures of one size have prompts of one length: they go together."""
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for position, image in enumerate(pixels):
            groups[image.shape].append(position)
        captions: list[Generated | None] = [None] * len(pixels)
        for positions in groups.values():
            own_seeds = [seeds[position] for position in positions] if seeds else []
            written = self._generate([pixels[each] for each in positions], should_stop, own_seeds)
            for position, caption in zip(positions, written, strict=True):
                captions[position] = caption
        return [caption for caption in captions if caption is not None]

    def running(self, num_slots: int) -> RunningBatch | None:
        """Start a batch that does not wait for its longest caption.

        None where prompts differ in length, or where the model is not known to allow it.
        """
        if self.framing.side is None or not can_run(self._model):
            return None
        writer = Writer(
            self._model,
            self._prefill,
            self._beside,
            self._read,
            self._checkpoint.end_ids(self._model),
            self._max_new_tokens,
            self.config.temperature,
            self._step_choice,
            self._drafts,
        )
        return RunningBatch(writer, num_slots)

    def _generate(
        self,
        pixels: Sequence[np.ndarray],
        should_stop: Callable[[], bool],
        seeds: Sequence[int] = (),
    ) -> list[Generated]:
        def compute() -> tuple[int, torch.Tensor]:
            inputs = self._inputs(pixels)
            return inputs["input_ids"].shape[1], self._tokens(inputs, should_stop, seeds)

        num_prompt, tokens = in_memory(compute)
        if should_stop():
            raise Interrupted("stopped while a batch was being captioned")
        return [self._read(row, num_prompt) for row in tokens[:, num_prompt:].tolist()]

    def _tokens(
        self, inputs: Any, should_stop: Callable[[], bool], seeds: Sequence[int]
    ) -> torch.Tensor:
        """Generate: prompt and caption of each row, padded behind its end."""
        noise, num_prompt = LogitsProcessorList(), inputs["input_ids"].shape[1]
        if self.config.temperature:
            noise.append(GumbelNoise(self.config.temperature, seeds, num_prompt))
        with torch.inference_mode():
            tokens: torch.Tensor = self._model.generate(
                **inputs,
                max_new_tokens=self._max_new_tokens,
                logits_processor=noise,
                stopping_criteria=StoppingCriteriaList(
                    [_StopWhen(should_stop), _StopLoops(num_prompt)]
                ),
            )
        return tokens

    def _inputs(self, pixels: Sequence[np.ndarray]) -> Any:
        """Tokenize the prompt and normalise the pixels, which are framed and resized already."""
        images = [Image.fromarray(image) for image in pixels]
        tokenizer = self._checkpoint.processor.tokenizer
        inputs = self._checkpoint.processor(
            text=[self._text] * len(images),
            images=images,
            return_tensors="pt",
            padding=True,
            add_special_tokens=not self._text.startswith(tokenizer.bos_token or "\0"),
            **self._checkpoint.image_options,
        )
        lengths = inputs["attention_mask"].sum(1)
        assert lengths.min() == lengths.max(), "prompts of one picture size differ in length"
        if self._device == "cpu":
            return inputs.to(self._device, self._dtype)
        for name, tensor in inputs.to(dtype=self._dtype).items():
            inputs[name] = tensor.pin_memory().to(self._device, non_blocking=True)
        return inputs

    def _prefill(self, pixels: Sequence[np.ndarray]) -> Prefilled:
        """Run all that comes before the first token: processor, vision tower, language model."""
        inputs = self._inputs(pixels)
        read = self._model(**inputs, use_cache=True, logits_to_keep=1)
        entries = [(layer.keys, layer.values) for layer in read.past_key_values.layers]
        return Prefilled(inputs["input_ids"].shape[1], entries, read.logits)

    def _read(self, row: Sequence[int], num_prompt: int) -> Generated:
        """Make a caption of its tokens, up to the first that ends one or the end of a circle."""
        ended = np.isin(row, self._checkpoint.end_ids(self._model))
        num_output = int(ended.argmax()) if ended.any() else len(row)
        reason = "stop" if ended.any() else "length"
        if (in_circles := loops_after(row[:num_output])) is not None:
            num_output, reason = in_circles, "repetition"
        text = self._checkpoint.processor.decode(row[:num_output], skip_special_tokens=True)
        return Generated(text.strip(), reason, num_prompt, num_output)


class _StopWhen(StoppingCriteria):
    """Ends `generate` at the next token when the run is asked to stop."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self._should_stop = should_stop

    def __call__(
        self, input_ids: torch.Tensor, scores: torch.Tensor | None, **_: Any
    ) -> torch.Tensor:
        return torch.full((len(input_ids),), self._should_stop(), device=input_ids.device)


class _StopLoops(StoppingCriteria):
    """Ends a row of `generate` that goes in circles."""

    def __init__(self, num_prompt: int) -> None:
        self._num_prompt = num_prompt

    def __call__(
        self, input_ids: torch.Tensor, scores: torch.Tensor | None, **_: Any
    ) -> torch.Tensor:
        written = input_ids[:, self._num_prompt :][:, -LONGEST_CIRCLE:].tolist()
        return torch.tensor([is_looping(row) for row in written], device=input_ids.device)


def _compute_dtype(device: str) -> torch.dtype:
    """Half precision on a GPU; a CPU without half-precision units is fastest in float32."""
    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
