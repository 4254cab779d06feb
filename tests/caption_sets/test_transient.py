from pathlib import Path

import pytest

from vprcap.caption_sets.transient import KINDS, forbidden_kinds, transient_things

PASSING = {
    "Two parked cars stand in front of a brick house.": ["cars"],
    "A double-decker bus passes a row of shops.": ["bus"],
    "People walk along the pavement beside a church.": ["people"],
    "A man on a bicycle waits at the crossing.": ["man", "bicycle"],
    "A pedestrian crosses in front of the bank.": ["pedestrian"],
    "The sky is overcast above the rooftops.": ["overcast"],
    "Wet road between two terraces, under a grey sky.": ["grey sky", "wet road"],
    "The houses lie in bright sunlight, with long shadows.": ["sunlight", "shadows"],
    "It is a sunny day in summer.": ["sunny", "summer"],
    "Snow lies on the roofs, the trees are leafless.": ["snow", "leafless"],
    "A white van is parked at the kerb, and a taxi behind it.": ["van", "taxi"],
    "No cars are visible on the road.": ["cars"],
    "A night view of a square with a fountain.": ["night"],
    "A car is parked in the car park of the station.": ["car"],
    "Rain falls on Rainbow Street.": ["rain"],
    "A silver SUV and a Ford SUV wait before a warehouse.": ["suv", "suv"],
    "The trees have lost their leaves and the sky is gray.": ["sky is gray", "lost their leaves"],
    "Traffic moves under a concrete bridge.": ["traffic"],
    "Construction workers stand beside an orange barrier.": ["workers"],
}
"""Captions that break the rule, and the words that do, by kind in the order of `KINDS`."""

STAYING = [
    "A multi-storey car park with a concrete front stands on the left.",
    "Rainbow Street runs between two rows of shops.",
    "A sunny yellow facade with green shutters.",
    "The Parade of shops has a flat roof and striped awnings.",
    "A bus stop with a glass shelter before a brick wall.",
    "A pedestrian crossing with white stripes leads to the bank.",
    "A bus lane is painted red on the right of the road.",
    "A cycle path runs beside the hedge; a bicycle rack stands before the library.",
    "A weathered oak door and a weather vane on the gable.",
    "A statue of a man on a plinth before the town hall.",
    "A mural of two women covers the gable wall.",
    "The Winter Gardens have a glass roof; Summer Street lies to the left.",
    "A pub called The Snowdrop beside the Old Cartwright's yard.",
    'A shop with the sign "CARS & VANS" above a roller shutter.',
    "The sign 'NO VEHICLES' hangs on the iron gate.",
    "A sky-blue door in a whitewashed wall.",
    "A railway station with a tram stop and a taxi rank before it.",
    "The children's playground lies behind a low fence.",
    "Manhole covers and a carved cart on the lintel; a human-sized niche.",
    "A rainwater pipe runs down the wall beside the sun terrace.",
    "A street lined with plane trees leads to Sunderland Road.",
    "A daylight-coloured render; skylights in the slate roof.",
    "Traffic lights hang over the junction; the kerb is of granite.",
    "A man-made pond before the office tower.",
    "An evergreen hedge and a carport of timber.",
    "The Sun Inn has a hanging sign; next to it is Summers Bakery.",
    "A bridge for pedestrians spans the canal.",
    "A school for girls stands behind railings.",
    "A traffic island with a lamp post and a traffic sign.",
    "The Workers' Hall has a copper roof under the skyline.",
    "Springfield House has Persian carvings and a busy cornice.",
    "The train station's clock tower rises in the centre.",
    "A storm drain, a snow guard on the slate roof, and a fog-grey gable.",
]


@pytest.mark.parametrize(("caption", "words"), PASSING.items())
def test_what_passes_is_found(caption: str, words: list[str]) -> None:
    assert sorted(transient_things(caption)) == sorted(words)


@pytest.mark.parametrize("caption", STAYING)
def test_what_stays_and_is_called_after_what_passes_is_not(caption: str) -> None:
    assert transient_things(caption) == []


def test_only_what_the_prompt_forbids_is_looked_for() -> None:
    caption = "A car stands in the rain."
    assert transient_things(caption, frozenset({"weather"})) == ["rain"]
    assert transient_things(caption, frozenset()) == []


def test_a_prompt_forbids_what_it_says_to_leave_out() -> None:
    assert forbidden_kinds(Path("prompts/place.txt").read_text()) == KINDS.keys()
    assert forbidden_kinds("Describe the light, the weather and the people.") == set()
    assert forbidden_kinds("Describe the light. Do not mention people or vehicles.") == {
        "people",
        "vehicles",
    }
    assert forbidden_kinds("Ignore the weather; describe the vehicles.") == {"weather"}
