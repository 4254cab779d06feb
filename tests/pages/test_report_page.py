"""The report in a real browser."""

from collections.abc import Callable
from pathlib import Path

import pytest
from browsing import PHONE, is_wider_than_its_window
from playwright.sync_api import Page, expect
from small_evaluation import FOUND, HOSTILE, write_small_evaluation

from vprcap.stages.report import report

OpenPage = Callable[..., Page]


@pytest.fixture
def page_path(tmp_path: Path) -> Path:
    captions = {"q0.jpg": HOSTILE, "q1.jpg": "a clock tower behind a gate", "d0.jpg": "a house"}
    manifest, evaluation = write_small_evaluation(tmp_path, captions=captions)
    return report(evaluation, manifest, tmp_path / "report.html")


def test_the_page_tells_counts_rule_recalls_and_difference(
    page_path: Path, open_page: OpenPage
) -> None:
    page = open_page(page_path)
    said = page.inner_text("body")
    assert "4 images" in said and "5, of which 4 are solvable" in said
    assert "positives within 25 m (4 pairs)" in said
    # Of four solvable queries image and fused find two each.
    assert "With text 50.0 % of the solvable queries find their place first, without 50.0 %" in said
    table = page.get_by_role("region", name="Recall over all queries")
    assert table.get_by_role("row", name="fused").inner_text().split() == [
        *("fused", "40.0", "80.0", "80.0", "80.0")
    ]
    assert "vprcap eval street.parquet --run 'my run'" in said
    assert "captions/street-fake" in said and "fake-7b" in said and "Describe it." in said


def test_rows_are_filtered_by_outcome_and_by_words(page_path: Path, open_page: OpenPage) -> None:
    page = open_page(page_path)
    rows, count = page.locator("article:visible"), page.get_by_role("status")
    assert rows.count() == 5
    page.get_by_label("Outcome").select_option("saved")
    expect(count).to_have_text("1 of 5 shown")
    assert "q0.jpg" in rows.inner_text()
    page.get_by_label("Outcome").select_option("all")
    page.locator("h1").click()
    page.keyboard.press("/")
    page.keyboard.type("Tower CLOCK")
    expect(count).to_have_text("1 of 5 shown")
    assert "q1.jpg" in rows.inner_text()
    page.keyboard.press("Enter")
    expect(count).to_have_text("1 of 5 shown")


def test_a_caption_is_text_whatever_it_says(page_path: Path, open_page: OpenPage) -> None:
    page = open_page(page_path)
    row = page.locator("article", has_text="q0.jpg")
    assert row.locator(".caption").inner_text() == HOSTILE
    assert page.locator("main script, article b").count() == 0


def test_right_and_wrong_are_said_in_words_beside_each_picture(
    page_path: Path, open_page: OpenPage
) -> None:
    page = open_page(page_path)
    image, fused = page.locator("article", has_text="q0.jpg").locator(".strip").all()
    assert "first right image at rank 2" in image.inner_text()
    first = fused.locator("li").first
    assert first.inner_text().split() == ["1.", "right", "5.0", "m"]
    loaded = first.locator("img").evaluate("image => image.naturalWidth")
    assert loaded == 64
    assert first.locator("img").get_attribute("alt") == "d0.jpg"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_every_picture_has_a_name(
    page_path: Path, open_page: OpenPage, scheme: str
) -> None:
    page = open_page(page_path, viewport=PHONE, color_scheme=scheme)
    assert not is_wider_than_its_window(page)
    unnamed = "[...document.images].filter(image => !image.alt).length"
    assert page.evaluate(unnamed) == 0
    for drawing in page.locator("svg").all():
        assert drawing.get_attribute("role") == "img"
        assert drawing.locator("title").first.text_content()


def test_what_makes_results_incomparable_is_said_first(tmp_path: Path, open_page: OpenPage) -> None:
    paths = write_small_evaluation(
        tmp_path, info={"partial": "9 of 10,000 images"}, variant="corrupted captions: shuffle"
    )
    page = open_page(report(paths[1], paths[0], tmp_path / "report.html"))
    said = page.locator("header").inner_text()
    assert "Partial, not comparable: 9 of 10,000 images" in said
    assert "Changed on purpose: corrupted captions: shuffle" in said


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_can_be_told_from_the_ground(
    page_path: Path, open_page: OpenPage, scheme: str
) -> None:
    page = open_page(page_path, color_scheme=scheme)

    def colour(name: str) -> str:
        style = "getComputedStyle(document.documentElement)"
        found: str = page.evaluate(f"{style}.getPropertyValue('--{name}').trim()")
        return found

    for ground in ("ground", "raised"):
        for ink in ("ink", "faint", "accent", "right", "wrong", "unsolvable"):
            assert contrast(colour(ink), colour(ground)) >= 4.5, (ink, ground)  # WCAG 1.4.3
        assert contrast(colour("edge"), colour(ground)) >= 3  # WCAG 1.4.11


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, as WCAG 2.2 defines it."""

    def luminance(colour: str) -> float:
        channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_without_captions_there_are_no_gates_and_no_comparison(
    tmp_path: Path, open_page: OpenPage
) -> None:
    manifest, evaluation = write_small_evaluation(tmp_path, found={"image": FOUND["image"]})
    page = open_page(report(evaluation, manifest, tmp_path / "report.html"))
    said = page.inner_text("body")
    assert "50.0 % of the solvable queries find their place first (image)" in said
    assert "believed" not in said and "Captions" not in said


def test_a_damaged_picture_and_a_hostile_name_are_shown_as_what_they_are(
    tmp_path: Path, open_page: OpenPage
) -> None:
    prefix = "<img src=x onerror=alert(1)>"
    manifest, evaluation = write_small_evaluation(tmp_path, prefix=prefix)
    (tmp_path / "street" / f"{prefix}q0.jpg").write_bytes(b"")
    page = open_page(report(evaluation, manifest, tmp_path / "report.html"))
    row = page.locator("article").first
    assert f"{prefix}q0.jpg" in row.inner_text()
    assert "decode_error: " in row.locator(".hole").first.inner_text()


def test_no_more_queries_are_shown_than_asked(tmp_path: Path, open_page: OpenPage) -> None:
    manifest, evaluation = write_small_evaluation(tmp_path)
    page = open_page(report(evaluation, manifest, tmp_path / "r.html", num_queries=2))
    assert page.locator("article").count() == 2
    assert "Shown: 2 of 5" in page.inner_text("body")
