"""The parts of the training that can be checked without training."""

import math

import numpy as np
import torch

from vprcap.city import ATTRIBUTES, Facade, Place, caption_of, city_places, seeds
from vprcap.tiny_llava.language import Lessons, caption_loss, random_wordings
from vprcap.tiny_llava.measure import scores
from vprcap.tiny_llava.pictures import Pictures, render_pictures
from vprcap.tiny_llava.tokens import build_processor
from vprcap.tiny_llava.tower import AttributeHeads, attribute_labels, batches

PLACE = Place(
    left=Facade("red", "brick", "square", "flat", 2, "BANK"),
    right=Facade("white", "timber", "round", "domed", 4, None),
    street="wide",
    landmark=None,
    trees="right",
)


def test_labels_count_the_values_from_one_and_absent_as_zero() -> None:
    labels = dict(zip(ATTRIBUTES, attribute_labels([PLACE])[0].tolist(), strict=True))
    assert labels["left colour"] == 1  # red is the first of the colours
    assert labels["right colour"] == 7  # white the last
    assert (labels["left sign"], labels["right sign"]) == (1, 0)
    assert (labels["left tree"], labels["right tree"]) == (0, 1)
    assert labels["landmark"] == 0


def test_heads_name_every_value_and_absent() -> None:
    logits = AttributeHeads(8)(torch.zeros(2, 5, 8))
    assert [tuple(each.shape) for each in logits] == [
        (2, len(values) + 1) for values in ATTRIBUTES.values()
    ]


def test_batches_show_every_row_before_any_row_twice() -> None:
    torch.manual_seed(0)
    rows = torch.cat(list(batches(num_rows=12, batch=4, steps=6))).tolist()
    assert sorted(rows[:12]) == sorted(rows[12:]) == list(range(12))


def test_rendered_pictures_are_the_same_each_time() -> None:
    first, second = (render_pictures(seeds.TESTS, 4) for _ in range(2))
    assert first.pixels.shape == (4, 160, 160, 3)
    assert np.array_equal(first.pixels, second.pixels)
    assert first.places == city_places(seeds.TESTS, 4)


def test_a_lesson_is_instruction_then_caption_then_end() -> None:
    pictures = Pictures(np.zeros((1, 160, 160, 3), np.uint8), [PLACE], ["day"])
    processor = build_processor(["On the left stands", "Describe this place."])
    lessons = Lessons(processor, pictures, "Describe this place.", prompt_share=1.0, others=())
    lesson = lessons.batch(torch.tensor([0]))
    tokenizer = processor.tokenizer
    told = tokenizer.decode(lesson.ids[0, : -lesson.targets.shape[1]])
    assert told.startswith("<s>USER: <image><image>")
    assert told.endswith("\nASSISTANT:")
    assert told.count("<image>") == 100  # 160 / 16 patches squared
    assert tokenizer.decode(lesson.targets[0]).startswith(" On the left stands a two-")
    assert lesson.ids[0, -1] == tokenizer.eos_token_id


def test_random_wordings_hold_no_token_of_their_own_meaning() -> None:
    processor = build_processor(["On the left stands", "Describe this place."])
    texts = random_wordings(processor, count=50)
    special = set(processor.tokenizer.all_special_ids)
    assert len(set(texts)) == 50
    assert not any(special & set(processor.tokenizer(text)["input_ids"]) for text in texts)


def test_scores_are_told_for_each_condition_and_attribute() -> None:
    pictures = Pictures(np.zeros((2, 1, 1, 3), np.uint8), [PLACE, PLACE], ["day", "fog"])
    report = scores([caption_of(PLACE), ""], pictures)
    assert report["accuracy"] == {"all": 0.5, "day": 1.0, "fog": 0.0}
    assert report["hallucination"] == {"all": 0.0, "day": 0.0, "fog": 0.0}
    assert report["accuracy_of_attributes"]["colour"] == 0.5
    assert report["accuracy_of_attributes_by_day"]["sign"] == 1.0


def test_the_loss_is_the_mean_over_caption_tokens_without_padding() -> None:
    """A model that is sure of token 3 everywhere loses nothing where 3 is right."""
    pad = 0
    sure_of_three = torch.zeros(1, 3, 5)
    sure_of_three[..., 3] = 50.0
    right = caption_loss(sure_of_three, torch.tensor([[3, 3, pad]]), pad)
    wrong = caption_loss(sure_of_three, torch.tensor([[3, 4, pad]]), pad)
    assert math.isclose(right.item(), 0.0, abs_tol=1e-6)
    assert math.isclose(wrong.item(), 25.0, rel_tol=1e-3)  # the mean of 0 and 50
