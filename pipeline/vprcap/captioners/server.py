"""A server of the chat-completions protocol, as a client sees it that can wait.

While the server is away it is waited for, as long as the caller likes; a broken answer is asked
for again a few times (`chat` says which is which). A library's retries would not do: they count
tries where a server that is started again takes minutes, they keep quiet, and they send the
picture each time to find out. Here pauses grow, with jitter, so that many clients do not return at
once; Retry-After is honoured; and a server that was gone must show that it still serves the same
model before it gets another picture.
"""

import asyncio
import logging
import math
import random
import time
from itertools import count
from typing import Any

import httpx2

from vprcap.captioners import Generated
from vprcap.captioners.chat import (
    AwayError,
    BrokenError,
    FailedError,
    NoSuchPageError,
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
from vprcap.captioners.in_flight import InFlight
from vprcap.errors import InvalidError, first_line
from vprcap.progress import duration

TRIES = 3
"""For a request whose answer is broken."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_SAY_AFTER_SECONDS = 5.0
_RECHECK_SECONDS = 10.0
"""After this long a server may have been started again without any request of ours failing."""
_MAX_ANSWER_BYTES = 2**20
_MAX_VERSIONS = 10
_TIMEOUT = httpx2.Timeout(None, connect=10.0, write=60.0)  # who waits for a caption bounds it

logger = logging.getLogger(__name__)


class Server:
    """One server; many requests may be made at the same time."""

    def __init__(self, base_url: str, api_key: str | None, in_flight: InFlight) -> None:
        """Check the address; nothing is sent.

        Args:
            base_url: e.g. ``http://localhost:8000/v1``.
            api_key: None where the server wants none.
            in_flight: where connections live.

        Raises:
            InvalidError: the address is none, or holds a key.
        """
        self.url = _checked(base_url)
        self.trouble: str | None = None
        """Why there was no good answer since the last one; None where all is well."""
        self.versions: list[str] = []
        """What answers said of the system that wrote them, in the order of appearance."""
        self._key = api_key
        self._served: ServedModel | None = None
        self._checked_at = 0.0
        self._troubled_since, self._said = 0.0, False
        self._broke_off_at = self._answered = -math.inf
        self._client = in_flight.enter(
            httpx2.AsyncClient(
                headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
                timeout=_TIMEOUT,
                limits=httpx2.Limits(max_connections=None),
            )
        )

    @property
    def broke_off(self) -> bool:
        """Whether an answer broke off, and no later request has been answered."""
        return self._broke_off_at > self._answered

    async def identify(self, model: str | None) -> ServedModel:
        """Ask which model is served; wait for a server that is not there yet.

        Args:
            model: its name; None: the only one that is served.

        Raises:
            InvalidError: it serves no such model, or several and none was named.
        """
        for attempt in count():
            try:
                self._served = find_model(await self._models(), model, self.url)
                self._checked_at = time.monotonic()
            except AwayError as problem:
                await self._pause(problem, attempt)
            else:
                self._note_answer(self._checked_at)
                return self._served
        raise AssertionError("unreachable")

    async def complete(self, body: bytes) -> Generated:
        """Ask for a caption; wait while the server is away.

        Raises:
            RefusedError: it refuses this request.
            FailedError: it fails on this request again and again.
            InvalidError: it cannot serve this run at all, or serves another model by now.
        """
        num_broken = 0
        for attempt in count():
            try:
                await self._check_model()
                sent = time.monotonic()
                answer = await self._exchange("POST", "/chat/completions", body)
                caption = read_caption(answer)
            except AwayError as problem:
                num_broken += isinstance(problem, BrokenError)
                if num_broken == TRIES:
                    raise FailedError(f"{problem}, {TRIES} times") from None
                await self._pause(problem, attempt)
            except RefusedError:
                self._note_answer(sent)
                raise
            else:
                self._note_answer(sent)
                self._note_version(version_of(answer))
                return caption
        raise AssertionError("unreachable")

    async def wait(self, problem: Exception) -> None:
        """Wait a while for a server that fails on everything."""
        await self._pause(AwayError(str(problem)), TRIES)

    async def _models(self) -> Any:
        """Return what is served; None where the server does not tell."""
        try:
            return await self._exchange("GET", "/models")
        except (NoSuchPageError, RefusedError):
            return None

    async def _check_model(self) -> None:
        """See that a server that may have been started again still serves the same model."""
        now = time.monotonic()
        if self._served is None or now - self._checked_at < _RECHECK_SECONDS:
            return
        found = find_model(await self._models(), self._served.name, self.url)
        if found != self._served:
            raise InvalidError(
                f"{self.url} served {self._served.identity} when the run began and now "
                f"{found.identity}; start the former again, or run again for a set of the latter"
            )
        self._checked_at = now

    async def _exchange(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Send one request and return the JSON of its answer."""
        kind = {"Content-Type": "application/json"} if body else None
        try:
            async with self._client.stream(
                method, self.url + path, content=body, headers=kind
            ) as response:
                data = await _read(response)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as problem:
            self._checked_at = -math.inf
            raise AwayError(f"no connection ({first_line(problem)})") from None
        except httpx2.RequestError as problem:
            self._checked_at = -math.inf
            self._broke_off_at = time.monotonic()
            raise BrokenError(f"its answer broke off ({first_line(problem)})") from None
        status, told = response.status_code, self._without_key(error_message(data))
        wait = seconds_to_wait(response.headers.get("retry-after", ""))
        check_status(status, f"{status} {shown(told)}".strip(), wait, self.url)
        return parse(data)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text

    async def _pause(self, problem: AwayError, attempt: int) -> None:
        """Wait before another try, and say so where that takes long."""
        now = time.monotonic()
        if self.trouble is None:
            self._troubled_since, self._said = now, False
        self.trouble = str(problem)
        if not self._said and now - self._troubled_since >= _SAY_AFTER_SECONDS:
            self._said = True
            logger.warning("%s: %s; waiting for it", self.url, problem)
        grown = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(attempt, 10))
        jittered = grown * random.uniform(0.5, 1.0)
        asked = problem.retry_after
        # Whoever was told the same second should not return in the same second either.
        await asyncio.sleep(
            jittered if asked is None else asked + random.uniform(0.1, _FIRST_PAUSE)
        )

    def _note_answer(self, sent: float) -> None:
        """Note an answer; one to what was sent before the trouble began says nothing of it."""
        self._answered = max(self._answered, sent)
        if self.trouble is None or sent < self._troubled_since:
            return
        if self._said:
            waited = duration(time.monotonic() - self._troubled_since)
            logger.warning("%s answers again after %s", self.url, waited)
        self.trouble = None

    def _note_version(self, version: str) -> None:
        if version in self.versions or len(self.versions) >= _MAX_VERSIONS:
            return
        self.versions.append(version)
        if len(self.versions) > 1:
            logger.warning(
                "%s answers as %s now, as %s before: this set's captions are of both",
                self.url,
                version,
                self.versions[-2],
            )


def _checked(base_url: str) -> str:
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL:
        url = httpx2.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidError(f"--base-url {base_url!r} is no address; e.g. http://localhost:8000/v1")
    if url.userinfo or url.query:
        raise InvalidError("--base-url may hold no key; set OPENAI_API_KEY instead")
    return str(url).rstrip("/")


async def _read(response: httpx2.Response) -> bytes:
    """Read an answer, but no more than a caption can need."""
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) > _MAX_ANSWER_BYTES:
            raise BrokenError("its answer is far too long")
    return bytes(data)
