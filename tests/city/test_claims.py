from vprcap.city import CaptionScore, Facade, Place, caption_of, claims_in, claims_of, score_caption

BAKERY_LANE = Place(
    left=Facade("red", "brick", "arched", "stepped", 4, "CAFE"),
    right=Facade("white", "timber", "square", "flat", 2, None),
    street="narrow",
    landmark="obelisk",
    trees="right",
)
BAKERY_LANE_CLAIMS = {
    "street": "narrow",
    "landmark": "obelisk",
    "left colour": "red",
    "left material": "brick",
    "left windows": "arched",
    "left roof": "stepped",
    "left floors": "four",
    "left sign": "CAFE",
    "right colour": "white",
    "right material": "timber",
    "right windows": "square",
    "right roof": "flat",
    "right floors": "two",
    "right tree": "tree",
}


def test_a_reference_caption_is_plain_english() -> None:
    assert caption_of(BAKERY_LANE) == (
        "On the left stands a four-storey red brick building with arched windows, a stepped roof "
        'and the sign "CAFE". On the right stands a two-storey white timber building with square '
        "windows and a flat roof. A narrow street leads to an obelisk ahead. "
        "A tree stands on the right."
    )


def test_a_reference_caption_is_read_back_to_what_stands_there() -> None:
    assert claims_of(BAKERY_LANE) == BAKERY_LANE_CLAIMS
    assert claims_in(caption_of(BAKERY_LANE)) == BAKERY_LANE_CLAIMS


def test_trees_on_both_sides_are_two_claims() -> None:
    assert claims_in("Trees stand on both sides.") == {"left tree": "tree", "right tree": "tree"}


def test_a_free_wording_is_read_as_far_as_it_speaks_of_our_attributes() -> None:
    caption = (
        'There is a shop to the LEFT, green, with the sign "Wine"; a wide street. A tree, right.'
    )
    assert claims_in(caption) == {
        "left colour": "green",
        "left sign": "Wine",
        "street": "wide",
        "right tree": "tree",
    }


def test_the_first_of_two_contradicting_values_counts() -> None:
    assert claims_in("On the left a red house. On the left a blue house.")["left colour"] == "red"


def test_a_perfect_caption_scores_all_fourteen_attributes_and_no_hallucination() -> None:
    score = score_caption(caption_of(BAKERY_LANE), claims_of(BAKERY_LANE))
    assert score == CaptionScore(correct=14, attributes=14, hallucinated=0, named=3)
    assert score.attribute_accuracy == 1.0
    assert score.hallucination_rate == 0.0


def test_an_empty_caption_states_nothing_and_hallucinates_nothing() -> None:
    score = score_caption("", claims_of(BAKERY_LANE))
    assert score == CaptionScore(correct=0, attributes=14, hallucinated=0, named=0)
    assert score.attribute_accuracy == 0.0
    assert score.hallucination_rate == 0.0


def test_a_garbled_caption_scores_only_what_can_be_read() -> None:
    caption = 'On the left stands red red the sign "CA" storey with "". leads to leads to dome'
    score = score_caption(caption, claims_of(BAKERY_LANE))
    # Right: the colour. Named: a sign that reads otherwise and a dome where an obelisk stands.
    assert score == CaptionScore(correct=1, attributes=14, hallucinated=2, named=2)


def test_a_sign_a_tree_and_a_landmark_that_are_not_there_are_hallucinations() -> None:
    empty_street = Place(BAKERY_LANE.right, BAKERY_LANE.right, "wide", None, "none")
    caption = 'On the left the sign "TEA". A wide street leads to a church. A tree on the right.'
    score = score_caption(caption, claims_of(empty_street))
    # The street is right; eleven attributes: five of each facade and the street.
    assert score == CaptionScore(correct=1, attributes=11, hallucinated=3, named=3)
    assert score.hallucination_rate == 1.0


def test_scores_add_up_by_count_not_by_mean() -> None:
    total = CaptionScore(1, 1, 0, 3) + CaptionScore(0, 3, 1, 1)
    assert total.attribute_accuracy == 1 / 4
    assert total.hallucination_rate == 1 / 4
