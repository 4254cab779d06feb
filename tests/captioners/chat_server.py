"""A server of the chat-completions protocol that behaves as a folder says; a program of its own.

Run as ``python chat_server.py PORT FOLDER``. It prints its port, keeps what it was asked in
FOLDER/requests.jsonl, and reads FOLDER/behaviour.json at each request:

* ``next``: replies to the next requests, one each, counted by FOLDER/served;
* ``images``: replies to pictures, by the SHA-256 of their PNG;
* ``always``: the reply to everything else.

A reply holds what differs from a good one: ``status``, ``headers``, ``body``, ``delay``, ``cut``
(the connection ends without an answer), ``die`` (the process ends), ``huge`` (bytes).
"""

import base64
import hashlib
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOCK = threading.Lock()
FOLDER = Path(sys.argv[2]) if len(sys.argv) > 2 else Path()
in_flight = peak = 0


def picture(request: dict[str, Any]) -> bytes:
    url: str = request["messages"][0]["content"][0]["image_url"]["url"]
    return base64.b64decode(url.partition(",")[2])


def good_answer(request: dict[str, Any]) -> dict[str, Any]:
    words = hashlib.sha256(picture(request)).hexdigest()[:8]
    return {
        "model": request["model"],
        "system_fingerprint": "fp-test",
        "choices": [
            {"message": {"content": f" a wall with {words} "}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 4},
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        behaviour = json.loads((FOLDER / "behaviour.json").read_text())
        status, listed = behaviour.get("models", [200, {"data": [{"id": "tiny"}]}])
        self.answer(status, json.dumps(listed).encode(), {})

    def do_POST(self) -> None:
        global in_flight, peak
        data = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(data)
        with LOCK:
            in_flight += 1
            peak = max(peak, in_flight)
            reply = self.reply(request)
        time.sleep(reply.get("delay", 0))
        with LOCK:
            in_flight -= 1
        if reply.get("die"):
            os._exit(1)
        if reply.get("cut"):
            self.close_connection = True
            return
        body = reply.get("body", json.dumps(good_answer(request))).encode()
        if "huge" in reply:
            body = b'"' + b"x" * reply["huge"] + b'"'
        self.answer(reply.get("status", 200), body, reply.get("headers", {}))

    def reply(self, request: dict[str, Any]) -> dict[str, Any]:
        behaviour = json.loads((FOLDER / "behaviour.json").read_text())
        digest = hashlib.sha256(picture(request)).hexdigest()
        with (FOLDER / "requests.jsonl").open("a") as kept:
            entry = {
                "time": time.time(),
                "peak": peak,
                "key": self.headers["Authorization"],
                "picture": digest,
                "request": request,
            }
            kept.write(json.dumps(entry) + "\n")
        served = FOLDER / "served"  # a byte each: whole even where the server is killed
        number = served.stat().st_size if served.exists() else 0
        with served.open("ab") as counted:
            counted.write(b".")
        if number < len(behaviour.get("next", [])):
            return dict(behaviour["next"][number])
        return dict(behaviour.get("images", {}).get(digest, behaviour.get("always", {})))

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # whoever asked has gone
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
