"""Captions of a large set, a page at a time, for a browser on this machine.

It listens on 127.0.0.1 and answers to no other name, so that a page elsewhere cannot ask through
somebody's browser. Nothing is written. A picture is asked for by the number of its row, never by a
path, and is not opened where its name leads out of the image root.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from vprcap.caption_sets.qa import FLAGS
from vprcap.caption_sets.search import Asked, search, words_of
from vprcap.errors import StorageError, VprcapError
from vprcap.pages import render
from vprcap.pages.captions import THUMBNAIL_SIDE, Row, Shown
from vprcap.pages.pictures import Thumbnail, small_jpeg

ROWS_PER_PAGE = 50
_SEARCHES_KEPT = 4
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
        self._lock = Lock()
        self._search = lru_cache(_SEARCHES_KEPT)(
            lambda asked: search(shown.blocks, asked, shown.other_blocks)
        )
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
        with self._lock:  # one search at a time: each reads the whole set
            found = self._search(asked)
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
            "address": _address(asked),
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

    def _picture(self, position: int) -> tuple[str, bytes]:
        """Give the kind and bytes of a row's picture, or of one that says why there is none."""
        [row] = self.shown.blocks.take([position], ["image_id"])
        image = small_jpeg(self.shown.images, row["image_id"], THUMBNAIL_SIDE)
        if isinstance(image, str):
            return "image/svg+xml", render("hole", {"problem": image}).encode()
        return "image/jpeg", image.data


def _by_number(position: int, row: Row) -> Thumbnail:
    width, height = row["image_width"] or THUMBNAIL_SIDE, row["image_height"] or THUMBNAIL_SIDE
    scale = min(1.0, THUMBNAIL_SIDE / max(width, height))
    return Thumbnail(f"/image/{position}", None, round(width * scale), round(height * scale))


def _address(asked: Asked) -> Callable[[int], str]:
    parts = {
        "search": " ".join(asked.words),
        "status": asked.status or "",
        "flag": asked.flag or "",
        "different": "1" if asked.different else "",
    }
    known = {name: value for name, value in parts.items() if value}
    return lambda page: "/?" + urlencode({**known, "page": page})


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


class _Handler(BaseHTTPRequestHandler):
    server: CaptionServer
    server_version, sys_version = "vprcap", ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer, unless somebody asks under another name."""
        host = self.headers.get("Host", "")
        own = {f"{name}:{self.server.server_port}" for name in ("127.0.0.1", "localhost")}
        if host not in own:
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"ask 127.0.0.1")
            return
        try:
            self._answer()
        except VprcapError as problem:
            text = f"{problem}\n\nIf the set was changed meanwhile, start `vprcap view` again."
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", text.encode())
        except (BrokenPipeError, ConnectionResetError):
            pass  # somebody turned the page before it was there

    do_HEAD = do_GET

    def _answer(self) -> None:
        asked = urlsplit(self.path)
        if asked.path == "/":
            page = self.server.page(asked.query).encode()
            self._send(HTTPStatus.OK, "text/html", page)
        elif (position := self._row_of(asked.path)) is not None:
            self._send(HTTPStatus.OK, *self.server.picture(position))
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
