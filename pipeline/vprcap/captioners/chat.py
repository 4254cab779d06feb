"""The OpenAI chat-completions protocol with images: what is sent, and what an answer means.

Every failure is somebody's. Nobody answers, or the server asks for patience (429, 502, 503, 504):
it is *away*. Its answer breaks off or makes no sense, or it has an error of its own (408, other
5xx): it is *broken*, which may be this request's doing. It *refuses* this request (other 4xx). It
wants another key, address or model: that concerns every request.

Pictures are sent as PNG: the server sees the very pixels that were framed. JPEG (quality 95, 336
pixels) would be a third of the size and ten times as quick to write, 38 against 124 kB and 0.8
against 9 ms, but it moves colours by up to 16 levels of 255. What comes back is untrusted.
"""

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np
from PIL import Image

from vprcap.captioners import Generated
from vprcap.errors import InvalidError

ENCODING = "png"
_PATIENCE = (429, 502, 503, 504)
_MOST_TOKENS = 2**31
_MAX_SHOWN = 200


class FailedError(Exception):
    """The server fails on this request; asking again does not help."""


class RefusedError(FailedError):
    """The server refuses this request."""


class AwayError(Exception):
    """Nobody answers, or the server asks for patience."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        """Take the reason, and the seconds that the server asks to wait."""
        super().__init__(reason)
        self.retry_after = retry_after


class BrokenError(AwayError):
    """The answer broke off or makes no sense."""


class NoSuchPageError(InvalidError):
    """The server does not know the address."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model, as its server names it."""

    name: str
    identity: str
    """What the server says of its weights; servers do not tell revisions."""


def chat_request(
    pixels: np.ndarray, prompt: str, settings: Mapping[str, Any], seed: int | None
) -> bytes:
    """Write the request for one picture: first it, then the prompt, as LLaVA was trained."""
    picture = io.BytesIO()
    Image.fromarray(pixels).save(picture, ENCODING, compress_level=1)
    url = f"data:image/{ENCODING};base64,{base64.b64encode(picture.getvalue()).decode()}"
    content = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": prompt},
    ]
    own = {} if seed is None else {"seed": seed}
    message = {"role": "user", "content": content}
    return json.dumps({"messages": [message], **settings, **own}).encode()


def read_caption(answer: Any) -> Generated:
    """Read a caption from an answer.

    Raises:
        BrokenError: there is none in it, or a server that stops has aborted it.
    """
    try:
        choice = answer["choices"][0]
        message, reason = choice["message"], choice.get("finish_reason")
        content, refusal = message.get("content"), message.get("refusal")
    except (TypeError, KeyError, IndexError, AttributeError):
        raise BrokenError("its answer has no caption") from None
    if not isinstance(content, str | None) or not isinstance(reason, str | None):
        raise BrokenError("its answer has no caption")
    if reason in ("abort", "error"):
        raise BrokenError(f"it stopped in the middle ({reason})")
    refused = bool(refusal) or reason == "content_filter"
    text = content or (refusal if isinstance(refusal, str) else "")
    return Generated(
        text.encode(errors="replace").decode().strip(),  # half of a surrogate pair is no text
        shown(reason or "stop"),
        _num_tokens(answer, "prompt_tokens"),
        _num_tokens(answer, "completion_tokens"),
        "refused" if refused else "ok",
    )


def version_of(answer: Mapping[str, Any]) -> str:
    """Name the system that wrote an answer: by its fingerprint, or else the model's full name."""
    told = answer.get("system_fingerprint") or answer.get("model")
    return shown(told) if isinstance(told, str) else "unknown"


def find_model(listed: Any, model: str | None, url: str) -> ServedModel:
    """Find a model in the answer of ``/models``.

    Args:
        listed: the answer; None where the server has no such list.
        model: its name; None: the only one.
        url: of the server.

    Raises:
        AwayError: nothing is served yet.
        InvalidError: it is not there, or none is named and there are several.
    """
    if listed is None and model is not None:
        return ServedModel(model, "unknown")
    entries = listed.get("data") if isinstance(listed, dict) else None
    if entries == []:
        raise AwayError("it serves no model yet")
    known = {
        entry["id"]: entry
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    }
    name = next(iter(known)) if model is None and len(known) == 1 else model
    if not name or name not in known or not name.isprintable():
        names = ", ".join(shown(each) for each in list(known)[:10])
        wrong = "give --model" if model is None else f"it serves no model {model}"
        raise InvalidError(f"{url}: {wrong}; there are: {names or 'none that it names'}")
    return ServedModel(name, _identity(known[name]))


def _identity(entry: Mapping[str, Any]) -> str:
    """Say what a server tells of a model's weights, leaving out what changes at each start."""
    sizes = entry.get("meta")
    told = dict(entry) | (sizes if isinstance(sizes, dict) else {})
    parts = (
        f"{key}={shown(told[key])}"
        for key in ("owned_by", "root", "n_params", "size")
        if isinstance(told.get(key), str | int)
    )
    return ", ".join(parts) or "unknown"


def check_status(status: int, reason: str, retry_after: float | None, url: str) -> None:
    """Raise what a status other than 200 means.

    Raises:
        InvalidError: it is so for every request.
        AwayError: the server asks for patience.
        BrokenError: it has an error of its own.
        RefusedError: it refuses this request.
    """
    if status == 200:
        return
    if status in (401, 403):
        raise InvalidError(f"{url} wants another key ({reason}); set OPENAI_API_KEY")
    if status in (404, 405) or status < 400:
        raise NoSuchPageError(
            f"{url} does not answer there ({reason}); check --model and --base-url, "
            "which mostly ends in /v1"
        )
    if status in _PATIENCE:
        raise AwayError(reason, retry_after)
    if status == 408 or status >= 500:
        raise BrokenError(reason, retry_after)
    raise RefusedError(reason)


def error_message(data: bytes) -> str:
    """Read what a server says of an error."""
    text: Any = data.decode(errors="replace")
    try:
        said = json.loads(text)
        said = said.get("error", said)
        text = said.get("message", said) if isinstance(said, dict) else said
    except (ValueError, RecursionError, AttributeError):
        pass
    return str(text)


def parse(data: bytes) -> Any:
    """Parse the JSON of an answer.

    Raises:
        BrokenError: it is none.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise BrokenError("its answer is no JSON") from None


def seconds_to_wait(retry_after: str) -> float | None:
    """Read a Retry-After, given in seconds or as a date; None where it makes no sense."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            then = parsedate_to_datetime(retry_after)
            seconds = (then - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if seconds < float("inf") else None


def shown(text: Any) -> str:
    """Make one short printable line of what a server says."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line[:_MAX_SHOWN]


def _num_tokens(answer: Any, name: str) -> int | None:
    usage = answer.get("usage")
    number = usage.get(name) if isinstance(usage, dict) else None
    return number if type(number) is int and 0 <= number < _MOST_TOKENS else None
