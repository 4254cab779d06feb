import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from vprcap.evaluation.estimate import Estimate
from vprcap.evaluation.plot import Axes, write_curves

CURVES = {
    "fused": [Estimate(0.9, 0.85, 0.95), Estimate(0.7, 0.6, 0.8)],
    "image-only": [Estimate(0.6, 0.5, 0.7)] * 2,
}
AXES = Axes("city: wrong-place <1>", "share of captions", "R@1 (%)")


def test_a_plot_is_svg_with_its_words_as_text(tmp_path: Path) -> None:
    path = write_curves(tmp_path / "curve.svg", AXES, [0.0, 1.0], CURVES)
    root = ElementTree.parse(path).getroot()
    words = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert root.tag.endswith("svg")
    assert {AXES.title, AXES.x, AXES.y, "fused", "image-only"} <= words


def test_equal_numbers_give_equal_bytes(tmp_path: Path) -> None:
    first, second = (
        write_curves(tmp_path / name, AXES, [0.0, 1.0], CURVES).read_bytes() for name in "ab"
    )
    assert first == second
    other = {**CURVES, "fused": CURVES["fused"][::-1]}
    assert write_curves(tmp_path / "c", AXES, [0.0, 1.0], other).read_bytes() != first


def test_nothing_is_imported_to_draw_before_something_is_drawn() -> None:
    code = "import sys, vprcap.evaluation.plot; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False"
