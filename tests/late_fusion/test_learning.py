import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from vprcap.errors import InvalidError
from vprcap.late_fusion import LATE_FUSIONS, LateFusion, Pair, fit_late_fusion, retrieve
from vprcap.late_fusion.learning import above_strangers, learn, score_loss
from vprcap.late_fusion.projection import Addition
from vprcap.late_fusion.weighting import DynamicWeighting
from vprcap.losses import place_loss
from vprcap.training import TrainConfig, TrainingSet

LEARNING = importlib.import_module("vprcap.late_fusion.learning")
MakeToy = Callable[..., tuple[Pair, np.ndarray]]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=1)


def recall_at_1(fusion: LateFusion, pairs: Pair, places: np.ndarray) -> np.ndarray:
    """The first view of each place looks for the others."""
    asked = np.arange(0, len(places), 4)
    kept = np.setdiff1d(np.arange(len(places)), asked)
    found = retrieve(fusion, pairs.take(kept), pairs.take(asked), 1)
    return places[kept][found[:, 0]] == places[asked]


def test_the_loss_of_equal_sides_is_the_combiners() -> None:
    rows, places = drawn(24, 5), torch.arange(24) // 4
    positions = 12.0 * torch.arange(6).repeat_interleave(4)[:, None] * torch.ones(24, 2)
    assert score_loss(rows, rows, places) == pytest.approx(place_loss(rows, places).item())
    assert score_loss(rows, rows.clone(), places, positions) == pytest.approx(
        place_loss(rows, places, positions).item()
    )
    assert place_loss(rows, places, positions) != place_loss(rows, places)


def test_the_loss_of_two_sides_is_multi_similarity_over_the_matrix_of_scores() -> None:
    """Slowly: every pair that the miner's two rules keep, an image never with itself."""
    queries, database = drawn(12, 4), drawn(12, 4, seed=1)
    places = torch.arange(12) // 3
    # Each image is at its nearest to itself, as in every fusion here.
    queries, database = (
        torch.cat([each, 0.8 * torch.eye(12)], dim=1) for each in (queries, database)
    )
    scores = (queries @ database.T).double().numpy()
    losses = []
    for i in range(12):
        own = [scores[i, j] for j in range(12) if places[i] == places[j] and i != j]
        strangers = [scores[i, j] for j in range(12) if places[i] != places[j]]
        hard_own = [s for s in own if s - 0.1 < max(strangers)]
        hard_strangers = [s for s in strangers if s + 0.1 > min(own)]
        loss = np.log(1 + sum(np.exp(-s) for s in hard_own)) if hard_own else 0.0
        if hard_strangers:
            loss += np.log(1 + sum(np.exp(50 * s) for s in hard_strangers)) / 50
        losses.append(loss)
    assert score_loss(queries, database, places).item() == pytest.approx(np.mean(losses), abs=1e-5)


def test_what_all_scores_have_in_common_changes_no_loss() -> None:
    queries, database, places = drawn(12, 4), drawn(12, 4, seed=1), torch.arange(12) // 3
    more = torch.full((12, 1), 0.7)
    raised = torch.cat([queries, more], dim=1), torch.cat([database, more], dim=1)
    plain = score_loss(*above_strangers(queries, database, places), places)
    assert score_loss(*above_strangers(*raised, places), places).item() == pytest.approx(
        plain.item(), abs=1e-5
    )
    assert score_loss(*raised, places) > score_loss(queries, database, places) + 0.05
    ask, answer = above_strangers(queries, database, places)
    strangers = places[:, None] != places[None]
    assert (ask @ answer.T)[strangers].mean().item() == pytest.approx(0, abs=1e-6)


def test_learned_weights_tell_informative_captions_from_others(
    make_toy: MakeToy, fitted: Callable[[str], LateFusion]
) -> None:
    pairs, places = make_toy(100, seed=2)
    fusion: Any = fitted("dynamic-weighting")
    _, of_text = fusion.fusion.weights(
        torch.from_numpy(pairs.image), torch.from_numpy(pairs.text)
    ).T
    well = torch.from_numpy(places % 2 == 0)
    assert of_text[well].mean() > of_text[~well].mean() + 0.2


def test_dynamic_weights_find_more_than_one_fixed_weight_or_equal_ones(
    make_toy: MakeToy, fitted: Callable[[str], LateFusion]
) -> None:
    toy = make_toy(200, seed=2)
    names = ("concatenation", "fixed-weight", "dynamic-weighting")
    equal, fixed, dynamic = (recall_at_1(fitted(name), *toy).mean() for name in names)
    assert dynamic > fixed + 0.03
    assert dynamic > equal + 0.1


@pytest.mark.parametrize("name", ["mlp", "addition"])
def test_projections_learn(name: str, make_toy: MakeToy) -> None:
    """With fewer places than these an MLP gains less; it starts as the concatenation."""
    train, test = make_toy(200, seed=1, missing=0.1), make_toy(200, seed=2)
    start, learned = (fit_late_fusion(each, *train) for each in ("concatenation", name))
    assert recall_at_1(learned, *test).mean() > recall_at_1(start, *test).mean() + 0.03


@pytest.mark.parametrize("name", sorted(set(LATE_FUSIONS) - {"concatenation"}))
def test_equal_seeds_give_equal_vectors_and_leave_the_callers_random_numbers_alone(
    name: str, make_toy: MakeToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LEARNING, "STEPS", 25)
    pairs, places = make_toy(20, seed=1)
    torch.manual_seed(5)
    first = fit_late_fusion(name, pairs, places).database(pairs)
    drawn_after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn_after)
    assert np.array_equal(fit_late_fusion(name, pairs, places).database(pairs), first)


def test_another_seed_gives_other_weights(make_toy: MakeToy) -> None:
    pairs, places = make_toy(80, seed=1)
    one, other = (
        fit_late_fusion("addition", pairs, places, seed=seed).database(pairs) for seed in (0, 1)
    )
    assert not np.array_equal(one, other)


def test_the_best_state_by_fused_precision_wins_and_not_the_last(
    make_toy: MakeToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LEARNING, "STEPS", 75)
    recalls, states = iter([0.1, 0.8, 0.9, 0.7]), []

    def check(_: object, fusion: torch.nn.Module) -> float:
        states.append({name: each.clone() for name, each in fusion.state_dict().items()})
        return next(recalls)

    monkeypatch.setattr(LEARNING._Check, "__call__", check)
    fusion: Any = fit_late_fusion("fixed-weight", *make_toy(20, seed=1))
    logits = [state["logit"].item() for state in states]
    assert len(set(logits)) == 4
    assert fusion.fusion.logit.item() == logits[2]


def test_the_check_ranks_by_the_fused_score_among_other_drives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two views of each of three places; images all alike, captions tell places apart."""
    image = np.tile(np.eye(1, 3, dtype=np.float32), (6, 1))
    text = np.repeat(np.eye(3, dtype=np.float32), 2, axis=0)
    places = np.repeat([4, 5, 6], 2)
    yes = np.ones((6, 1), dtype=bool)
    fusion = DynamicWeighting(3, 3, torch.zeros(2))

    def check(places: np.ndarray, **more: np.ndarray) -> float:
        data = object.__new__(TrainingSet)  # too few places to train with
        for name, value in (
            ("image_tokens", image[:, None]),
            ("text_tokens", text[:, None]),
            ("text_mask", yes),
            ("places", places),
            ("positions", more.get("positions")),
            ("traversals", more.get("traversals")),
        ):
            object.__setattr__(data, name, value)
        return LEARNING._Check(data, np.arange(6), TrainConfig())(fusion)

    assert check(places) == 1.0
    # The other view of a caption comes first, all else ties and stays in order: ranks of the
    # one positive are 3, 4, 5, 2, 3 and 4.
    misled = (1 / 3 + 1 / 4 + 1 / 5 + 1 / 2 + 1 / 3 + 1 / 4) / 6
    assert check(np.array([4, 5, 6, 4, 5, 6])) == pytest.approx(misled)
    # Of one place and one drive: nothing to find for the first two, the others are found.
    assert check(places, traversals=np.array([0, 0, 1, 2, 1, 2])) == 1.0
    # A place within 25 m counts as the same.
    metres = np.array([[0, 0], [500, 0], [1000, 0], [10, 0], [510, 0], [1010, 0]], dtype=float)
    assert check(np.arange(6), positions=metres) == pytest.approx(misled)


def test_every_learned_number_gets_a_gradient_and_no_measured_one_moves(make_toy: MakeToy) -> None:
    pairs, places = make_toy(20, seed=1)
    image, text = torch.from_numpy(pairs.image), torch.from_numpy(pairs.text)
    fusion = DynamicWeighting(*pairs.dims, torch.tensor([0.1, 0.4]))
    torch.nn.init.normal_(fusion.output.weight, std=0.1)
    for each in (fusion, Addition(image, text)):
        score_loss(*each(image, text), torch.from_numpy(places)).backward()
        assert all(value.grad is not None and value.grad.any() for value in each.parameters())
    assert "means" not in dict(fusion.named_parameters())


def test_an_image_is_never_drawn_twice_into_a_batch(
    make_toy: MakeToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Places of two images, batches of four of each: a copy would be a match too easy to find."""
    pairs, places = make_toy(20, seed=1)
    rows = np.flatnonzero(np.arange(len(places)) % 4 < 2)
    seen = []

    def loss(queries: torch.Tensor, *_: object) -> torch.Tensor:
        seen.append(len(queries) - len(queries.unique(dim=0)))
        return queries.sum()

    monkeypatch.setattr(LEARNING, "STEPS", 5)
    monkeypatch.setattr(LEARNING, "score_loss", loss)
    fit_late_fusion("fixed-weight", pairs.take(rows), places[rows])
    assert seen == [0] * 5


def test_training_that_hides_captions_shows_all_of_them_afterwards(make_toy: MakeToy) -> None:
    pairs, places = make_toy(20, seed=1)
    image, text = torch.from_numpy(pairs.image), torch.from_numpy(pairs.text)
    fusion = Addition(image, text)
    alone, _ = fusion.eval()(image, text * 0)
    torch.manual_seed(0)
    hidden = (fusion.train()(image, text)[0] == alone).all(dim=1)
    assert 0 < hidden.sum() < 0.4 * len(hidden)
    data = TrainingSet(pairs.image[:, None], pairs.text[:, None], pairs.has_text[:, None], places)
    learn(fusion, data, TrainConfig(), 1e-3)
    assert not fusion.training
    assert not torch.equal(fusion(image, text)[0], fusion(image, text * 0)[0])


def test_what_cannot_be_fitted_is_refused_in_one_line(make_toy: MakeToy) -> None:
    pairs, places = make_toy(20, seed=1)
    nobody = np.zeros_like(pairs.has_text)
    silent = Pair(pairs.image, pairs.text * 0, pairs.has_image, nobody)
    single = np.where(np.arange(len(places)) == 0, 99, places)
    for name, problem, given, where in (
        ("sum", "no late fusion 'sum'; there are: concatenation, mlp", pairs, places),
        ("fixed-weight", "caption the set", silent, places),
        ("mlp", "have one image only", pairs, single),
        ("z-score", "places are too few", pairs, places % 3),
    ):
        with pytest.raises(InvalidError, match=problem) as caught:
            fit_late_fusion(name, given, where)
        assert "\n" not in str(caught.value)


def test_sets_of_unequal_length_are_refused_in_one_line(
    make_toy: MakeToy, unchecked_shapes: None
) -> None:
    pairs, places = make_toy(20, seed=1)
    with pytest.raises(InvalidError, match="differ in their number of images"):
        fit_late_fusion("z-score", pairs, places[:-1])
    with pytest.raises(InvalidError, match="differ in their number of images"):
        replace(pairs, has_text=pairs.has_text[:-1])
