"""Captions by any server that speaks the OpenAI chat-completions protocol with images.

A batch is so many requests in flight at once, and a new one for each that is answered; the server
batches as it likes. That is why even
greedy text may depend on what else a server computes at the time, and on its version: batch
independence is promised of the other captioners, not of this one. What servers tell of themselves
is kept instead: the model's name and what is listed of it belong to the configuration, and what
the answers name as the system's fingerprint to the summary of each shard.

The picture is framed here, to a square of known size, so that the text does not depend on what a
server's own processor would cut away.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256

import numpy as np
from jaxtyping import UInt8

from vprcap.caption_sets.caption_set import CaptionConfig
from vprcap.captioners import Generated, Unavailable
from vprcap.captioners.chat import ENCODING, FailedError, RefusedError, ServedModel, chat_request
from vprcap.captioners.in_flight import InFlight
from vprcap.captioners.running_requests import RunningRequests
from vprcap.captioners.server import Server
from vprcap.errors import DependencyError, Interrupted, InvalidError
from vprcap.images import Framing
from vprcap.prompt import Prompt
from vprcap.stopping import asked_to_stop

OPENING_SECONDS = 300.0
"""How long a server is waited for that is not there when a run begins: it loads its weights."""
MAX_SIDE = 4096
_FILL = (122, 116, 104)
"""CLIP's mean colour, as LLaVA and most of its kind subtract it: padding that says nothing."""
_SEED_BITS = 31
"""Some servers take no larger seed."""


class OpenAICaptioner:
    """Captions, greedy or sampled, from a server."""

    def __init__(
        self,
        model: str | None,
        *,
        base_url: str | None,
        prompt: Prompt,
        framing: str,
        image_side: int,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        if not 1 <= image_side <= MAX_SIDE:
            raise InvalidError(f"--image-side {image_side} is not within 1 to {MAX_SIDE}")
        self._in_flight = InFlight()
        self._server = _server(base_url, self._in_flight)
        served = self._identify(model)
        self._prompt = prompt.text
        self._settings = {
            "model": served.name,
            "max_tokens": max_new_tokens,
            "temperature": temperature,
        }
        self._side = image_side
        self._kept: dict[bytes, Generated] = {}
        self.framing = Framing(framing, image_side, _FILL)
        self.config = CaptionConfig(
            captioner="openai",
            model=served.name,
            revision=served.identity,
            quantization="served",
            prompt_name=prompt.name,
            prompt=prompt.text,
            max_new_tokens=max_new_tokens,
            framing=framing,
            processor={"side": image_side, "fill": _FILL, "encoding": ENCODING},
            dtype="served",
            temperature=temperature,
            seed=seed,
        )

    @property
    def device(self) -> str:
        """Where it computes: the server, and how it has named itself so far."""
        return ", ".join([self._server.url, *self._server.versions])

    def load(self) -> None:
        """There are no weights here."""

    def running(self, num_slots: int) -> RunningRequests:
        """Start requests of which one takes another's place as soon as that is answered."""
        return RunningRequests(self._in_flight, self._ask_once, num_slots, self._meaning)

    def caption(
        self,
        pixels: Sequence[UInt8[np.ndarray, "_ _ 3"]],
        should_stop: Callable[[], bool],
        seeds: Sequence[int] = (),
    ) -> list[Generated]:
        """Caption a batch; a server that is away is waited for.

        What was written for others is kept where one of a batch fails: its images are about to
        be tried alone, and should not be paid for twice.
        """
        own: Sequence[int | None] = seeds or [None] * len(pixels)
        ask = self._ask_alone if len(pixels) == 1 else self._ask
        keys = [_key(image, seed) for image, seed in zip(pixels, own, strict=True)]
        requests = [partial(ask, *each) for each in zip(keys, pixels, own, strict=True)]
        try:
            captions = self._in_flight.all(requests, should_stop)
        except Interrupted as problem:
            raise self._meaning(problem, should_stop) from None
        written = [each for each in captions if isinstance(each, Generated)]
        if len(written) < len(captions):
            raise next(each for each in captions if isinstance(each, FailedError))
        for key in keys:
            self._kept.pop(key, None)
        return written

    async def _ask(
        self, key: bytes, image: np.ndarray, seed: int | None
    ) -> Generated | FailedError:
        """Ask for one caption; its failure is a result too, for the others go on."""
        if key not in self._kept:
            try:
                self._kept[key] = await self._ask_once(image, seed)
            except FailedError as problem:
                return problem
        return self._kept[key]

    async def _ask_once(self, image: np.ndarray, seed: int | None) -> Generated:
        body = await asyncio.to_thread(self._request, image, seed)
        return await self._server.complete(body)

    def _meaning(self, problem: Exception, _: Callable[[], bool]) -> Exception:
        """Say of an interruption that the server was away, if it was."""
        if not isinstance(problem, Interrupted) or self._server.trouble is None:
            return problem
        return Unavailable(f"{self._server.url}: {self._server.trouble}", self._server.broke_off)

    async def _ask_alone(
        self, key: bytes, image: np.ndarray, seed: int | None
    ) -> Generated | FailedError:
        """Ask for one caption; blame the image only if the server can describe another."""
        while True:
            written = await self._ask(key, image, seed)
            if isinstance(written, Generated) or await self._is_sound():
                return written

    async def _is_sound(self) -> bool:
        """Say whether the server describes a plain grey square.

        Raises:
            InvalidError: it refuses even that.
        """
        plain = np.full((self._side, self._side, 3), _FILL, np.uint8)
        try:
            await self._server.complete(self._request(plain, None))
        except RefusedError as problem:
            raise InvalidError(
                f"{self._server.url} refuses every image ({problem}); "
                "check that its model takes images"
            ) from None
        except FailedError as problem:
            await self._server.wait(problem)
            return False
        return True

    def _request(self, image: np.ndarray, seed: int | None) -> bytes:
        own = None if seed is None else seed >> (128 - _SEED_BITS)
        return chat_request(image, self._prompt, self._settings, own)

    def _identify(self, model: str | None) -> ServedModel:
        end = time.monotonic() + OPENING_SECONDS
        try:
            return self._in_flight.all(
                [partial(self._server.identify, model)],
                lambda: time.monotonic() > end or asked_to_stop(),
            )[0]
        except Interrupted:
            if asked_to_stop():
                raise
            raise DependencyError(
                f"no answer from {self._server.url} within {OPENING_SECONDS:g} s "
                f"({self._server.trouble or 'silence'}); start the server, or check --base-url"
            ) from None


def _server(base_url: str | None, in_flight: InFlight) -> Server:
    address = base_url or os.environ.get("OPENAI_BASE_URL")
    if not address:
        raise InvalidError(
            "openai needs a server; give --base-url or set OPENAI_BASE_URL, "
            "e.g. to http://localhost:8000/v1"
        )
    return Server(address, os.environ.get("OPENAI_API_KEY"), in_flight)


def _key(image: np.ndarray, seed: int | None) -> bytes:
    return sha256(image.tobytes() + str(seed).encode()).digest()
