"""The captioner `openai` against a real server process on loopback."""

import base64
import gc
import hashlib
import io
import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from chat_servers import ChatServer
from PIL import Image

import vprcap.captioners.openai as openai_module
import vprcap.captioners.server as server_module
from vprcap.captioners import Generated, Unavailable, load_captioner, row_seeds
from vprcap.captioners.openai import OpenAICaptioner
from vprcap.errors import DependencyError, Interrupted, InvalidError
from vprcap.prompt import Prompt

PROMPT = Prompt("test", 'Describe the place: "é", <b>, \\n.')
SIDE = 24
PICTURES = [
    np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    for seed in range(8)
]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(server_module, "_LONGEST_PAUSE", 0.05)


@pytest.fixture(autouse=True)
def without_lost_connections() -> Iterator[None]:
    """Collect what a test left behind before the next one looks for unclosed connections.

    anyio loses a connection whose task is cancelled in the moment that it is made (`connect_tcp`
    leaves its task group before it returns the stream); Python closes it with the garbage.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def never() -> bool:
    return False


def within(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def captioner_of(server: ChatServer, **options: Any) -> OpenAICaptioner:
    settings: dict[str, Any] = {"quantization": "nf4", "max_new_tokens": 77, "framing": "pad"}
    loaded = load_captioner(
        "openai",
        options.pop("model", None),
        prompt=PROMPT,
        base_url=server.url,
        image_side=SIDE,
        **{**settings, **options},
    )
    assert isinstance(loaded, OpenAICaptioner)
    loaded.load()
    return loaded


def png_of(request: dict[str, Any]) -> bytes:
    url = request["messages"][0]["content"][0]["image_url"]["url"]
    head, _, data = url.partition(",")
    assert head == "data:image/png;base64"
    return base64.b64decode(data)


def digest_of(server: ChatServer, captioner: OpenAICaptioner, image: np.ndarray) -> str:
    """SHA-256 of the PNG that is sent for a picture, as the server got it."""
    captioner.caption([image], never)
    digest: str = server.asked()[-1]["picture"]
    return digest


def test_the_server_gets_the_very_pixels_the_prompt_and_the_settings(
    chat_server: ChatServer,
) -> None:
    captioner = captioner_of(chat_server)
    [written] = captioner.caption(PICTURES[:1], never)
    [asked] = chat_server.asked()
    request = asked["request"]
    with Image.open(io.BytesIO(png_of(request))) as sent:
        assert sent.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(sent), PICTURES[0])
    [message] = request.pop("messages")
    assert message["role"] == "user"
    assert [part["type"] for part in message["content"]] == ["image_url", "text"]
    assert message["content"][1]["text"] == PROMPT.text
    assert request == {"model": "tiny", "max_tokens": 77, "temperature": 0.0}
    assert asked["key"] is None
    words = hashlib.sha256(png_of(asked["request"] | {"messages": [message]})).hexdigest()[:8]
    assert written == Generated(f"a wall with {words}", "stop", 11, 4)


def test_a_sampled_caption_has_the_seed_of_its_row(chat_server: ChatServer) -> None:
    captioner = captioner_of(chat_server, temperature=0.7, seed=3)
    seeds = row_seeds(captioner.config, ["aa", "bb"])
    captioner.caption(PICTURES[:2], never, seeds)
    sent = {entry["request"]["seed"] for entry in chat_server.asked()}
    assert sent == {int(f"{seed:0128b}"[:31], 2) for seed in seeds}
    assert {entry["request"]["temperature"] for entry in chat_server.asked()} == {0.7}


def test_the_key_is_sent_and_told_to_nobody(
    chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    captioner = captioner_of(chat_server)
    captioner.caption(PICTURES[:1], never)
    assert chat_server.asked()[0]["key"] == "Bearer sk-secret"
    assert "sk-secret" not in repr(captioner.config) + captioner.device
    chat_server.behave(always={"status": 401, "body": json.dumps({"error": "no sk-secret"})})
    with pytest.raises(InvalidError, match=r"wants another key \(401 no \*\*\*\); set OPENAI"):
        captioner.caption(PICTURES[:2], never)


def test_the_configuration_names_what_changes_the_text_and_not_the_address(
    chat_server: ChatServer,
) -> None:
    entry = {"id": "llava", "owned_by": "vllm", "root": "/weights", "created": 5}
    chat_server.behave(models=[200, {"data": [entry]}])
    captioner = captioner_of(chat_server)
    config = captioner.config
    assert (config.captioner, config.model, config.revision) == (
        "openai",
        "llava",
        "owned_by=vllm, root=/weights",
    )
    assert config.processor == {"side": SIDE, "fill": (122, 116, 104), "encoding": "png"}
    other = ChatServer(chat_server.folder.with_name("other"))
    other.behave(models=[200, {"data": [entry | {"created": 6}]}])
    other.start()
    try:
        assert captioner_of(other).config.config_id == config.config_id
        larger = captioner_of(other, max_new_tokens=78).config.config_id
        assert larger != config.config_id
    finally:
        other.kill()


def test_the_address_may_come_from_the_environment(
    chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"quantization": "none", "max_new_tokens": 8, "framing": "pad"}
    with pytest.raises(InvalidError, match="openai needs a server; give --base-url"):
        load_captioner("openai", None, prompt=PROMPT, **options)
    monkeypatch.setenv("OPENAI_BASE_URL", chat_server.url + "/")
    loaded = load_captioner("openai", None, prompt=PROMPT, **options)
    assert (loaded.config.model, loaded.device) == ("tiny", chat_server.url)
    assert loaded.framing.side == 336


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8000", "is no address"),
        ("ftp://server/v1", "is no address"),
        ("http://", "is no address"),
        ("http://user:sk-secret@server/v1", "may hold no key"),
        ("https://server/v1?api-key=sk-secret", "may hold no key"),
    ],
)
def test_an_address_that_is_none_is_one_line(url: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message) as caught:
        load_captioner(
            "openai",
            None,
            prompt=PROMPT,
            quantization="none",
            max_new_tokens=8,
            framing="pad",
            base_url=url,
        )
    assert "sk-secret" not in str(caught.value)


def test_a_batch_is_so_many_requests_at_once_and_no_more(chat_server: ChatServer) -> None:
    captioner = captioner_of(chat_server)
    chat_server.behave(always={"delay": 0.3})
    begun = time.monotonic()
    captioner.caption(PICTURES[:5], never)
    assert time.monotonic() - begun < 5 * 0.3
    assert max(entry["peak"] for entry in chat_server.asked()) == 5


def test_captions_come_back_in_the_order_of_their_images(chat_server: ChatServer) -> None:
    captioner = captioner_of(chat_server)
    alone = [captioner.caption([image], never)[0] for image in PICTURES]
    chat_server.behave(next=[{"delay": 0.2}, {}, {"delay": 0.1}])
    assert captioner.caption(PICTURES, never) == alone
    assert len({each.text for each in alone}) == len(PICTURES)


def test_retry_after_is_honoured(chat_server: ChatServer) -> None:
    captioner = captioner_of(chat_server)
    chat_server.behave(next=[{"status": 429, "headers": {"Retry-After": "1"}}])
    assert captioner.caption(PICTURES[:1], never)[0].status == "ok"
    first, second = (entry["time"] for entry in chat_server.asked())
    assert 1.0 <= second - first < 5


@pytest.mark.parametrize(
    "reply",
    [
        {"status": 408},
        {"status": 429},
        {"status": 500},
        {"status": 503},
        {"cut": True},
        {"body": "<html>"},
        {"body": "{}"},
        {"body": '{"choices": [{"message": {"content": "ha"}, "finish_reason": "abort"}]}'},
        {"huge": 3_000_000},
    ],
)
def test_what_passes_is_tried_again(chat_server: ChatServer, reply: dict[str, Any]) -> None:
    captioner = captioner_of(chat_server)
    chat_server.behave(next=[reply, reply])
    assert captioner.caption(PICTURES[:1], never)[0].status == "ok"
    assert len(chat_server.asked()) == 3


def test_a_server_may_be_away_for_longer_than_any_number_of_tries(chat_server: ChatServer) -> None:
    captioner = captioner_of(chat_server)
    chat_server.behave(next=[{"status": 503}] * 8)
    assert captioner.caption(PICTURES[:1], never)[0].status == "ok"
    assert len(chat_server.asked()) == 9


def test_an_image_that_the_server_refuses_is_blamed_and_the_others_are_asked_once(
    chat_server: ChatServer,
) -> None:
    captioner = captioner_of(chat_server)
    bad = digest_of(chat_server, captioner, PICTURES[2])
    refusal = {"status": 400, "body": json.dumps({"error": {"message": "bad picture"}})}
    chat_server.behave(images={bad: refusal})
    with pytest.raises(Exception, match="^400 bad picture$"):
        captioner.caption(PICTURES[:4], never)
    num_asked = len(chat_server.asked())
    for position in (0, 1, 3):
        assert captioner.caption([PICTURES[position]], never)[0].status == "ok"
    assert len(chat_server.asked()) == num_asked, "what was written is not asked for again"
    with pytest.raises(Exception, match="^400 bad picture$"):
        captioner.caption([PICTURES[2]], never)
    assert captioner._kept == {}


@pytest.mark.parametrize("reply", [{"status": 500}, {"body": "garbage"}, {"huge": 3_000_000}])
def test_an_image_on_which_the_server_fails_again_and_again_is_blamed(
    chat_server: ChatServer, reply: dict[str, Any]
) -> None:
    captioner = captioner_of(chat_server)
    bad = digest_of(chat_server, captioner, PICTURES[0])
    chat_server.behave(images={bad: reply})
    with pytest.raises(Exception, match=", 3 times$"):
        captioner.caption(PICTURES[:1], never)


def test_a_server_that_refuses_even_a_grey_square_is_at_fault(chat_server: ChatServer) -> None:
    captioner = captioner_of(chat_server)
    chat_server.behave(always={"status": 400, "body": '{"error": "no images here"}'})
    with pytest.raises(InvalidError, match="refuses every image .400 no images here.; check that"):
        captioner.caption(PICTURES[:1], never)


def test_a_server_that_fails_on_everything_is_away_and_no_image_is_blamed(
    chat_server: ChatServer,
) -> None:
    captioner = captioner_of(chat_server)
    chat_server.behave(always={"status": 500})
    with pytest.raises(Unavailable, match="500"):
        captioner.caption(PICTURES[:1], within(0.5))
    chat_server.behave()
    assert captioner.caption(PICTURES[:1], never)[0].status == "ok"


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "wants another key"), (404, "does not answer there"), (302, "does not answer there")],
)
def test_what_concerns_every_request_stops_the_run_at_once(
    chat_server: ChatServer, status: int, message: str
) -> None:
    captioner = captioner_of(chat_server)
    chat_server.behave(always={"status": status})
    with pytest.raises(InvalidError, match=f"{message} .{status}"):
        captioner.caption(PICTURES, never)
    assert len(chat_server.asked()) <= len(PICTURES)


def test_asked_to_stop_it_stops_though_the_server_does_not_answer(chat_server: ChatServer) -> None:
    captioner = captioner_of(chat_server)
    chat_server.behave(always={"delay": 60})
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        captioner.caption(PICTURES, within(0.3))
    assert time.monotonic() - begun < 2


def test_a_server_that_is_not_there_yet_is_waited_for(
    chat_server: ChatServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_SAY_AFTER_SECONDS", 0.1)
    chat_server.kill()
    later = threading.Timer(0.5, chat_server.start)
    later.start()
    captioner = captioner_of(chat_server)
    later.join()
    assert captioner.caption(PICTURES[:1], never)[0].status == "ok"
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith(f"{chat_server.url}: no connection (")
    assert said[0].endswith("; waiting for it")
    assert said[1].startswith(f"{chat_server.url} answers again after 0:00:0")


def test_a_server_that_never_comes_is_one_line(
    chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_module, "OPENING_SECONDS", 0.3)
    chat_server.kill()
    with pytest.raises(DependencyError, match=r"no answer from .* within 0.3 s \(no connection"):
        captioner_of(chat_server)


def test_a_server_that_comes_back_with_another_model_stops_the_run(
    chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_RECHECK_SECONDS", 0.0)
    captioner = captioner_of(chat_server)
    chat_server.kill()
    chat_server.behave(models=[200, {"data": [{"id": "tiny", "root": "/other"}]}])
    chat_server.start()
    with pytest.raises(InvalidError, match="served unknown when the run began and now root=/other"):
        captioner.caption(PICTURES[:2], never)
    assert chat_server.asked() == [], "it must not get a picture"


def test_a_server_whose_connection_broke_must_show_its_model_first(chat_server: ChatServer) -> None:
    captioner = captioner_of(chat_server)
    other = [200, {"data": [{"id": "tiny", "root": "/other"}]}]
    chat_server.behave(next=[{"cut": True}], models=other)
    with pytest.raises(InvalidError, match="served unknown when the run began and now root=/other"):
        captioner.caption(PICTURES[:1], never)
    assert len(chat_server.asked()) == 1


def test_how_the_server_names_itself_is_noted_and_a_change_is_said_once(
    chat_server: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    captioner = captioner_of(chat_server)
    captioner.caption(PICTURES[:2], never)
    assert captioner.device == f"{chat_server.url}, fp-test"
    said = {"choices": [{"message": {"content": "a"}}], "system_fingerprint": "fp-new"}
    chat_server.behave(always={"body": json.dumps(said)})
    captioner.caption(PICTURES[:3], never)
    assert captioner.device == f"{chat_server.url}, fp-test, fp-new"
    [record] = caplog.records
    assert "answers as fp-new now, as fp-test before" in record.getMessage()


def test_a_model_is_served_or_it_is_one_line(chat_server: ChatServer) -> None:
    with pytest.raises(InvalidError, match="it serves no model other; there are: tiny"):
        captioner_of(chat_server, model="other")
    chat_server.behave(models=[404, {}])
    assert captioner_of(chat_server, model="mine").config.revision == "unknown"


def test_its_threads_and_connections_end_with_it(chat_server: ChatServer) -> None:
    before = set(threading.enumerate())
    captioner = captioner_of(chat_server)
    captioner.caption(PICTURES[:2], never)
    started = set(threading.enumerate()) - before
    assert started
    del captioner
    gc.collect()
    for thread in started:
        thread.join(10)
    assert not any(thread.is_alive() for thread in started)
