import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig

from vprcap.captioners import load_captioner
from vprcap.captioners.checkpoint import open_checkpoint
from vprcap.captioners.quantization import check_quantized
from vprcap.captioners.transformers import TransformersCaptioner
from vprcap.errors import DependencyError, Interrupted, InvalidError, MissingError
from vprcap.images import frame
from vprcap.prompt import Prompt

PROMPT = Prompt("test", "Describe the place.")
PHOTOGRAPHS = [
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    for seed in range(5)
]


def never() -> bool:
    return False


def captioner_of(model: Path | str, **options: Any) -> TransformersCaptioner:
    settings = {"quantization": "none", "framing": "pad", "max_new_tokens": 8, **options}
    loaded = load_captioner("transformers", str(model), prompt=PROMPT, **settings)
    assert isinstance(loaded, TransformersCaptioner)
    loaded.load()
    return loaded


def texts(captioner: TransformersCaptioner, images: list[Image.Image]) -> list[str]:
    pixels = [np.asarray(frame(image, captioner.framing)) for image in images]
    return [written.text for written in captioner.caption(pixels, never)]


@pytest.mark.parametrize("framing", ["pad", "crop"])
def test_captions_equal_those_of_the_plain_processor_and_generate(
    random_llava: Path, framing: str
) -> None:
    processor = AutoProcessor.from_pretrained(random_llava, backend="pil")
    model = AutoModelForImageTextToText.from_pretrained(random_llava, dtype=torch.float32)
    conversation = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT.text}]}
    ]
    text = processor.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
    expected = []
    for image in PHOTOGRAPHS:
        if framing == "pad":  # 60x40 to 56x37 in a square of the colour of the processor's mean
            square = Image.new("RGB", (56, 56), (123, 117, 104))
            square.paste(image.resize((56, 37), Image.Resampling.BICUBIC), (0, 9))
            image = square
        inputs = processor(text=text, images=image, return_tensors="pt")
        output = model.generate(**inputs, do_sample=False, max_new_tokens=8)
        prompt_length = inputs["input_ids"].shape[1]
        answer = processor.decode(output[0, prompt_length:], skip_special_tokens=True)
        expected.append(answer.strip())
    assert texts(captioner_of(random_llava, framing=framing), PHOTOGRAPHS) == expected
    assert len(set(expected)) > 1, "the pictures must matter"


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
def test_a_caption_does_not_depend_on_its_batch(random_llava: Path, quantization: str) -> None:
    captioner = captioner_of(random_llava, quantization=quantization)
    together = texts(captioner, PHOTOGRAPHS)
    assert together == [texts(captioner, [image])[0] for image in PHOTOGRAPHS]


@pytest.mark.parametrize(
    ("quantization", "kind"), [("nf4", "Linear4bit"), ("int8", "Linear8bitLt")]
)
def test_only_the_language_model_is_quantized(
    random_llava: Path, quantization: str, kind: str
) -> None:
    model = captioner_of(random_llava, quantization=quantization)._model
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    quantized = {name for name, found in kinds.items() if found == kind}
    assert quantized and all(name.startswith("model.language_model.layers.") for name in quantized)
    assert len(quantized) == 2 * 7  # layers x (q, k, v, o, gate, up, down)
    assert kinds["lm_head"] == "Linear"
    assert kinds["model.multi_modal_projector.linear_1"] == "Linear"


def test_the_skip_list_that_everybody_copies_is_caught(random_llava: Path) -> None:
    wrong = BitsAndBytesConfig(
        load_in_4bit=True, llm_int8_skip_modules=["vision_tower", "multi_modal_projector"]
    )
    model = AutoModelForImageTextToText.from_pretrained(
        random_llava, quantization_config=wrong, device_map="cpu", dtype=torch.float32
    )
    with pytest.raises(InvalidError, match="was quantized; only the language model may be"):
        check_quantized(model, "nf4")


def test_the_end_of_a_caption_is_told_from_its_being_cut(random_llava: Path) -> None:
    captioner = captioner_of(random_llava)
    pixels = [np.asarray(frame(PHOTOGRAPHS[0], captioner.framing))]
    cut = captioner.caption(pixels, never)[0]
    assert (cut.finish_reason, cut.num_output_tokens) == ("length", 8)
    second = captioner._generate(pixels, never)[0]
    assert second == cut
    end = captioner._model.generation_config
    tokens = captioner._checkpoint.processor.tokenizer(cut.text, add_special_tokens=False)
    end.eos_token_id = [2, tokens["input_ids"][-1]]  # let the last token that it writes end it
    ended = captioner.caption(pixels, never)[0]
    assert ended.finish_reason == "stop" and ended.num_output_tokens < 8


def test_padding_is_put_on_the_left_whatever_the_checkpoint_says(random_llava: Path) -> None:
    stored = json.loads((random_llava / "tokenizer_config.json").read_text())
    assert stored["padding_side"] == "right"
    assert open_checkpoint(str(random_llava)).processor.tokenizer.padding_side == "left"


def test_an_old_checkpoint_without_patch_size_is_completed(
    random_llava: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(random_llava, old)
    settings = json.loads((old / "processor_config.json").read_text())
    del settings["patch_size"]
    (old / "processor_config.json").write_text(json.dumps(settings))
    assert texts(captioner_of(old), PHOTOGRAPHS) == texts(captioner_of(random_llava), PHOTOGRAPHS)


def test_missing_weights_are_refused_and_not_made_up(random_llava: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(random_llava, broken)
    weights = load_file(broken / "model.safetensors")
    lost = [name for name in weights if "multi_modal_projector" in name and "weight" in name]
    save_file({k: v for k, v in weights.items() if k not in lost}, broken / "model.safetensors")
    with pytest.raises(InvalidError, match="lacks 2 weights, first .*projector.linear_1.weight"):
        captioner_of(broken)
    whole = (random_llava / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(whole[:-1000])
    with pytest.raises(InvalidError, match="is no usable vision-language model"):
        captioner_of(broken)


def test_a_models_own_habits_of_decoding_are_dropped(random_llava: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(random_llava, other)
    habits = json.loads((other / "generation_config.json").read_text())
    habits |= {"repetition_penalty": 5.0, "min_new_tokens": 3, "do_sample": True}
    (other / "generation_config.json").write_text(json.dumps(habits))
    assert texts(captioner_of(other), PHOTOGRAPHS) == texts(captioner_of(random_llava), PHOTOGRAPHS)


def test_one_checkpoint_has_one_configuration_however_its_path_is_spelt(
    random_llava: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(random_llava)
    ids = {captioner_of(spelling).config.config_id for spelling in (random_llava, ".")}
    assert len(ids) == 1


def test_asked_to_stop_it_ends_within_a_token(random_llava: Path) -> None:
    captioner = captioner_of(random_llava, max_new_tokens=200)
    asked = []

    def after_three_tokens() -> bool:
        asked.append(None)
        return len(asked) >= 3

    pixels = [np.asarray(frame(PHOTOGRAPHS[0], captioner.framing))]
    with pytest.raises(Interrupted):
        captioner.caption(pixels, after_three_tokens)
    assert len(asked) <= 4


def test_other_weights_make_another_configuration(random_llava: Path, tmp_path: Path) -> None:
    other = tmp_path / random_llava.name
    shutil.copytree(random_llava, other)
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    first, second = (captioner_of(path).config for path in (random_llava, other))
    assert first.config_id != second.config_id
    assert captioner_of(random_llava).config.config_id == first.config_id


def test_an_unknown_model_says_what_to_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingError, match="no model"):
        open_checkpoint(str(tmp_path / "nothing"))
    with pytest.raises(InvalidError, match="is no usable vision-language model"):
        open_checkpoint(str(tmp_path))
    with pytest.raises(DependencyError, match=r"cannot load model .* packaged:tiny-llava"):
        open_checkpoint("llava-hf/no-such-model")


def test_missing_bitsandbytes_names_the_remedy(
    random_llava: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vprcap.captioners.quantization.find_spec", lambda name: None)
    assert importlib.util.find_spec("bitsandbytes") is not None
    with pytest.raises(DependencyError, match="pip install bitsandbytes"):
        captioner_of(random_llava, quantization="nf4")


def test_unknown_choices_are_named() -> None:
    for options, message in (
        ({"quantization": "nf5"}, "--quantization 'nf5' is unknown; choose nf4, int8, none"),
        ({"framing": "tile"}, "--framing 'tile' is unknown"),
        ({"max_new_tokens": 0}, "--max-new-tokens 0 is too small"),
    ):
        with pytest.raises(InvalidError, match=message):
            captioner_of("any", **options)
    with pytest.raises(InvalidError, match="--captioner 'gpt' is unknown"):
        load_captioner(
            "gpt", "x", quantization="none", prompt=PROMPT, framing="pad", max_new_tokens=1
        )
