"""What a report is made of: outcomes, curves, maps, gates, distances."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_evaluation import (
    BOTH_RIGHT,
    BOTH_WRONG,
    FOUND,
    SAVED,
    SPOILED,
    UNSOLVABLE,
    write_gates,
    write_small_evaluation,
)

import vprcap.pages.outcomes as kinds_of
from vprcap.errors import InvalidError, MissingError, StaleArtefactError
from vprcap.evaluation.estimate import Estimate
from vprcap.evaluation.stored import Evaluation, GatedCaption, find_evaluation, read_evaluation
from vprcap.files import read_json, write_json
from vprcap.ground_truth.positives import Task, build_task
from vprcap.manifests.manifest import Manifest, read_manifest, write_manifest
from vprcap.manifests.rule import PositiveRule
from vprcap.pages.breakdown import breakdowns
from vprcap.pages.curves import draw_curves
from vprcap.pages.gates import gates_of, shaded
from vprcap.pages.outcomes import Kind, chosen, counted, outcomes
from vprcap.pages.positions import WIDTH, maps_of, num_regions, num_unplaced
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
    assert [found.apart for found in image.found] == ["97.1 m", "5.0 m", "197 m", "297 m"]
    assert [found.right for found in image.found] == [False, True, False, False]
    assert image.first_hit == 2 and fused.first_hit == 1


def test_distances_are_written_for_people() -> None:
    assert [metres(each) for each in (0, 9.94, 25.3, 99.96, 240.4, 999.4, 999.6, 32_100)] == [
        *("0.0 m", "9.9 m", "25.3 m", "100 m", "240 m", "999 m"),
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


def test_gates_are_counted_word_by_word_without_punctuation() -> None:
    words = ["red", "brick", ",", "red", "roof"]
    caption = GatedCaption("red brick, red roof", words, [1, 1, 0.5, 1, 0])
    gates = gates_of([caption] * 10)
    assert gates is not None and gates.num_words == 40
    assert (gates.bars[0].count, gates.bars[10].count, gates.bars[-1].count) == (10, 0, 30)
    assert (gates.bars[-1].share, gates.bars[0].share) == (1.0, pytest.approx(1 / 3))
    assert gates.most == [("brick", 1.0)] and gates.least == [("roof", 0.0)]
    assert gates_of([]) is None


def test_a_shaded_caption_reads_as_it_was_written() -> None:
    words = ["a", "four", "-", "storey", '"', "HOTEL", '"', "."]
    caption = GatedCaption('a four-storey "HOTEL".', words, [0, 0.25, 0.5, 0.5, 0.5, 1, 0.5, 0.5])
    gates = gates_of([caption])
    assert gates is not None
    pieces = list(shaded(caption, gates))
    assert "".join(piece.before + piece.word for piece in pieces) == caption.caption
    # Of 0, 0.25, 0.5, 1 the 5th percentile is 0.15 * 0.25, the 95th 0.5 + 0.85 * 0.5.
    assert (gates.low, gates.high) == (pytest.approx(0.0375), pytest.approx(0.925))
    assert [piece.shade for piece in pieces] == [0, 24, 52, 52, 52, 100, 52, 52]


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
    eastings = loaded.rows["easting"].to_pylist()
    swapped = pa.array([eastings[1], eastings[0], *eastings[2:]])  # d0 and d1: as many positives
    moved = loaded.rows.set_column(2, "easting", swapped)
    wider = replace(loaded.info, rule=PositiveRule(radius_m=30))
    for changed in (
        Manifest(loaded.rows.slice(1), loaded.info),
        Manifest(moved, loaded.info),
        Manifest(loaded.rows, wider),
    ):
        write_manifest(changed, manifest)
        with pytest.raises(StaleArtefactError, match="not of street as it is now"):
            report(evaluation, manifest, tmp_path / "report.html")


def test_two_cities_have_two_maps_and_no_distance_between_them(tmp_path: Path) -> None:
    cities = ["a", "a", "b", "b", "a", "a", "b", "b", "b"]
    found = {"image": ["d1", "d1", "d2", "d3", "d3"]}
    paths = write_small_evaluation(tmp_path, found=found, columns={"domain": cities})
    manifest, task, stored, kinds = read(*paths)
    first, second = maps_of(manifest, task, stored, kinds)
    assert (first.title, first.num_queries, first.num_database) == ("b", 3, 2)
    assert (second.title, second.num_queries) == ("a", 2)
    [row] = build_rows(manifest, task, stored, kinds, [0])
    assert [each.apart for each in row.strips[0].found] == ["97.1 m", "5.0 m", "", ""]
    [_, cities_apart, _] = breakdowns(manifest, task, stored)
    assert [(part.name, part.num_queries) for part in cities_apart.parts] == [("a", 2), ("b", 3)]


def test_what_is_not_known_of_queries_is_said_and_not_left_out(tmp_path: Path) -> None:
    columns = {
        "easting": [0.0, 100, 200, 300, 3, 103, 203, 303, None],
        "condition": [None] * 4 + ["day", "", "night", None, "night"],
        "place_id": ["a", "b", "c", "d", "a", "b", "c", "d", "e"],
    }
    info = {"rule": PositiveRule("place")}
    paths = write_small_evaluation(tmp_path, columns=columns, info=info)
    manifest, task, stored, kinds = read(*paths)
    [drawn] = maps_of(manifest, task, stored, kinds)
    assert drawn.num_queries == 4
    assert (num_regions(manifest, task), num_unplaced(manifest, task)) == (1, 1)
    parts = breakdowns(manifest, task, stored)[0].parts
    assert [(part.name, part.num_queries) for part in parts] == [
        ("day", 1),
        ("night", 2),
        ("unknown", 2),
    ]
    assert parts[1].recall["image"] is not None


def test_frames_are_counted_where_frames_are_the_rule(tmp_path: Path) -> None:
    columns = {"frame": [0, 10, 20, 30, 1, 10, 21, 30, 99]}
    info = {"rule": PositiveRule("frames", frames=1)}
    manifest, task, stored, kinds = read(
        *write_small_evaluation(tmp_path, columns=columns, info=info)
    )
    [row] = build_rows(manifest, task, stored, kinds, [0])
    assert [each.apart for each in row.strips[1].found] == [
        *("1 frames", "9 frames", "19 frames", "29 frames")
    ]


def test_gates_of_an_earlier_evaluation_are_not_those_of_one_without_captions(
    tmp_path: Path,
) -> None:
    _, evaluation = write_small_evaluation(tmp_path)
    write_gates(evaluation, {"q0.jpg": "old words"})
    assert read_evaluation(evaluation).captions == {}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("results.json", {"recall": {"image": {"1": {"value": "x", "low": 0, "high": 1}}}}),
        ("results.json", {"recall": {"image": {"7": {"value": 0, "low": 0, "high": 1}}}}),
        ("results.json", {"recall_all": None}),
        ("results.json", {"delta": []}),
        ("provenance.json", {"manifest": None}),
        ("provenance.json", {"manifest_sha256": 3}),
        ("provenance.json", {"encoders": ["a"]}),
        ("provenance.json", {"without_twins": "yes"}),
    ],
)
def test_json_of_another_kind_is_one_line(
    tmp_path: Path, name: str, change: dict[str, object]
) -> None:
    _, evaluation = write_small_evaluation(tmp_path)
    write_json(evaluation / name, {**read_json(evaluation / name), **change})
    with pytest.raises(InvalidError, match=f"{name} is damaged .*; evaluate again"):
        read_evaluation(evaluation)


def test_provenance_of_a_later_version_is_read(tmp_path: Path) -> None:
    _, evaluation = write_small_evaluation(tmp_path)
    path = evaluation / "provenance.json"
    write_json(path, {**read_json(path), "weather": "rain"})
    assert read_evaluation(evaluation).provenance is not None


@pytest.mark.parametrize("gates", [[0.5], [0.5, math.nan], [0.5, 2.0], [0.5, None]])
def test_gates_that_are_none_are_one_line(tmp_path: Path, gates: list[float]) -> None:
    _, evaluation = write_small_evaluation(tmp_path, captions={"q0.jpg": "a house"})
    rows = pq.read_table(evaluation / "gates.parquet")
    column = rows.schema.get_field_index("gates")
    wrong = rows.set_column(column, "gates", pa.array([gates], pa.list_(pa.float32())))
    pq.write_table(wrong, evaluation / "gates.parquet")
    with pytest.raises(InvalidError, match=r"gates of 'q0.jpg' are not one in 0..1 a word"):
        read_evaluation(evaluation)


@pytest.mark.parametrize("name", ["results.json", "per_query.parquet", "gates.parquet"])
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    _, evaluation = write_small_evaluation(tmp_path, captions={"q0.jpg": "a house"})
    (evaluation / name).write_text("{}")
    with pytest.raises(InvalidError, match=f"{name}.*evaluate again") as problem:
        read_evaluation(evaluation)
    assert "\n" not in str(problem.value)
