"""Starting and stopping the chat server of the tests, and reading what it was asked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("chat_server.py")


class ChatServer:
    """A server process on loopback; keeps its port when it is started again."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.port = folder, port
        self.process: subprocess.Popen[str] | None = None
        self.behave()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def behave(self, **behaviour: Any) -> None:
        """Say how to behave from now on; see `chat_server`."""
        (self.folder / "served").unlink(missing_ok=True)
        whole = self.folder / "behaviour.new"
        whole.write_text(json.dumps(behaviour))
        whole.replace(self.folder / "behaviour.json")

    def start(self) -> None:
        command = [sys.executable, "-ES", str(PROGRAM), str(self.port), str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        self.process = None

    def asked(self) -> list[dict[str, Any]]:
        """Everything that was asked so far, in order."""
        path = self.folder / "requests.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
