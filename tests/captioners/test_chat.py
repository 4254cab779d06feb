"""What answers of a chat server mean, without a server."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vprcap.captioners import Generated
from vprcap.captioners.chat import (
    AwayError,
    BrokenError,
    RefusedError,
    ServedModel,
    check_status,
    error_message,
    find_model,
    parse,
    read_caption,
    seconds_to_wait,
    shown,
    version_of,
)
from vprcap.errors import InvalidError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\udc80")
ANYTHING = st.recursive(
    SCALARS, lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.text(), deeper)
)
MESSAGES = ANYTHING | st.fixed_dictionaries({}, optional={"content": SCALARS, "refusal": SCALARS})
CHOICES = st.fixed_dictionaries({"message": MESSAGES}, optional={"finish_reason": SCALARS})
COUNTS = {"prompt_tokens": SCALARS, "completion_tokens": SCALARS}
ANSWERS = st.fixed_dictionaries(
    {"choices": st.lists(CHOICES | ANYTHING, min_size=1, max_size=2) | ANYTHING},
    optional={"usage": st.fixed_dictionaries(COUNTS) | ANYTHING, "model": SCALARS},
)
ENTRIES = st.dictionaries(st.sampled_from(["id", "root", "meta", "owned_by", "size"]), ANYTHING)
URL = "http://server/v1"


def answer(content: Any, reason: Any = "stop", **others: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}, "finish_reason": reason}], **others}


def test_a_caption_is_read_with_its_reason_and_its_counts() -> None:
    usage = {"prompt_tokens": 600, "completion_tokens": 41}
    assert read_caption(answer(" a wall \n", "length", usage=usage)) == Generated(
        "a wall", "length", 600, 41
    )


@pytest.mark.parametrize("usage", [None, 7, {}, {"prompt_tokens": "9", "completion_tokens": -1}])
def test_what_a_server_does_not_count_is_null(usage: Any) -> None:
    read = read_caption(answer("a wall", None, usage=usage))
    assert (read.num_prompt_tokens, read.num_output_tokens, read.finish_reason) == (
        None,
        None,
        "stop",
    )


def test_a_count_that_fits_no_column_is_null() -> None:
    assert read_caption(answer("", usage={"prompt_tokens": 2**31})).num_prompt_tokens is None


def test_a_refusal_is_a_status_of_its_own() -> None:
    said = {"message": {"content": None, "refusal": "I cannot."}, "finish_reason": "stop"}
    assert read_caption({"choices": [said]}) == Generated(
        "I cannot.", "stop", None, None, "refused"
    )
    assert read_caption(answer("", "content_filter")).status == "refused"


def test_half_a_surrogate_pair_does_not_come_through() -> None:
    read = read_caption(json.loads(json.dumps(answer("a \ud800 sign", "st\ud800op"))))
    assert (read.text, read.finish_reason) == ("a ? sign", "st op")


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        "text",
        {},
        {"choices": None},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": "hello"}]},
        answer(["a", "list"]),
        answer("a wall", 7),
        answer("half a w", "abort"),
        answer("half a w", "error"),
    ],
)
def test_an_answer_without_a_whole_caption_is_broken(broken: Any) -> None:
    with pytest.raises(BrokenError):
        read_caption(broken)


@pytest.mark.parametrize("data", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenError, match="no JSON"):
        parse(data)
    assert isinstance(error_message(data), str)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, InvalidError),
        (400, RefusedError),
        (401, InvalidError),
        (403, InvalidError),
        (404, InvalidError),
        (408, BrokenError),
        (413, RefusedError),
        (422, RefusedError),
        (429, AwayError),
        (500, BrokenError),
        (502, AwayError),
        (503, AwayError),
        (504, AwayError),
    ],
)
def test_each_status_is_somebodys_failure(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        check_status(status, f"{status} because", 3.0, URL)
    assert type(caught.value) is kind or kind is InvalidError
    assert f"{status} because" in str(caught.value)
    assert getattr(caught.value, "retry_after", 3.0) == 3.0


def test_a_good_status_is_no_failure() -> None:
    check_status(200, "", None, URL)


def test_retry_after_is_read_in_seconds_or_as_a_date() -> None:
    assert [seconds_to_wait(each) for each in ("7", "0.5", "-3")] == [7.0, 0.5, 0.0]
    then = seconds_to_wait(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert then is not None and 58 < then <= 60
    assert seconds_to_wait("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    for nonsense in ("", "soon", "nan", "inf", "1e999", "Wed, 21 Oct 2015 07:28:00 -0000"):
        assert seconds_to_wait(nonsense) is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"error": {"message": "too many tokens", "code": 400}}, "too many tokens"),
        ({"error": "overloaded"}, "overloaded"),
        ({"message": "no"}, "no"),
        ({"detail": "Not Found"}, "{'detail': 'Not Found'}"),
        ([1], "[1]"),
    ],
)
def test_the_message_of_an_error_is_found_where_servers_put_it(data: Any, message: str) -> None:
    assert error_message(json.dumps(data).encode()) == message


def test_what_a_server_says_is_shown_as_one_short_printable_line() -> None:
    assert shown("a\n\x1b[31mb\r\tc") == "a [31mb c"
    assert len(shown("x" * 10_000)) == 200


def test_a_model_is_known_by_what_does_not_change_at_each_start() -> None:
    first = {"id": "llava", "created": 1, "owned_by": "vllm", "root": "/models/llava", "x": 1}
    again = {**first, "created": 2, "permission": [{"id": "modelperm-123"}]}
    found = [find_model({"data": [each]}, None, URL) for each in (first, again)]
    assert found == [ServedModel("llava", "owned_by=vllm, root=/models/llava")] * 2
    other = {**first, "root": "/models/other"}
    assert find_model({"data": [other]}, None, URL) != found[0]


def test_a_model_of_llama_cpp_is_known_by_its_size() -> None:
    entry = {"id": "m.gguf", "owned_by": "llamacpp", "meta": {"n_params": 7, "size": 4, "n_ctx": 9}}
    assert find_model({"data": [entry]}, None, URL).identity == (
        "owned_by=llamacpp, n_params=7, size=4"
    )


def test_a_server_without_a_list_is_believed_the_model_that_is_named() -> None:
    assert find_model(None, "mine", URL) == ServedModel("mine", "unknown")


@pytest.mark.parametrize(
    ("listed", "model", "message"),
    [
        ({"data": [{"id": "a"}, {"id": "b"}]}, None, "give --model; there are: a, b"),
        ({"data": [{"id": "a"}]}, "b", "it serves no model b; there are: a"),
        (None, None, "give --model; there are: none that it names"),
        ({"data": [{"id": 7}, "a", {}]}, None, "give --model; there are: none"),
        ({"data": [{"id": "a\n\x1b[2J"}]}, None, r"give --model; there are: a \[2J"),
        ("nonsense", "a", "it serves no model a"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(
    listed: Any, model: str | None, message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        find_model(listed, model, URL)


def test_a_server_that_lists_nothing_yet_is_waited_for() -> None:
    with pytest.raises(AwayError, match="no model yet"):
        find_model({"data": []}, "a", URL)


def test_the_version_is_the_fingerprint_or_the_full_name() -> None:
    assert version_of({"system_fingerprint": "fp_1", "model": "m"}) == "fp_1"
    assert version_of({"system_fingerprint": None, "model": "m-2024"}) == "m-2024"
    assert version_of({"model": 7}) == "unknown"


@given(ANSWERS | ANYTHING)
def test_whatever_a_server_answers_is_broken_or_fits_the_columns(answer: Any) -> None:
    try:
        read = read_caption(answer)
    except BrokenError:
        return
    pa.array([read.text, read.finish_reason, read.status], pa.string())
    pa.array([read.num_prompt_tokens, read.num_output_tokens], pa.int32())
    pa.array([version_of(answer)], pa.string())


@given(st.fixed_dictionaries({"data": st.lists(ENTRIES, max_size=3)}) | ANYTHING)
def test_whatever_a_server_lists_is_a_model_or_an_error_of_ours(listed: Any) -> None:
    for name in (None, "a"):
        try:
            found = find_model(listed, name, URL)
        except (AwayError, InvalidError) as problem:
            assert "\n" not in str(problem)
        else:
            pa.array([found.name, found.identity], pa.string())


@given(st.binary() | ANYTHING.map(lambda value: json.dumps(value).encode()), st.text())
def test_whatever_a_server_says_of_an_error_is_text(data: bytes, retry_after: str) -> None:
    shown(error_message(data)).encode()
    waited = seconds_to_wait(retry_after)
    assert waited is None or waited >= 0
