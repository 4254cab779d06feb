"""What a report is made of: outcomes, curves, maps, gates, distances."""

from pathlib import Path

import numpy as np
import pytest
from small_evaluation import (
    BOTH_RIGHT,
    BOTH_WRONG,
    FOUND,
    SAVED,
    SPOILED,
    UNSOLVABLE,
    write_small_evaluation,
)

import vprcap.pages.outcomes as kinds_of
from vprcap.errors import InvalidError, MissingError, StaleArtefactError
from vprcap.evaluation.estimate import Estimate
from vprcap.evaluation.stored import Evaluation, GatedCaption, find_evaluation, read_evaluation
from vprcap.files import read_json, write_json
from vprcap.ground_truth.positives import Task, build_task
from vprcap.manifests.manifest import Manifest, read_manifest, write_manifest
from vprcap.pages.breakdown import breakdowns
from vprcap.pages.curves import draw_curves
from vprcap.pages.gates import gates_of, shaded
from vprcap.pages.outcomes import Kind, chosen, counted, outcomes
from vprcap.pages.positions import WIDTH, maps_of
from vprcap.pages.query_rows import build_rows
from vprcap.pages.scale import metres, round_below
from vprcap.stages.report import report

Read = tuple[Manifest, Task, Evaluation, list[Kind]]


@pytest.fixture
def street(tmp_path: Path) -> Read:
    return read(*write_small_evaluation(tmp_path))


def read(manifest: Path, evaluation: Path) -> Read:
    loaded, stored = read_manifest(manifest), read_evaluation(evaluation)
    task = build_task(loaded)
    return loaded, task, stored, outcomes(stored, task.solvable.tolist())


def test_each_query_gets_the_outcome_that_it_has_by_hand(street: Read) -> None:
    names = [kind.name for kind in street[3]]
    assert names[SAVED] == "saved" and names[SPOILED] == "spoiled"
    assert names[BOTH_RIGHT] == "both right" and names[BOTH_WRONG] == "both wrong"
    assert names[UNSOLVABLE] == "unsolvable"


def test_without_text_a_query_is_right_wrong_or_unsolvable(tmp_path: Path) -> None:
    paths = write_small_evaluation(tmp_path, found={"image": FOUND["image"]})
    kinds = read(*paths)[3]
    assert [kind.name for kind in kinds] == ["wrong", "right", "right", "wrong", "unsolvable"]


def test_every_outcome_gets_an_equal_share_and_every_kth_query_of_it_is_shown() -> None:
    rare, common = kinds_of.SAVED, kinds_of.BOTH_RIGHT
    kinds = [rare if row in (5, 90) else common for row in range(100)]
    assert counted(kinds) == {rare: 2, common: 98}
    rows = chosen(kinds, 10)
    assert rows[:2] == [5, 90]  # both, and their spare places go to the others
    assert len(rows) == 10 and rows == rows[:2] + sorted(rows[2:])
    assert np.diff(rows[2:]).tolist() == pytest.approx([98 / 8] * 7, abs=2)
    assert chosen(kinds, 1000) == [5, 90] + [row for row in range(100) if row not in (5, 90)]
    assert chosen(kinds, 0) == []


def test_distances_are_metres_on_the_ground(street: Read) -> None:
    manifest, task, stored, kinds = street
    [row] = build_rows(manifest, task, stored, kinds, [SAVED])
    image, fused = row.strips
    assert (image.mode, fused.mode) == ("image", "fused")
    # 97 m along and 4 m across: the root of 9,425 is 97.08.
    assert [found.apart for found in image.found] == ["97 m", "5.0 m", "197 m", "297 m"]
    assert [found.right for found in image.found] == [False, True, False, False]
    assert image.first_hit == 2 and fused.first_hit == 1


def test_distances_are_written_for_people() -> None:
    assert [metres(each) for each in (0, 9.94, 9.96, 240.4, 999.4, 999.6, 32_100)] == [
        *("0.0 m", "9.9 m", "10 m", "240 m", "999 m"),
        *("1.0 km", "32.1 km"),
    ]
    assert [round_below(each) for each in (1, 4.9, 5, 99, 0.03)] == [1, 2, 5, 50, 0.02]


def test_a_map_is_true_to_scale_with_north_up(street: Read) -> None:
    [drawn] = maps_of(*street)
    by_name = {place.image_id: place for place in drawn.queries}
    units_a_metre = (by_name["q1.jpg"].x - by_name["q0.jpg"].x) / 100
    assert (drawn.bar_label, drawn.bar) == ("200 m", pytest.approx(200 * units_a_metre, abs=0.2))
    assert by_name["q4.jpg"].x - by_name["q0.jpg"].x == pytest.approx(997 * units_a_metre, abs=0.2)
    assert all(place.y < drawn.database[0][1] for place in drawn.queries)  # 4 m to the north
    assert max(x for x, _ in drawn.database) < by_name["q4.jpg"].x < WIDTH
    assert drawn.counts == {"right": 2, "wrong": 2, "unsolvable": 1}
    assert by_name["q3.jpg"].found == drawn.database[1]


def test_recalls_are_parted_by_condition_and_by_heading(street: Read) -> None:
    manifest, task, stored, _ = street
    condition, heading = breakdowns(manifest, task, stored)
    assert [(p.name, p.num_queries, p.num_solvable) for p in condition.parts] == [
        ("day", 2, 2),
        ("night", 3, 2),
    ]
    values = [[p.recall[mode].value for mode in ("image", "fused")] for p in condition.parts]
    assert values == [[0.5, 0.5], [0.5, 0.5]]
    # 350 and 10 degrees are both within 22.5 degrees of north.
    assert [(p.name, p.num_queries) for p in heading.parts] == [("N", 2), ("E", 1), ("S", 2)]


def test_a_curve_rises_with_recall_and_names_keep_apart() -> None:
    flat = {str(k): Estimate(0.8, 0.7, 0.9) for k in (1, 5, 10, 20)}
    drawn = draw_curves({"image": flat, "fused": flat, "text to image": flat})
    assert [curve.mode for curve in drawn.curves] == ["image", "fused"]
    heights = dict((label, y) for y, label in drawn.rows)
    assert set(heights) == {"70", "80", "90", "100"} and heights["100"] < heights["70"]
    assert all(y == pytest.approx(heights["80"]) for _, y, _ in drawn.curves[0].marks)
    assert abs(drawn.curves[0].label_y - drawn.curves[1].label_y) >= 12
    assert drawn.curves[0].marks[0][2] == "image, R@1: 80.0 [70.0, 90.0]"


def test_gates_are_counted_word_by_word() -> None:
    brick = GatedCaption(
        "red brick, red roof", ["red", "brick", ",", "red", "roof"], [1, 1, 0, 1, 0]
    )
    gates = gates_of([brick] * 10)
    assert gates is not None and gates.num_words == 50
    assert gates.bars[0].count == 20 and gates.bars[-1].count == 30
    assert (gates.bars[-1].share, gates.bars[0].share) == (1.0, pytest.approx(2 / 3))
    assert gates.most == [("brick", 1.0)] and gates.least == [("roof", 0.0)]
    assert gates_of([]) is None


def test_a_shaded_caption_reads_as_it_was_written() -> None:
    words = ["a", "four", "-", "storey", '"', "HOTEL", '"', "."]
    caption = GatedCaption('a four-storey "HOTEL".', words, [0, 0.25, 0.5, 0.5, 0.5, 1, 0.5, 0.5])
    gates = gates_of([caption])
    assert gates is not None
    pieces = list(shaded(caption, gates))
    assert "".join(piece.before + piece.word for piece in pieces) == caption.caption
    # The 5th percentile is 0.35 * 0.25 = 0.0875, the 95th 0.5 + 0.65 * 0.5 = 0.825.
    assert [piece.shade for piece in pieces] == [0, 22, 56, 56, 56, 100, 56, 56]


def test_a_run_stands_for_its_only_evaluation_that_is_no_variant(tmp_path: Path) -> None:
    _, evaluation = write_small_evaluation(tmp_path)
    run = evaluation.parents[1]
    assert find_evaluation(run) == find_evaluation(evaluation) == evaluation
    stored = read_json(evaluation / "results.json")
    write_json(run / "eval/street-shuffled/results.json", {**stored, "variant": "shuffled"})
    assert find_evaluation(run) == evaluation
    write_json(run / "eval/other/results.json", stored)
    with pytest.raises(InvalidError, match="several evaluations; name one: .*other.*street"):
        find_evaluation(run)
    with pytest.raises(MissingError, match="make one with `vprcap eval`"):
        find_evaluation(tmp_path)


def test_results_are_not_explained_by_another_set(tmp_path: Path) -> None:
    manifest, evaluation = write_small_evaluation(tmp_path)
    loaded = read_manifest(manifest)
    write_manifest(Manifest(loaded.rows.slice(1), loaded.info), manifest)
    with pytest.raises(StaleArtefactError, match="not of street as it is now"):
        report(evaluation, manifest, tmp_path / "report.html")


@pytest.mark.parametrize("name", ["results.json", "per_query.parquet", "gates.parquet"])
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    _, evaluation = write_small_evaluation(tmp_path, captions={"q0.jpg": "a house"})
    (evaluation / name).write_text("{}")
    with pytest.raises(InvalidError, match=f"{name}.*evaluate again") as problem:
        read_evaluation(evaluation)
    assert "\n" not in str(problem.value)
