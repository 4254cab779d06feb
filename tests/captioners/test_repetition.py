"""Captions that go in circles end in the circle, at the same token whoever writes them."""

import random
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from vprcap.caption_sets.caption_set import CaptionConfig
from vprcap.caption_sets.qa import flags_of
from vprcap.captioners import Generated, load_captioner
from vprcap.captioners.repetition import LONGEST_CIRCLE, is_looping, loops_after
from vprcap.captioners.transformers import TransformersCaptioner
from vprcap.prompt import Prompt

LIMIT = 160


def never() -> bool:
    return False


def captioner_of(model: Path, **options: Any) -> TransformersCaptioner:
    settings = {"quantization": "none", "max_new_tokens": LIMIT, "framing": "pad", **options}
    loaded = load_captioner("transformers", str(model), prompt=Prompt("p", "Describe."), **settings)
    assert isinstance(loaded, TransformersCaptioner)
    loaded.load()
    return loaded


def pictures(captioner: TransformersCaptioner, number: int) -> list[np.ndarray]:
    side = captioner.framing.side
    return [
        np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
        for seed in range(number)
    ]


def written_by_running(
    captioner: TransformersCaptioner, pixels: list[np.ndarray]
) -> list[Generated]:
    """Write them four at a time, images entering as others leave."""
    batch = captioner.running(4)
    assert batch is not None
    names, found = [str(number) for number in range(len(pixels))], {}
    entered = 0
    while len(found) < len(pixels):
        wanted = min(batch.wanted, len(pixels) - entered)
        entering = range(entered, entered + wanted)
        entered += wanted
        found |= dict(
            batch.advance([names[i] for i in entering], [pixels[i] for i in entering], [], never)
        )
    return [found[name] for name in names]


@pytest.mark.parametrize(
    ("tokens", "ended_after"),
    [
        ([7] * 23, None),  # too few
        ([7] * 30, 24),
        ([1, 2, 3] * 7, None),
        ([1, 2, 3] * 9, 24),
        ([9, 8, *[1, 2, 3, 4, 5, 6, 7] * 5], 2 + 28),  # four times seven
        (list(range(16)) * 4, 64),
        (list(range(17)) * 8, None),  # too long a phrase
        ([*[5, 6] * 6, 7, *[5, 6] * 6], None),  # broken off
        (list(range(100)), None),
        ([], None),
        ([1], None),
    ],
)
def test_a_phrase_that_comes_again_four_times_ends_a_caption(
    tokens: list[int], ended_after: int | None
) -> None:
    assert loops_after(tokens) == ended_after


def test_the_rule_holds_token_by_token() -> None:
    def slowly(tokens: list[int]) -> bool:
        """Say whether some phrase of 1 to 16 tokens was said four times, in 24 tokens or more."""
        for phrase in range(1, 17):
            circle = max(4 * phrase, 24)
            if len(tokens) >= circle and all(
                tokens[-back] == tokens[-back - phrase] for back in range(1, circle - phrase + 1)
            ):
                return True
        return False

    rng = random.Random(0)
    looping = 0
    for _ in range(3000):
        words = [1, 2] if rng.random() < 0.5 else [1, 2, 3, 4, 5, 6]
        phrase = rng.choices(words, k=rng.randint(1, 18))
        tokens = rng.choices(words, k=rng.randint(0, 5)) + phrase * rng.randint(1, 30)
        assert is_looping(tokens) == slowly(tokens)
        looping += is_looping(tokens)
    assert 500 < looping < 2500


def test_only_the_end_of_a_caption_is_looked_at() -> None:
    tokens = list(range(1000, 1200)) + list(range(16)) * 4
    assert is_looping(tokens) and is_looping(tokens[-LONGEST_CIRCLE:])
    assert not is_looping(tokens[-LONGEST_CIRCLE + 1 :])


def test_batches_and_running_batches_end_circles_at_the_token_where_they_are_found(
    random_llava: Path,
) -> None:
    captioner = captioner_of(random_llava)
    pixels = pictures(captioner, 9)
    together = captioner.caption(pixels, never)
    alone = [captioner.caption([each], never)[0] for each in pixels]
    assert together == alone == written_by_running(captioner, pixels)
    with patch("vprcap.captioners.transformers.is_looping", return_value=False):
        with patch("vprcap.captioners.transformers.loops_after", return_value=None):
            whole = captioner.caption(pixels, never)
    assert {each.finish_reason for each in whole} == {"length"}
    circles = [each.finish_reason == "repetition" for each in together]
    assert any(circles), "no caption goes in circles: another seed for random_llava"
    for short, long, in_circles in zip(together, whole, circles, strict=True):
        assert (short == long) is not in_circles
        assert long.text.startswith(short.text) and (short.num_output_tokens or 0) >= 24


def test_the_end_of_circles_is_part_of_the_configuration(random_llava: Path) -> None:
    config = captioner_of(random_llava).config
    assert config.repetition_stop
    fields = {name: getattr(config, name) for name in CaptionConfig.__dataclass_fields__}
    before = CaptionConfig(**{**fields, "repetition_stop": ""})
    assert before.config_id != config.config_id
    assert "repetition" in flags_of("a house a house", "repetition", "")
