from dataclasses import asdict

import numpy as np

from vprcap.city import caption_of, city_places, seeds
from vprcap.city.place import Place, look_alike, random_place


def differences(one: Place, other: Place) -> int:
    return sum(value != flat(other)[name] for name, value in flat(one).items())


def flat(place: Place) -> dict[str, object]:
    """Every attribute under a name of its own."""
    street = {"street": place.street, "landmark": place.landmark, "trees": place.trees}
    left = {f"left {name}": value for name, value in asdict(place.left).items()}
    right = {f"right {name}": value for name, value in asdict(place.right).items()}
    return street | left | right


def test_equal_seeds_give_equal_cities_and_other_seeds_others() -> None:
    assert city_places(seeds.TESTS, 20) == city_places(seeds.TESTS, 20)
    assert city_places(seeds.TESTS, 20) != city_places(seeds.TESTS + 1, 20)


def test_a_larger_city_begins_with_the_smaller_one() -> None:
    assert city_places(seeds.TESTS, 30)[:10] == city_places(seeds.TESTS, 10)


def test_no_place_of_a_city_stands_twice() -> None:
    assert len(set(city_places(seeds.TESTS, 500))) == 500


def test_a_look_alike_differs_in_exactly_one_attribute() -> None:
    rng = np.random.default_rng(seeds.TESTS)
    for _ in range(50):
        place = random_place(rng)
        assert differences(place, look_alike(place, rng)) == 1


def test_a_city_holds_look_alikes_on_purpose() -> None:
    places = city_places(seeds.TESTS, 60)
    pairs = [(one, other) for one in places for other in places if differences(one, other) == 1]
    assert len(pairs) >= 20


def test_the_cities_of_demo_tests_and_training_share_no_place() -> None:
    uses = (
        seeds.TINY_LLAVA_TRAINING,
        seeds.TINY_LLAVA_MEASURING,
        seeds.DEMO_TRAINING,
        seeds.DEMO_EVALUATION,
        seeds.TESTS,
    )
    cities = [city_places(seed, 1_000) for seed in uses]
    assert len(set().union(*cities)) == 5_000


def test_every_caption_keeps_to_sixty_words() -> None:
    assert max(len(caption_of(place).split()) for place in city_places(seeds.TESTS, 500)) <= 60
