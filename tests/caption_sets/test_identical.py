from collections import defaultdict

import numpy as np

from vprcap.caption_sets.identical import MANY, IdenticalCaptions, caption_key


def counted(pairs: list[tuple[str, str]]) -> tuple[int, dict[int, int]]:
    identical = IdenticalCaptions()
    for caption, image in pairs:
        identical.add(caption, image)
    return identical.count()


def test_no_captions_are_counted_as_none() -> None:
    assert counted([]) == (0, {})


def test_a_caption_counts_from_ten_different_images_on() -> None:
    assert counted([("A wall.", f"{n}") for n in range(9)]) == (1, {})
    assert counted([("A wall.", f"{n}") for n in range(10)]) == (1, {caption_key("A wall."): 10})


def test_one_image_under_many_names_counts_once() -> None:
    assert counted([("A wall.", "same") for _ in range(50)]) == (1, {})


def test_case_and_spaces_make_no_difference_and_words_do() -> None:
    assert caption_key(" A  WALL.\n") == caption_key("a wall.")
    assert caption_key("a wall.") != caption_key("a wall")


def test_counts_agree_with_a_dictionary_of_sets() -> None:
    rng = np.random.default_rng(0)
    drawn = [(f"caption {n}", f"image {m}") for n, m in rng.integers(0, (40, 60), (1500, 2))]
    images = defaultdict(set)
    for caption, image in drawn:
        images[caption].add(image)
    wanted = {caption_key(each): len(own) for each, own in images.items() if len(own) >= MANY}
    assert counted(drawn) == (len(images), wanted)
    assert 0 < len(wanted)
