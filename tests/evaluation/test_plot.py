"""Figures and tables for papers."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from vprcap.errors import InvalidError
from vprcap.evaluation.comparison import Comparison, Row
from vprcap.evaluation.estimate import Estimate
from vprcap.evaluation.figures import comparison_figure, methods_figure, recall_figure
from vprcap.evaluation.latex import escaped, latex_table
from vprcap.evaluation.plot import FORMATS, Curve, Drawing, write_drawing
from vprcap.evaluation.report import RecallReport
from vprcap.files import write_json
from vprcap.workflows.plotting import plot_results

HIGH, LOW = Estimate(0.9, 0.85, 0.95), Estimate(0.6, 0.5, 0.7)
DRAWING = Drawing(
    "city: wrong-place <1>",
    "share of captions",
    "R@1 (%)",
    [Curve("fused", [0.0, 1.0], [HIGH, LOW]), Curve("image-only", [0.0, 1.0], [LOW, LOW])],
)
CUTS = ("1", "5", "10", "20")
REPORT = RecallReport(
    name="street_1",
    partial=None,
    num_database=1000,
    num_queries=500,
    num_solvable=480,
    rule="positives within 25 m",
    resampled="queries",
    recall={"image": dict.fromkeys(CUTS, LOW), "fused": dict.fromkeys(CUTS, HIGH)},
    recall_all={},
    delta=dict.fromkeys(CUTS, Estimate(0.3, -0.02, 0.35)),
)


def compared(title: str, recalls: dict[str, Estimate]) -> Comparison:
    rows = [Row(name, estimate, [estimate.value], None, None) for name, estimate in recalls.items()]
    return Comparison(title, "city", None, 200, next(iter(recalls)), "queries", rows)


def words_in(path: Path) -> set[str | None]:
    root = ElementTree.parse(path).getroot()
    assert root.tag.endswith("svg")
    return {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}


def test_a_plot_is_svg_with_its_words_as_text(tmp_path: Path) -> None:
    words = words_in(write_drawing(tmp_path / "curve.svg", DRAWING))
    assert {DRAWING.title, DRAWING.x, DRAWING.y, "fused", "image-only"} <= words


@pytest.mark.parametrize("suffix", FORMATS)
def test_equal_numbers_give_equal_bytes(tmp_path: Path, suffix: str) -> None:
    first, second = (
        write_drawing(tmp_path / f"{name}{suffix}", DRAWING).read_bytes() for name in "ab"
    )
    assert first == second
    other = replace(DRAWING, curves=DRAWING.curves[::-1])
    assert write_drawing(tmp_path / f"c{suffix}", other).read_bytes() != first
    assert first.startswith(b"%PDF" if suffix == ".pdf" else b"<?xml")


def test_every_curve_is_drawn_and_looks_different(tmp_path: Path) -> None:
    curves = [Curve(f"method {number}", [1, 5], [LOW, HIGH]) for number in range(6)]
    path = write_drawing(tmp_path / "m.svg", replace(DRAWING, curves=curves))
    assert {f"method {number}" for number in range(6)} <= words_in(path)
    assert all(colour in path.read_text() for colour in ("#0072b2", "#d55e00", "#56b4e9"))


def test_nothing_is_imported_to_draw_before_something_is_drawn() -> None:
    code = "import sys, vprcap.evaluation.plot; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_recall_is_drawn_over_k_for_each_mode_and_each_method() -> None:
    drawing = recall_figure(REPORT)
    assert [curve.label for curve in drawing.curves] == ["image", "fused"]
    assert list(drawing.curves[0].x) == [1, 5, 10, 20]
    assert "street_1" in drawing.title and "25 m" in drawing.title
    assert "PARTIAL" in recall_figure(replace(REPORT, partial="half")).title
    alone = replace(REPORT, recall={"image": REPORT.recall["image"]}, variant="ablation x")
    both = methods_figure({"ours": REPORT, "theirs": alone})
    assert [curve.label for curve in both.curves] == ["ours (fused)", "theirs (image, ablation x)"]


def test_a_corruption_is_drawn_over_its_strength() -> None:
    recalls = {"image-only": LOW, "strength 0": HIGH, "strength 0.5": LOW, "strength 1": LOW}
    drawing = comparison_figure(compared("captions corrupted by drop-words, seeds: 3", recalls))
    fused, image = drawing.curves
    assert (fused.label, list(fused.x)) == ("fused", [0.0, 0.5, 1.0])
    assert list(fused.estimates) == [HIGH, LOW, LOW]
    assert (image.label, list(image.estimates)) == ("image-only", [LOW] * 3)
    assert drawing.x == "share of words corrupted"


def test_length_is_drawn_over_its_numbers_with_codes_as_levels() -> None:
    recalls = {
        **{"fused 512": HIGH, "fused 128": LOW, "image-only 128": LOW},
        "fused 512 bits, re-ranked": HIGH,
    }
    drawing = comparison_figure(compared("dims", recalls))
    assert [(curve.label, list(curve.x)) for curve in drawing.curves] == [
        ("fused", [128, 512]),
        ("image-only", [128]),
    ]
    assert drawing.levels == [("fused 512 bits, re-ranked", HIGH)]
    with pytest.raises(InvalidError, match="is a table"):
        comparison_figure(compared("gates", {"two-evidence": HIGH, "none": LOW}))


def test_a_table_says_protocol_intervals_and_the_paired_difference() -> None:
    lines = latex_table({"runs/a": REPORT}).splitlines()
    assert lines[1] == r"\begin{tabular}{lrrrr}" and lines[-1] == r"\end{tabular}"
    assert (
        r"\multicolumn{5}{l}{runs/a: street\_1, 1,000 database, 500 queries (480 solvable), "
        r"positives within 25 m} \\"
    ) in lines
    cell = r"90.0 {\scriptsize [85.0, 95.0]}"
    assert rf"fused & {cell} & {cell} & {cell} & {cell} \\" in lines
    gain = r"$+$30.0 {\scriptsize [$-$2.0, $+$35.0]}"
    assert any(line.startswith(rf"fused $-$ image, paired & {gain} &") for line in lines)


def test_names_are_printed_by_latex_and_not_run() -> None:
    assert escaped(r"\input{x} 5% a_b ~ ^ & # $") == (
        r"\textbackslash{}input\{x\} 5\% a\_b \textasciitilde{} \textasciicircum{} \& \# \$"
    )


def test_results_of_several_kinds_give_their_files(tmp_path: Path) -> None:
    for run in ("a", "b"):
        write_json(tmp_path / run / "eval/street/results.json", REPORT.to_json())
    curve = compared(
        "captions corrupted by shuffle, seeds: 3", {"image-only": LOW, "strength 0": HIGH}
    )
    write_json(tmp_path / "a/eval/street-shuffle/curve.json", curve.to_json())
    lane = replace(REPORT, name="lane")  # one evaluation of another set is compared with nothing
    write_json(tmp_path / "b/eval/lane/results.json", lane.to_json())
    named = [tmp_path / "a/eval/street", tmp_path / "b/eval/street", tmp_path / "b/eval/lane"]
    named += [tmp_path / "a/eval/street-shuffle"]
    files = plot_results(named, tmp_path / "figures")
    names = ["a-street-shuffle", "recall-a-street", "recall-b-street", "recall-b-lane", "methods"]
    wanted = [f"{name}{suffix}" for name in names for suffix in FORMATS]
    assert [path.name for path in files] == [*wanted, "results.tex"]
    assert all(path.stat().st_size > 500 for path in files)


@pytest.mark.parametrize("stored", ["{}", "[]", '{"rows": [{}]}', '{"rows": 1}', "3"])
def test_a_file_that_holds_no_recalls_is_one_line(tmp_path: Path, stored: str) -> None:
    (tmp_path / "results.json").write_text(stored)
    with pytest.raises(InvalidError, match=r"holds no recalls .*name results of `vprcap eval`"):
        plot_results([tmp_path / "results.json"], tmp_path / "figures")
