"""Captions beside their images, in a real browser: as one file, and served."""

import http.client
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browsing import PHONE, is_wider_than_its_window
from playwright.sync_api import Browser, Page, expect

from small_sets import HOSTILE, ROWS, write_captions
from vprcap.caption_sets.blocks import Blocks
from vprcap.caption_sets.search import Asked, search
from vprcap.errors import Interrupted, InvalidError, StorageError
from vprcap.pages.captions_server import CaptionServer
from vprcap.pages.differences import differences
from vprcap.stages.view import open_sets, view

OpenPage = Callable[..., Page]
OTHERS = {**ROWS, "a.jpg": {"caption": "A blue brick house with a tower."}}


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    return write_captions(tmp_path)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., CaptionServer]]:
    """Serve sets until the test is over."""
    servers: list[CaptionServer] = []

    def start(captions: Path, other: Path | None = None) -> CaptionServer:
        server = CaptionServer(open_sets(captions, other))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(server: CaptionServer, path: str, method: str = "GET", host: str | None = None) -> tuple:
    """Return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


def test_differences_are_the_words_that_the_other_has_not() -> None:
    left, right = differences("a red brick house", "a blue house there")
    assert [(piece.text, piece.changed) for piece in left] == [
        ("a", False),
        ("red brick", True),
        ("house", False),
    ]
    assert [(piece.text, piece.changed) for piece in right] == [
        ("a", False),
        ("blue", True),
        ("house", False),
        ("there", True),
    ]
    assert differences("same", "same")[0][0].changed is False
    assert differences("", "")[0] == []


def test_a_page_shows_images_texts_failures_and_flags_and_filters_them(
    captions: Path, tmp_path: Path, open_page: OpenPage
) -> None:
    page = open_page(view(captions, tmp_path / "page.html"))
    rows, count = page.locator("article:visible"), page.get_by_role("status")
    assert rows.count() == 5
    assert rows.nth(1).locator(".caption").inner_text() == HOSTILE
    assert rows.nth(0).locator("img").evaluate("image => image.naturalWidth") == 256
    page.get_by_label("Status").select_option("oom")
    expect(count).to_have_text("1 of 5 shown")
    assert "out of memory <even> alone" in rows.inner_text()
    page.get_by_label("Status").select_option("all")
    page.get_by_label("Flag").select_option("refusal")
    expect(count).to_have_text("1 of 5 shown")
    assert "c.jpg" in rows.inner_text()
    page.get_by_label("Flag").select_option("any or none")
    page.locator("h1").click()
    page.keyboard.press("/")
    page.keyboard.type("CANAL")
    expect(count).to_have_text("1 of 5 shown")
    assert "e.jpg" in rows.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_two_sets_stand_side_by_side_with_their_differences_marked(
    captions: Path, tmp_path: Path, open_page: OpenPage, scheme: str
) -> None:
    other = write_captions(tmp_path, OTHERS, model="other")
    path = view(captions, tmp_path / "page.html", other=other)
    page = open_page(path, color_scheme=scheme)
    assert page.locator("article").first.locator("mark").all_inner_texts() == ["red", "blue"]
    assert page.locator("mark").count() == 2
    page.get_by_label("different only").check()
    expect(page.get_by_role("status")).to_have_text("1 of 5 shown")
    phone = open_page(path, color_scheme=scheme, viewport=PHONE)
    assert not is_wider_than_its_window(phone)
    assert "other" in phone.locator("article").first.inner_text()


def test_a_page_of_some_rows_says_of_how_many(captions: Path, tmp_path: Path) -> None:
    text = view(captions, tmp_path / "p.html", num_rows=2).read_text("utf-8")
    assert text.count("<article") == 2 and "2 of 5 rows, of 5 in the set" in text
    assert "a.jpg" in text and "c.jpg" in text  # every second, not the first two
    asked = Asked(words=("tower",))
    assert "1 of 1 rows that were asked for, of 5 in the set" in view(
        captions, tmp_path / "p.html", asked=asked
    ).read_text("utf-8")
    with pytest.raises(InvalidError, match="no status 'gone' here; there are: ok, oom"):
        view(captions, tmp_path / "p.html", asked=Asked(status="gone"))
    with pytest.raises(InvalidError, match="no flag 'bad' here; there are: empty, refusal"):
        view(captions, tmp_path / "p.html", asked=Asked(flag="bad"))


def test_a_served_set_is_searched_and_paged(
    tmp_path: Path, serve: Callable[..., CaptionServer], open_page: OpenPage
) -> None:
    many = {f"{number:03}.jpg": {"caption": f"house {number}"} for number in range(120)}
    server = serve(write_captions(tmp_path, many, shard_size=50))
    page = open_page(server.address)
    expect(page.locator("article")).to_have_count(50)
    for number in (2, 3):
        page.get_by_role("link", name="Later").click()
        expect(page.locator("nav")).to_contain_text(f"Page {number} of 3")
    expect(page.locator("article")).to_have_count(20)
    expect(page.locator("article").last).to_contain_text("119.jpg")
    page.keyboard.press("/")
    page.keyboard.type("house 11")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("11 of 120")  # 11 and 110 to 119
    first = page.locator("article img").first
    for width in ("naturalWidth", "width"):
        expect(first).to_have_js_property(width, 256)


def test_a_served_comparison_shows_only_differences_if_asked(
    captions: Path, tmp_path: Path, serve: Callable[..., CaptionServer], open_page: OpenPage
) -> None:
    page = open_page(serve(captions, write_captions(tmp_path, OTHERS, model="other")).address)
    assert page.locator("article").count() == 5
    page.get_by_label("different only").check()
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("status")).to_have_text("1 of 5")
    expect(page.get_by_label("different only")).to_be_checked()


def test_a_picture_that_cannot_be_shown_says_why_until_it_is_restored(
    captions: Path, tmp_path: Path, serve: Callable[..., CaptionServer], browser: Browser
) -> None:
    server = serve(captions)
    picture = (tmp_path / "images/a.jpg").read_bytes()
    (tmp_path / "images/a.jpg").unlink()
    (tmp_path / "secret.jpg").write_bytes(picture)
    (tmp_path / "images/b.jpg").unlink()
    (tmp_path / "images/b.jpg").symlink_to(tmp_path / "secret.jpg")
    (tmp_path / "images/c.jpg").unlink()
    (tmp_path / "images/c.jpg").symlink_to(tmp_path / "images/c.jpg")
    for row, reason in ((0, b"missing: no such file"), (1, b"a link out of the image root")):
        status, headers, body = ask(server, f"/image/{row}")
        assert (status, headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
        assert reason in body
    assert ask(server, "/image/2")[0] == 404
    page = browser.new_page()  # it complains of what it cannot load
    page.goto(server.address)
    page.get_by_role("link", name="a.jpg cannot be shown: why?").click()  # waits: it loads lazily
    expect(page.locator("body")).to_contain_text("missing: no such file")
    page.close()
    (tmp_path / "images/a.jpg").write_bytes(picture)
    assert ask(server, "/image/0")[0] == 200


def test_a_newer_search_takes_the_place_of_a_slow_one_and_pages_do_not_wait(
    captions: Path, serve: Callable[..., CaptionServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, begun = serve(captions), threading.Event()

    def slow(
        blocks: Blocks, asked: Asked, other: object, should_stop: Callable[[], bool]
    ) -> object:
        if "slow" in asked.words:
            begun.set()
            while not should_stop():
                time.sleep(0.01)
            raise Interrupted("given up")
        return search(blocks, asked)

    monkeypatch.setattr("vprcap.pages.captions_server.search", slow)
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(ask(server, "/?search=slow")[0]))
    waiting.start()
    assert begun.wait(10)
    assert ask(server, "/image/0")[0] == 200
    status, _, body = ask(server, "/?search=tower")
    assert status == 200 and body.count(b"<article") == 1
    waiting.join(10)
    assert answers == [503]


def test_captions_that_say_one_thing_again_and_again_are_compared_in_no_time() -> None:
    begun = time.perf_counter()
    left, right = differences("start " + "a " * 800 + "end", "start " + "a red " * 400 + "end")
    assert time.perf_counter() - begun < 1
    assert " ".join(piece.text for piece in left) == "start " + "a " * 800 + "end"
    assert [piece.changed for piece in right] == [False, True, False]
    assert right[0].text == "start a" and right[-1].text == "end"


def test_rows_without_a_partner_are_not_marked_as_different(captions: Path, tmp_path: Path) -> None:
    others = {name: row for name, row in OTHERS.items() if name not in ("b.jpg", "e.jpg")}
    other = write_captions(tmp_path, others, model="other")
    text = view(captions, tmp_path / "p.html", other=other).read_text("utf-8")
    assert text.count("<mark>") == 2 and text.count("not in this set") == 2


def test_the_server_reads_only_answers_to_its_own_name_and_opens_no_path(
    captions: Path, serve: Callable[..., CaptionServer]
) -> None:
    server = serve(captions)
    port = server.server_port
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "/", host=f"localhost:{port}")[0] == 200
    for foreign in ("example.org", f"example.org:{port}", f"127.0.0.1:{port}@example.org"):
        assert ask(server, "/", host=foreign)[0] == 403
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, "/", method)[0] == 501
    outside = (
        "http://[/",
        "/image/5",
        "/image/../images/a.jpg",
        "/image/-1",
        "/image/+1",
        "/a.jpg",
        "//a",
    )
    for path in outside:
        assert ask(server, path)[0] == 404, path


def test_every_answer_forbids_to_be_taken_for_something_else(
    captions: Path, serve: Callable[..., CaptionServer]
) -> None:
    server = serve(captions)
    for path in ("/", "/image/0", "/nothing"):
        _, headers, _ = ask(server, path)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    status, headers, body = ask(server, "/image/0", "HEAD")
    assert (status, body) == (200, b"") and int(headers["Content-Length"]) > 100


def test_nonsense_in_an_address_is_a_page_nevertheless(
    captions: Path, serve: Callable[..., CaptionServer]
) -> None:
    server = serve(captions)
    for query in ("page=-1", "page=9999999999999999", "page=x", "status=gone&flag=%00", "%ff=%fe"):
        status, _, body = ask(server, f"/?{query}")
        assert status == 200 and body.count(b"<article") == 5, query
    assert b"Nothing has all of that" in ask(server, "/?search=%3Cscript%3Ezebra")[2]


def test_a_set_that_changes_while_it_is_served_is_told_of(
    captions: Path, serve: Callable[..., CaptionServer]
) -> None:
    server = serve(captions)
    for path in (captions / "data").iterdir():
        path.unlink()
    status, _, body = ask(server, "/")
    assert status == 500 and b"start `vprcap view` again" in body


def test_a_port_that_is_taken_is_one_line(
    captions: Path, serve: Callable[..., CaptionServer]
) -> None:
    server = serve(captions)
    with pytest.raises(StorageError, match="cannot listen on 127.0.0.1:.*another --port"):
        CaptionServer(server.shown, server.server_port)


def call(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vprcap", "view", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_the_command_writes_a_page_of_images_that_were_moved(
    captions: Path, tmp_path: Path
) -> None:
    (tmp_path / "images").rename(tmp_path / "moved")
    done = call(captions, "--images", tmp_path / "moved", "--search", "tower", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = tmp_path / done.stdout.strip()
    assert page.name == f"{captions.name}.html"
    assert page.read_text("utf-8").count('src="data:image/jpeg') == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--serve", "--out", "x.html"], "--serve shows all rows and writes nothing"),
        (["--serve", "--status", "nonsense"], "no status 'nonsense' here; there are: ok, oom"),
        (["--port", "8000"], "--port is of --serve"),
    ],
)
def test_options_without_effect_are_refused(
    captions: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    done = call(captions, *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_the_command_serves_until_it_is_interrupted(captions: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "vprcap",
        "view",
        str(captions),
        "--serve",
        "--flag",
        "refusal",
    ]
    serving = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=take_interrupts,
    )
    try:
        assert serving.stdout is not None
        with serving.stdout as said:
            address = said.readline().strip()
        assert address.startswith("http://127.0.0.1:") and address.endswith("/?flag=refusal")
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert answer.read().count(b"<article") == 1
        serving.send_signal(signal.SIGINT)
        assert serving.wait(10) == 0
    finally:
        serving.kill()
        serving.wait()


def take_interrupts() -> None:
    """Undo what a shell does to programs in the background: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
