"""What all pages share: nothing is loaded, nothing from outside is run, pictures are small."""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from browsing import PHONE, is_wider_than_its_window
from PIL import Image
from playwright.sync_api import Page

from vprcap.errors import InvalidError
from vprcap.pages import render, write_page
from vprcap.pages.pictures import thumbnail


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_frame_of_all_pages_opens_in_a_browser_and_follows_its_colours(
    tmp_path: Path, open_page: Callable[..., Page], scheme: str
) -> None:
    path = write_page(tmp_path / "page.html", "base", {})
    page = open_page(path, color_scheme=scheme, viewport=PHONE)
    shown = page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(each) for each in re.findall(r"\d+", shown)]
    assert (max(channels) < 64) if scheme == "dark" else (min(channels) > 192)
    assert not is_wider_than_its_window(page)


def test_the_keyboard_reaches_the_content_first(
    tmp_path: Path, open_page: Callable[..., Page]
) -> None:
    page = open_page(write_page(tmp_path / "page.html", "base", {}))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_a_page_forbids_itself_to_load_anything() -> None:
    assert "default-src 'none'" in render("base", {})


def test_a_thumbnail_keeps_the_shape_and_is_no_larger_than_asked(tmp_path: Path) -> None:
    Image.new("RGB", (400, 200), "red").save(tmp_path / "a.jpg")
    small = thumbnail(tmp_path, "a.jpg", 100)
    assert small.problem is None and small.uri is not None
    data = base64.b64decode(small.uri.removeprefix("data:image/jpeg;base64,"))
    assert Image.open(io.BytesIO(data)).size == (small.width, small.height) == (100, 50)


def test_what_keeps_a_picture_from_being_shown_is_said(tmp_path: Path) -> None:
    (tmp_path / "damaged.jpg").write_bytes(b"no picture")
    assert thumbnail(tmp_path, "damaged.jpg", 100).problem == (
        "decode_error: not an image; fetch it again"
    )
    assert thumbnail(tmp_path, "none.jpg", 100).problem == "missing: no such file; restore it"


def test_no_picture_outside_the_root_is_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    for name in ("../secret.png", str(tmp_path / "secret.png")):
        for follow in (False, True):
            assert thumbnail(root, name, 8, follow_links=follow).problem == (
                "leads out of the image root"
            )
    assert thumbnail(root, "link.png", 8).problem == (
        "is a link out of the image root; --follow-links shows it"
    )
    assert thumbnail(root, "link.png", 8, follow_links=True).width == 8


def test_a_name_that_cannot_be_followed_is_a_problem_of_that_picture(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    for name in ("loop.png", "a\0b.png"):
        problem = thumbnail(tmp_path, name, 8).problem
        assert problem is not None and "\n" not in problem


def test_a_page_without_a_name_is_one_line() -> None:
    with pytest.raises(InvalidError, match="/ is no file to write; name one"):
        write_page(Path("/"), "base", {})
