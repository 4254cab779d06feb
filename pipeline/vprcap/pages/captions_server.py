"""Captions of a large set, a page at a time, for a browser on this machine.

It listens on 127.0.0.1 and answers to no other name, so that a page elsewhere cannot ask through
somebody's browser. Nothing is written. A picture is asked for by the number of its row, never by a
path, and is not opened where its name leads out of the image root.
"""

import re
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlencode

import numpy as np
from jaxtyping import UInt32

from vprcap.caption_sets.qa import FLAGS
from vprcap.caption_sets.search import Asked, search, words_of
from vprcap.errors import Interrupted, MissingError, StorageError, VprcapError
from vprcap.pages import render
from vprcap.pages.captions import THUMBNAIL_SIDE, Row, Shown
from vprcap.pages.pictures import Thumbnail, small_jpeg

Positions = UInt32[np.ndarray, " rows"]
ROWS_PER_PAGE = 50
_SEARCHES_KEPT = 4
_HTTP_PORT = 80
_PICTURES_KEPT = 256
_IMAGE = re.compile(r"/image/([0-9]{1,10})")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class CaptionServer(ThreadingHTTPServer):
    """Serves caption sets until it is shut down."""

    daemon_threads = True

    def __init__(self, shown: Shown, port: int = 0) -> None:
        """Listen.

        Args:
            shown: what is served.
            port: of 127.0.0.1; 0: any that is free.

        Raises:
            StorageError: the port is taken.
        """
        self.shown = shown
        self._heading = shown.heading()
        self._searches = _Searches(shown)
        self.picture = lru_cache(_PICTURES_KEPT)(self._picture)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as problem:
            raise StorageError(
                f"cannot listen on 127.0.0.1:{port}: {problem.strerror}; give another --port"
            ) from None

    @property
    def address(self) -> str:
        """Where to look."""
        return f"http://127.0.0.1:{self.server_port}/"

    def page(self, query: str) -> str:
        """Render the page that a query string asks for."""
        given = {name: values[-1] for name, values in parse_qs(query).items()}
        asked = self._asked(given)
        found = self._searches.find(asked)
        num_pages = max(1, -(-len(found) // ROWS_PER_PAGE))
        page = min(max(1, _number(given.get("page", ""))), num_pages)
        positions = found[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE].tolist()
        values = {
            **self._heading,
            "served": True,
            "asked": asked,
            "num_found": len(found),
            "page": page,
            "num_pages": num_pages,
            "address": lambda number: "/?" + query_of(asked, number),
            "rows": self.shown.rows(positions, _by_number),
        }
        return render("captions", values)

    def _asked(self, given: dict[str, str]) -> Asked:
        status, flag = given.get("status"), given.get("flag")
        return Asked(
            words_of(given.get("search", "")),
            status if status in self._heading["statuses"] else None,
            flag if flag in FLAGS else None,
            self.shown.other is not None and given.get("different") == "1",
        )

    def _picture(self, position: int) -> bytes:
        """Give the JPEG of a row's picture.

        Raises:
            MissingError: it cannot be shown; tried again when it is asked for again.
        """
        [row] = self.shown.blocks.take([position], ["image_id"])
        image = small_jpeg(
            self.shown.images,
            row["image_id"],
            THUMBNAIL_SIDE,
            follow_links=self.shown.follow_links,
        )
        if isinstance(image, str):
            raise MissingError(f"{row['image_id']}: {image}")
        return image.data


class _Searches:
    """What was found, for the pages that follow; one search at a time, the newest."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._lock, self._numbers = Lock(), count()
        self._newest = 0
        self._found: dict[Asked, Positions] = {}

    def find(self, asked: Asked) -> Positions:
        """Find rows, or look them up.

        Raises:
            Interrupted: another search was begun meanwhile.
        """
        known = self._found.get(asked)
        if known is not None:
            return known
        if asked.everything:
            return search(self._shown.blocks, asked)
        own = self._newest = next(self._numbers)
        with self._lock:
            found = search(
                self._shown.blocks, asked, self._shown.other_blocks, lambda: self._newest != own
            )
            self._found[asked] = found
            for old in list(self._found)[:-_SEARCHES_KEPT]:
                del self._found[old]
        return found


def _by_number(position: int, row: Row) -> Thumbnail:
    width, height = row["image_width"] or THUMBNAIL_SIDE, row["image_height"] or THUMBNAIL_SIDE
    scale = min(1.0, THUMBNAIL_SIDE / max(width, height))
    return Thumbnail(f"/image/{position}", None, round(width * scale), round(height * scale))


def query_of(asked: Asked, page: int = 1) -> str:
    """Return the query string that asks for a page of rows."""
    parts = {
        "search": " ".join(asked.words),
        "status": asked.status or "",
        "flag": asked.flag or "",
        "different": "1" if asked.different else "",
        "page": str(page) if page > 1 else "",
    }
    return urlencode({name: value for name, value in parts.items() if value})


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


class _Handler(BaseHTTPRequestHandler):
    server: CaptionServer
    server_version, sys_version = "vprcap", ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer, unless somebody asks under another name."""
        host = self.headers.get("Host", "")
        if host not in self._own_names():
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"ask 127.0.0.1")
            return
        try:
            self._answer()
        except Interrupted:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"another search was begun")
        except MissingError as problem:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", str(problem).encode())
        except VprcapError as problem:
            text = f"{problem}\n\nIf the set was changed meanwhile, start `vprcap view` again."
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", text.encode())
        except (BrokenPipeError, ConnectionResetError):
            pass  # somebody turned the page before it was there

    do_HEAD = do_GET

    def _own_names(self) -> set[str]:
        port = self.server.server_port
        names = {"127.0.0.1", "localhost"}
        return {f"{name}:{port}" for name in names} | (names if port == _HTTP_PORT else set())

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/":
            self._send(HTTPStatus.OK, "text/html", self.server.page(query).encode())
        elif (position := self._row_of(path)) is not None:
            self._send(HTTPStatus.OK, "image/jpeg", self.server.picture(position))
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"nothing here")

    def _row_of(self, path: str) -> int | None:
        """Return the row whose picture a path is of."""
        found = _IMAGE.fullmatch(path)
        position = int(found[1]) if found else self.server.shown.blocks.num_rows
        return position if position < self.server.shown.blocks.num_rows else None

    def _send(self, status: HTTPStatus, kind: str, data: bytes) -> None:
        self.send_response(status)
        text = "" if kind.startswith("image/") else "; charset=utf-8"
        self.send_header("Content-Type", kind + text)
        self.send_header("Content-Length", str(len(data)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its name there
        """Be quiet: addresses hold what was searched for."""
