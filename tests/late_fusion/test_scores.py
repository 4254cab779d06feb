"""Every fusion's inner product against its formula, written as a slow loop over pairs."""

from collections.abc import Callable

import numpy as np
import pytest

from vprcap.errors import InvalidError
from vprcap.late_fusion import LATE_FUSIONS, LateFusion, Pair, fit_late_fusion

Fitted = Callable[[str], LateFusion]
COMPLETE = np.arange(8)


def scores(fusion: LateFusion, queries: Pair, database: Pair) -> np.ndarray:
    return fusion.queries(queries).astype(np.float64) @ fusion.database(database).T.astype(float)


def weight(fusion: LateFusion, name: str) -> np.ndarray:
    return dict(fusion.fusion.state_dict())[name].numpy().astype(np.float64)


def stranger_moments(vectors: np.ndarray, present: np.ndarray, places: np.ndarray) -> list[float]:
    found = [
        float(vectors[one].astype(float) @ vectors[other])
        for one in np.flatnonzero(present)
        for other in np.flatnonzero(present)
        if places[one] != places[other]
    ]
    return [float(np.mean(found)), float(np.std(found))]


@pytest.fixture(scope="module")
def moments(make_toy: Callable[..., tuple[Pair, np.ndarray]]) -> dict[str, list[float]]:
    pairs, places = make_toy(80, seed=1, missing=0.1)
    return {
        "image": stranger_moments(pairs.image, pairs.has_image, places),
        "text": stranger_moments(pairs.text, pairs.has_text, places),
    }


def loop(pairs: Pair, score: Callable[[int, int, str], float]) -> np.ndarray:
    """Add what each modality of the query contributes."""
    present = {"image": pairs.has_image, "text": pairs.has_text}
    count = len(pairs.image)
    return np.array(
        [
            [sum(score(i, j, kind) for kind in present if present[kind][i]) for j in range(count)]
            for i in range(count)
        ]
    )


def similarity(pairs: Pair, moments: dict[str, list[float]], i: int, j: int, kind: str) -> float:
    present = pairs.has_image if kind == "image" else pairs.has_text
    vectors = pairs.image if kind == "image" else pairs.text
    return float(vectors[i].astype(float) @ vectors[j]) if present[j] else moments[kind][0]


@pytest.mark.parametrize("name", ["concatenation", "fixed-weight", "z-score"])
def test_weighted_similarities_add_up_and_an_unknown_one_counts_as_that_of_strangers(
    name: str, fitted: Fitted, gaps: Pair, moments: dict[str, list[float]]
) -> None:
    fusion = fitted(name)
    if name == "fixed-weight":
        share = 1 / (1 + np.exp(-weight(fusion, "logit")))
        weights = {"image": share, "text": 1 - share}
    elif name == "z-score":
        weights = {kind: 1 / deviation for kind, (_, deviation) in moments.items()}
    else:
        weights = {"image": 0.5, "text": 0.5}
    expected = loop(gaps, lambda i, j, kind: weights[kind] * similarity(gaps, moments, i, j, kind))
    assert scores(fusion, gaps, gaps) == pytest.approx(expected, abs=1e-5, rel=1e-5)


def test_z_scores_are_one_inner_product_up_to_a_constant(
    fitted: Fitted, gaps: Pair, moments: dict[str, list[float]]
) -> None:
    pairs = gaps.take(COMPLETE)
    expected = loop(
        pairs,
        lambda i, j, kind: (
            (similarity(pairs, moments, i, j, kind) - moments[kind][0]) / moments[kind][1]
        ),
    )
    constant = sum(mean / deviation for mean, deviation in moments.values())
    assert scores(fitted("z-score"), pairs, pairs) - constant == pytest.approx(expected, abs=1e-4)


def test_dynamic_weighting_as_one_inner_product_equals_the_two_term_formula(
    fitted: Fitted, gaps: Pair, moments: dict[str, list[float]]
) -> None:
    fusion = fitted("dynamic-weighting")
    weights = dynamic_weights(fusion, gaps)
    assert weights["image"][:8].std() > 0.01, "the weights differ between images"

    def term(i: int, j: int, kind: str) -> float:
        asks_alone = not (gaps.has_image[i] and gaps.has_text[i])
        share = 1.0 if asks_alone else (weights[kind][i] + weights[kind][j]) / 2
        return share * similarity(gaps, moments, i, j, kind)

    assert scores(fusion, gaps, gaps) == pytest.approx(loop(gaps, term), abs=1e-6)


def dynamic_weights(fusion: LateFusion, pairs: Pair) -> dict[str, np.ndarray]:
    """softmax(W2 ReLU(W1 [v; t] + b1) + b2) over the modalities that an image has."""
    both = np.concatenate([pairs.image, pairs.text], axis=1).astype(np.float64)
    hidden = np.maximum(both @ weight(fusion, "hidden.weight").T + weight(fusion, "hidden.bias"), 0)
    logits = hidden @ weight(fusion, "output.weight").T + weight(fusion, "output.bias")
    powers = np.exp(logits) * np.stack([pairs.has_image, pairs.has_text], axis=1)
    image, text = (powers / np.maximum(powers.sum(axis=1, keepdims=True), 1e-300)).T
    return {"image": image, "text": text}


@pytest.mark.parametrize("name", ["addition", "mlp"])
def test_projections_follow_their_formula(name: str, fitted: Fitted, gaps: Pair) -> None:
    fusion = fitted(name)
    expected = []
    for image, text in zip(gaps.image.astype(float), gaps.text.astype(float), strict=True):
        if name == "addition":
            fused = weight(fusion, "image.weight") @ image + weight(fusion, "text.weight") @ text
        else:
            hidden = weight(fusion, "hidden.weight") @ np.concatenate([image, text])
            fused = weight(fusion, "output.weight") @ np.maximum(hidden, 0)
        expected.append(fused / max(np.linalg.norm(fused), 1e-12))
    assert fusion.queries(gaps) == pytest.approx(np.array(expected), abs=1e-5)
    assert np.array_equal(fusion.queries(gaps), fusion.database(gaps))


def test_projections_start_as_the_concatenation_where_it_fits(gaps: Pair) -> None:
    import torch

    from vprcap.late_fusion.projection import Addition, Mlp

    pairs = gaps.take(COMPLETE)
    image, text = torch.from_numpy(pairs.image), torch.from_numpy(pairs.text)
    expected = (pairs.image @ pairs.image.T + pairs.text @ pairs.text.T) / 2
    for start in (Addition(image, text).eval(), Mlp(image, text).eval()):
        queries, database = start(image, text)
        assert (queries @ database.T).detach().numpy() == pytest.approx(expected, abs=1e-5)


def test_projections_have_512_numbers_at_most(make_toy: Callable[..., object]) -> None:
    import torch

    from vprcap.late_fusion.projection import Addition

    image = torch.eye(10, 400)
    queries, _ = Addition(image, image).eval()(image, image)
    assert queries.shape == (10, 512)


def test_text_reranking_searches_by_the_image(fitted: Fitted, gaps: Pair) -> None:
    fusion = fitted("text-rerank")
    assert np.array_equal(fusion.queries(gaps), gaps.image)
    assert np.array_equal(fusion.database(gaps), gaps.image)


@pytest.mark.parametrize("name", sorted(set(LATE_FUSIONS) - {"addition", "mlp"}))
def test_a_query_without_a_caption_ranks_complete_images_as_its_image_does(
    name: str, fitted: Fitted, gaps: Pair
) -> None:
    found = scores(fitted(name), gaps.take(np.arange(8, 12)), gaps.take(COMPLETE))
    expected = gaps.image[8:12].astype(float) @ gaps.image[:8].T.astype(float)
    assert np.array_equal(found.argsort(axis=1), expected.argsort(axis=1))


@pytest.mark.parametrize("name", ["concatenation", "fixed-weight", "z-score", "dynamic-weighting"])
def test_a_caption_of_ordinary_likeness_is_worth_as_much_as_none(name: str, fitted: Fitted) -> None:
    """Two database images with one image descriptor; one has a caption, as like as a stranger's."""
    fusion = fitted(name)
    mean = float(weight(fusion, "means")[1])
    image = np.zeros((1, 24), dtype=np.float32)
    image[0, 0] = 1
    text = np.zeros((2, 20), dtype=np.float32)
    text[0, 0] = 1
    text[1, :2] = mean, (1 - mean**2) ** 0.5
    yes = np.ones(1, dtype=bool)
    query = Pair(image, text[:1], yes, yes)
    ordinary, silent = Pair(image, text[1:], yes, yes), Pair(image, text[:1] * 0, yes, ~yes)
    if name == "dynamic-weighting":  # the weights of the two differ, so only the text term is alike
        image_term = float(fusion.queries(query)[0, :48] @ fusion.database(silent)[0, :48])
        own = dynamic_weights(fusion, query)
        expected = image_term + own["text"][0] / 2 * mean
        assert scores(fusion, query, silent)[0, 0] == pytest.approx(expected, abs=1e-6)
    else:
        found = scores(fusion, query, ordinary)[0, 0], scores(fusion, query, silent)[0, 0]
        assert found[0] == pytest.approx(found[1], abs=1e-4)


@pytest.mark.parametrize("name", LATE_FUSIONS)
def test_what_an_image_gives_does_not_depend_on_its_batch(
    name: str, fitted: Fitted, gaps: Pair
) -> None:
    fusion = fitted(name)
    order = np.random.default_rng(0).permutation(15)
    for side in (fusion.queries, fusion.database):
        together = side(gaps)
        assert np.isfinite(together).all()
        assert side(gaps.take(order)) == pytest.approx(together[order], abs=1e-6)
        for row in range(15):
            alone = side(gaps.take(np.array([row])))
            assert alone[0] == pytest.approx(together[row], abs=1e-6)


@pytest.mark.parametrize("name", LATE_FUSIONS)
def test_an_image_with_neither_descriptor_has_no_score(
    name: str, fitted: Fitted, gaps: Pair
) -> None:
    assert not fitted(name).queries(gaps)[14].any()


@pytest.mark.parametrize("name", LATE_FUSIONS)
def test_other_sizes_than_those_fitted_on_are_refused_in_one_line(
    name: str, fitted: Fitted, gaps: Pair
) -> None:
    swapped = Pair(gaps.text, gaps.image, gaps.has_text, gaps.has_image)
    for side in (fitted(name).queries, fitted(name).database):
        with pytest.raises(InvalidError, match=r"have 20 \(image\) and 24 \(text\)") as caught:
            side(swapped)
        assert "\n" not in str(caught.value)


def test_an_empty_set_gives_no_vectors(fitted: Fitted, gaps: Pair) -> None:
    nothing = gaps.take(np.arange(0))
    assert fitted("concatenation").queries(nothing).shape == (0, 46)


def test_captions_that_are_all_alike_have_no_weight_in_z_scores(
    make_toy: Callable[..., tuple[Pair, np.ndarray]],
) -> None:
    pairs, places = make_toy(10, seed=1)
    same = np.repeat(pairs.text[:1], len(places), axis=0)
    alike = Pair(pairs.image, same, pairs.has_image, pairs.has_text)
    fusion = fit_late_fusion("z-score", alike, places)
    expected = pairs.image.astype(float) @ pairs.image.T.astype(float)
    found = scores(fusion, alike, alike)
    assert found / found[0, 0] == pytest.approx(expected, abs=1e-5)
