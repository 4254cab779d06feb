from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chisquare

from vprcap.caption_sets.caption_set import CaptionConfig
from vprcap.captioners import load_captioner, row_seeds
from vprcap.captioners.sampling import GumbelNoise, gumbel_noise
from vprcap.captioners.transformers import TransformersCaptioner
from vprcap.errors import InvalidError
from vprcap.images import frame
from vprcap.prompt import Prompt

PROMPT = Prompt("test", "Describe the place.")
PHOTOGRAPHS = [
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    for seed in range(8)
]


def never() -> bool:
    return False


def captioner_of(model: Path, **options: Any) -> TransformersCaptioner:
    settings = {"quantization": "none", "max_new_tokens": 8, "temperature": 1.0, **options}
    loaded = load_captioner("transformers", str(model), prompt=PROMPT, framing="pad", **settings)
    assert isinstance(loaded, TransformersCaptioner)
    loaded.load()
    return loaded


def pixels_of(captioner: TransformersCaptioner) -> list[np.ndarray]:
    return [np.asarray(frame(image, captioner.framing)) for image in PHOTOGRAPHS]


def in_batches(
    captioner: TransformersCaptioner, order: Sequence[int], size: int, seeds: Sequence[int]
) -> list[str]:
    """Caption in another order and return the texts in the first one."""
    pixels, texts = pixels_of(captioner), {}
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        own = [seeds[each] for each in batch] if seeds else []
        written = captioner.caption([pixels[each] for each in batch], never, own)
        texts |= {each: one.text for each, one in zip(batch, written, strict=True)}
    return [texts[each] for each in range(len(order))]


def config(**options: Any) -> CaptionConfig:
    return CaptionConfig(
        captioner="transformers",
        model="m",
        revision="r",
        quantization="nf4",
        prompt_name="place",
        prompt="Describe.",
        max_new_tokens=128,
        framing="pad",
        processor={"side": 336},
        dtype="float32",
        **options,
    )


def test_greedy_sets_keep_the_id_that_they_had_before_there_was_sampling() -> None:
    before = "fa017736dd9437639559fe291c69b1c0514aa102f53a6cf6b4f7d640704cfde7"
    assert config().config_id == config(seed=7).config_id == before
    sampled = {config(temperature=t, seed=s).config_id for t in (0.5, 1.0) for s in (0, 1)}
    assert len(sampled) == 4 and before not in sampled


def test_a_seed_depends_on_the_image_the_run_and_the_configuration_and_on_nothing_else() -> None:
    once, again = (row_seeds(config(temperature=1.0), ["aa", "bb", "aa"]) for _ in range(2))
    assert once == again and once[0] == once[2] != once[1]
    others = [config(temperature=1.0, seed=1), config(temperature=0.5)]
    assert len({once[0], *(row_seeds(other, ["aa"])[0] for other in others)}) == 3
    assert row_seeds(config(), ["aa"]) == []


def test_the_noise_has_the_moments_and_the_tails_of_a_gumbel_distribution() -> None:
    noise = torch.cat([gumbel_noise(5, position, 1000) for position in range(200)]).numpy()
    assert noise.mean() == pytest.approx(0.5772, abs=0.015)  # standard error 0.003
    assert noise.var() == pytest.approx(np.pi**2 / 6, abs=0.05)
    for value in (-1.5, 0.0, 2.0, 5.0):
        assert (noise < value).mean() == pytest.approx(np.exp(-np.exp(-value)), abs=0.005)
    shared = len(set(noise[:1000]) & set(noise[1000:2000]))
    assert shared == 0, "positions must not share numbers"


def test_noisy_maxima_are_distributed_as_the_softmax_at_a_temperature() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0])
    num_rows, temperature = 8000, 0.7
    noisy = GumbelNoise(temperature, range(num_rows), num_prompt=3)(
        torch.zeros((num_rows, 3), dtype=torch.int64), logits.expand(num_rows, 5)
    )
    counts = np.bincount(noisy.argmax(1), minlength=5)
    weights = [np.exp(each / temperature) for each in (2, 1, 0, -1, -2)]
    expected = [num_rows * weight / sum(weights) for weight in weights]
    assert chisquare(counts, expected).pvalue > 0.001
    plain = [np.exp(each) for each in (2, 1, 0, -1, -2)]
    wrong = [num_rows * weight / sum(plain) for weight in plain]
    assert chisquare(counts, wrong).pvalue < 1e-6, "the test must notice another temperature"


def test_a_models_first_words_are_distributed_as_its_softmax(random_llava: Path) -> None:
    captioner = captioner_of(random_llava, temperature=0.1, max_new_tokens=1)
    pixels = pixels_of(captioner)[:1]
    inputs = captioner._inputs(pixels)
    with torch.inference_mode():
        probabilities = (captioner._model(**inputs).logits[0, -1].double() / 0.1).softmax(0).numpy()
    num_rows = 3000
    counts: Counter[int] = Counter()
    for start in range(0, num_rows, 250):
        batch = captioner._inputs(pixels * 250)
        seeds = row_seeds(captioner.config, [str(start + row) for row in range(250)])
        counts.update(captioner._tokens(batch, never, seeds)[:, -1].tolist())
    common = np.flatnonzero(probabilities * num_rows >= 20)
    assert len(common) >= 5, "the model must not be certain"
    rest = 1 - probabilities[common].sum()
    expected = num_rows * np.array([*probabilities[common], rest])
    found = np.array([counts[token] for token in common])
    found = np.array([*found, num_rows - found.sum()])
    assert chisquare(found, expected).pvalue > 0.001


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_sampled_text_does_not_depend_on_batch_size_or_order(
    random_llava: Path, quantization: str
) -> None:
    captioner = captioner_of(random_llava, quantization=quantization)
    seeds = row_seeds(captioner.config, [f"image {each}" for each in range(8)])
    alone = in_batches(captioner, range(8), 1, seeds)
    for size, order in (
        (2, range(8)),
        (3, [7, 6, 5, 4, 3, 2, 1, 0]),
        (8, [3, 1, 4, 0, 5, 2, 6, 7]),
    ):
        assert in_batches(captioner, order, size, seeds) == alone
    assert len(set(alone)) == 8
    others = row_seeds(config(temperature=1.0, seed=1), [f"image {each}" for each in range(8)])
    assert in_batches(captioner, range(8), 8, others) != alone


def test_a_low_temperature_comes_near_to_greedy_and_a_high_one_does_not(
    random_llava: Path,
) -> None:
    greedy = in_batches(captioner_of(random_llava, temperature=0.0), range(8), 8, [])
    seeds = list(range(8))
    cold = in_batches(captioner_of(random_llava, temperature=1e-6), range(8), 8, seeds)
    warm = in_batches(captioner_of(random_llava, temperature=1.0), range(8), 8, seeds)
    assert cold == greedy != warm


def test_temperatures_that_make_no_sense_are_refused() -> None:
    options: dict[str, Any] = {"quantization": "none", "framing": "pad", "max_new_tokens": 8}
    for temperature in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidError, match="--temperature .* is out of range"):
            load_captioner("fake", None, prompt=PROMPT, temperature=temperature, **options)
    with pytest.raises(InvalidError, match="labels has nothing to sample"):
        load_captioner("labels", None, prompt=PROMPT, temperature=1.0, **options)
