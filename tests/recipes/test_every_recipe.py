"""Every recipe by name, on its miniature: scan, describe in words, and judge descriptors.

Recall is counted a second time here, slowly: one query and one database image at a time, straight
from the manifest's columns and the recipe's rule.
"""

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from functools import cache
from pathlib import Path

import frame_miniatures
import numpy as np
import position_miniatures
import pyarrow.parquet as pq
import pytest

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.decoding import DecodePool
from vprcap.errors import InvalidError
from vprcap.manifests.manifest import Manifest, read_manifest
from vprcap.manifests.recipe import load_recipe, recipe_names
from vprcap.manifests.rule import PositiveRule
from vprcap.retrieval.descriptors import Descriptors, write_descriptors
from vprcap.stages.caption import caption
from vprcap.stages.evaluate import evaluate
from vprcap.workflows.prepare import Source, prepare

FOR_TRAINING = {"gsv-cities", "msls-train"}
MINIATURES = position_miniatures.MINIATURES | frame_miniatures.MINIATURES
SPLITS = [(name, split) for name in recipe_names() for split in load_recipe(name).splits]
Row = dict[str, object]


@pytest.fixture(scope="module", autouse=True)
def _one_decoder() -> Iterator[None]:
    """Decode all sets in one process: to start one takes longer than a miniature does."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        start = cache(lambda *arguments: stack.enter_context(DecodePool(*arguments)))
        patch.setattr(
            "vprcap.stages.caption.DecodePool", lambda *arguments: nullcontext(start(*arguments))
        )
        yield


def prepared(name: str, split: str, root: Path, *, allow_partial: bool = True) -> Path:
    MINIATURES[name](root)
    source = Source(dataset=name, root=root, split=split, allow_partial=allow_partial)
    return prepare(source)


def test_every_recipe_has_a_miniature() -> None:
    assert sorted(MINIATURES) == recipe_names()


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_a_recipe_scans_captions_and_evaluates_by_name(
    name: str, split: str, tmp_path: Path
) -> None:
    manifest_path = prepared(name, split, tmp_path)
    manifest = read_manifest(manifest_path)
    check_captions(manifest_path, manifest)
    if name in FOR_TRAINING:
        with pytest.raises(InvalidError, match="has no database images; set their role") as caught:
            judge(manifest_path, manifest, tmp_path)
        assert "\n" not in str(caught.value)
    else:
        check_recalls(manifest, *judge(manifest_path, manifest, tmp_path))


def check_captions(path: Path, manifest: Manifest) -> None:
    """Every image of the manifest is decoded and described."""
    captions = caption(open_job(JobOptions(path, captioner="fake")), WorkOptions(decode_workers=1))
    rows = pq.read_table(captions / "data", columns=["image_id", "status"]).to_pylist()
    assert {row["image_id"]: row["status"] for row in rows} == dict.fromkeys(
        manifest.image_ids, "ok"
    )


def judge(path: Path, manifest: Manifest, tmp_path: Path) -> tuple[np.ndarray, dict]:
    """Evaluate random unit vectors."""
    vectors = np.random.default_rng(7).normal(size=(manifest.rows.num_rows, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    present = np.ones(len(vectors), dtype=bool)
    stored = write_descriptors(Descriptors(vectors, present), tmp_path / "descriptors")
    results = evaluate(path, {"image": (stored, stored)}, tmp_path / "eval")
    return vectors, json.loads(results.read_text())


def check_recalls(manifest: Manifest, vectors: np.ndarray, results: dict) -> None:
    rows = manifest.rows.to_pylist()
    ranks = [
        first_rank(manifest.info.rule, rows, vectors, asked)
        for asked, row in enumerate(rows)
        if row["role"] == "query"
    ]
    solvable = [rank for rank in ranks if rank is not None]
    assert (results["num_queries"], results["num_solvable"]) == (len(ranks), len(solvable))
    assert results["partial"] == manifest.info.partial
    for cutoff in (1, 5, 10, 20):
        hits = sum(rank <= cutoff for rank in solvable)
        found = results["recall"]["image"][str(cutoff)]["value"]
        assert found == pytest.approx(hits / len(solvable) if solvable else 0.0)
        of_all = results["recall_all"]["image"][str(cutoff)]
        assert of_all == pytest.approx(hits / len(ranks))


def first_rank(rule: PositiveRule, rows: list[Row], vectors: np.ndarray, asked: int) -> int | None:
    """Place of the nearest positive among the database images of the query's domain."""
    query = rows[asked]
    own = [
        number
        for number, row in enumerate(rows)
        if row["role"] == "database" and row["domain"] == query["domain"]
    ]
    own.sort(key=lambda number: -float(np.dot(vectors[number], vectors[asked])))
    places = [
        place for place, number in enumerate(own, 1) if is_positive(rule, query, rows[number])
    ]
    return min(places, default=None)


def is_positive(rule: PositiveRule, query: Row, row: Row) -> bool:
    match rule.kind:
        case "frames":
            return abs(query["frame"] - row["frame"]) <= rule.frames
        case "place":
            return query["place_id"] == row["place_id"]
        case "listed":
            return row["image_id"] in (query["positives"] or [])
    metres = math.dist(*((each["easting"], each["northing"]) for each in (query, row)))
    if round(metres, 6) > rule.radius_m:
        return False
    if rule.heading_deg is None:
        return True
    gap = abs(query["heading_deg"] - row["heading_deg"]) % 360
    return min(gap, 360 - gap) <= rule.heading_deg + 1e-6


@pytest.mark.parametrize(
    ("name", "split"), [each for each in SPLITS if load_recipe(each[0]).splits[each[1]].counts]
)
def test_counts_of_a_miniature_are_refused(name: str, split: str, tmp_path: Path) -> None:
    """A set that has verified counts is not taken for another without saying so."""
    with pytest.raises(InvalidError, match=r"has \d+ of \d+ .*; likely cause: ") as caught:
        prepared(name, split, tmp_path, allow_partial=False)
    assert "\n" not in str(caught.value)


def test_the_second_implementation_is_not_the_first_in_disguise() -> None:
    """By hand: 25 m is within 25 m and 25.01 m is not; headings are compared the shorter way."""
    here = {"easting": 0.0, "northing": 0.0, "heading_deg": 350.0}
    tie = {"easting": 7.0, "northing": 24.0, "heading_deg": 30.0}
    far = {"easting": 7.0, "northing": 24.02, "heading_deg": 30.0}
    assert is_positive(PositiveRule(), here, tie) and not is_positive(PositiveRule(), here, far)
    assert is_positive(PositiveRule(heading_deg=40.0), here, tie)
    assert not is_positive(PositiveRule(heading_deg=39.0), here, tie)
