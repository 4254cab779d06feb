from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vprcap.caption_sets.qa import FLAGS, badness, find_flags, flags_of

PLACE = Path("prompts/place.txt").read_text()
"""Forbids weather, light, season, people and vehicles."""
GOOD = (
    "On the left stands a three-storey house of red brick with white sash windows; on the right "
    "a pub with a green front and the sign 'THE CROWN'. The road bends to the left behind them."
)


def flags(caption: str, finish_reason: str = "stop", prompt: str = PLACE) -> list[str]:
    return flags_of(caption, finish_reason, prompt)


def test_a_good_caption_has_no_flags_and_no_caption_none() -> None:
    assert flags(GOOD) == []
    assert flags_of(None, None, PLACE) == []


@pytest.mark.parametrize("caption", ["", "   ", "\n", "...", "- -", "\u200b"])
def test_a_caption_without_a_letter_is_empty_and_nothing_else(caption: str) -> None:
    assert flags(caption) == ["empty"]


def test_a_caption_that_the_token_limit_cut_is_flagged_empty_or_not() -> None:
    assert flags(GOOD, "length") == ["length"]
    assert flags("", "length") == ["empty", "length"]


@pytest.mark.parametrize(
    "caption",
    [
        "I'm sorry, but I cannot help with that request of yours.",
        "I\u2019m sorry, I can\u2019t describe this picture for you.",
        "As an AI language model, I do not have eyes to see it.",
        "I am unable to view images, but I could guess at it.",
        "I apologize for the confusion, here is the answer again.",
        "Sorry, but I can't assist with identifying this location.",
        "No image was provided, so nothing can be said of it.",
    ],
)
def test_refusals_and_apologies_are_flagged(caption: str) -> None:
    assert "refusal" in flags(caption)


@pytest.mark.parametrize(
    "caption",
    [
        'A shop with a roller shutter and a notice reading "SORRY, WE ARE CLOSED" on the door.',
        "A grey gate with the sign 'We are unable to accept parcels' beside a brick wall.",
        "A church that I would call Gothic, with a tower that cannot be overlooked.",
        "A café called Sorry Coffee on the left, with a wide awning of striped cloth.",
        "An assistant's lodge of yellow brick stands to the left of the iron gate.",
    ],
)
def test_what_signs_say_and_sorry_names_are_no_refusals(caption: str) -> None:
    assert flags(caption) == []


@pytest.mark.parametrize(
    "caption",
    [
        "Name only what stays: buildings with their materials, colours, number of floors, roofs.",
        "USER: Describe it. ASSISTANT: a long brick wall with an iron gate.",
        "<image> a long brick wall with an iron gate in it.",
        "[INST] a long brick wall with an iron gate in it. [/INST]",
    ],
)
def test_the_prompt_given_back_is_flagged(caption: str) -> None:
    assert "prompt_echo" in flags(caption)


def test_words_that_a_good_answer_shares_with_the_prompt_are_no_echo() -> None:
    shared = "On the left, in the centre and on the right are buildings with flat roofs of tin."
    assert flags(shared) == []


def test_a_short_prompt_is_echoed_whole_or_not_at_all() -> None:
    prompt = "Describe this street scene."
    assert flags("Describe this street scene. A wall.", prompt=prompt) == ["prompt_echo"]
    assert flags("This street scene has a wall and a gate.", prompt=prompt) == []


@pytest.mark.parametrize(
    "caption",
    [
        "这是一条街道，左边有一座红色的砖房子。",
        "Слева стоит красный дом из кирпича.",
        "A red house with a sign 左边有一座红色的砖房子右边 and more.",
    ],
)
def test_another_script_than_the_prompts_is_flagged(caption: str) -> None:
    assert flags(caption) == ["script"]


@pytest.mark.parametrize(
    "caption",
    [
        "A narrow house with the sign 「清水茶屋」 above its wooden door on the left.",
        'A narrow house with the words "Аптека" above its wooden door on the left.',
        "The Café Müller in the Straße ahead has windows in the Art Déco style.",
        "A pylon of the Ω kind and ½ a wall stand at the left of the road.",
    ],
)
def test_quoted_signs_and_accents_are_of_no_other_script(caption: str) -> None:
    assert flags(caption) == []


def test_a_prompt_in_another_script_is_answered_in_it() -> None:
    chinese = "描述这个地方。"
    answer = "左边有一座红色的砖房子，前面是 ATM 和 KFC。"
    assert flags(answer, prompt=chinese) == []
    assert flags("On the left stands a house of red brick.", prompt=chinese) == ["script"]
    assert flags(answer, prompt="") == [], "of captions from elsewhere no prompt is known"


@pytest.mark.parametrize(
    "caption",
    [
        "A wall, a wall, a wall, a wall and a gate.",
        "The house is red red red red red on the left side.",
        "There is a shop with a green front. There is a shop with a green front. "
        "There is a shop with a green front.",
        "On the left is a long brick house of three floors, on the left is a long brick house "
        "of three floors, and so on it goes.",
    ],
)
def test_a_phrase_that_goes_round_in_a_loop_is_flagged(caption: str) -> None:
    assert flags(caption) == ["repetition"]


def test_a_loop_that_the_model_was_stopped_in_is_flagged_whatever_is_left_of_it() -> None:
    assert flags(GOOD, "repetition") == ["repetition"]


@pytest.mark.parametrize(
    "caption",
    [
        "A long, long, long wall of brick with one gate in it.",
        "On the left stands a three-storey house of brick with arched windows. On the right "
        "stands a four-storey house of brick with arched windows. A narrow road leads ahead.",
        "Row after row after row of brick terraces with black doors.",
        "The signs say 'TEA' and 'TEA'; the door between the signs is black.",
    ],
)
def test_likeness_of_two_sides_of_a_street_is_no_loop(caption: str) -> None:
    assert flags(caption) == []


@pytest.mark.parametrize("caption", ["House.", "A house.", "A red house."])
def test_three_words_are_too_few(caption: str) -> None:
    assert flags(caption) == ["too_short"]


def test_four_words_are_enough_and_chinese_has_no_spaces_to_count() -> None:
    assert flags("A red brick house.") == []
    assert flags("红色的砖房子。", prompt="描述地方") == []


def test_flags_come_worst_first_with_the_words_that_they_are_set_for() -> None:
    found = find_flags("Sorry, I see a man, a man, a man, a man.", "length", PLACE)
    assert list(found) == ["refusal", "repetition", "length", "transient"]
    assert found["transient"] == ["man"] * 4
    assert set(found) < set(FLAGS)


def test_a_worse_flag_outweighs_any_number_of_lesser_ones() -> None:
    in_order = [[], ["transient"], ["length"], ["length", "too_short", "transient"], ["empty"]]
    assert sorted(in_order, key=badness) == in_order
    assert len(set(map(badness, in_order))) == len(in_order)
    assert badness(["of another time"]) == badness([])


@settings(deadline=None, max_examples=150)
@given(st.text(), st.sampled_from(["stop", "length", "repetition", None]), st.text())
def test_no_text_is_too_strange_for_the_flags(
    caption: str, finish_reason: str | None, prompt: str
) -> None:
    found = find_flags(caption, finish_reason, prompt)
    assert [flag for flag in FLAGS if flag in found] == [
        flag for flag in FLAGS if flag in flags_of(caption, finish_reason, prompt)
    ]
    assert all(found.values()) and set(found) <= set(FLAGS)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.sampled_from(["a", "'", '"', " ", "wall", "car", "\u201c", "#", "A"]), max_size=300)
)
def test_quotation_marks_in_any_order_do_not_take_long(pieces: list[str]) -> None:
    find_flags("".join(pieces) * 20, "stop", PLACE)
