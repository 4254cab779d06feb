"""Figures of a training as one JSON object a line, through accelerate's trackers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker, on_main_process  # type: ignore[import-untyped]

from vprcap.files import replacing


class JsonlTracker(GeneralTracker):  # type: ignore[misc]
    """Appends what is logged to ``metrics.jsonl``."""

    name = "jsonl"
    requires_logging_directory = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def tracker(self) -> Path:
        """The file."""
        return self.path

    @on_main_process  # type: ignore[untyped-decorator]
    def rewrite(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Begin with what an interrupted training had measured when it was last saved."""
        with replacing(self.path) as temporary:
            temporary.write_text("".join(json.dumps(dict(row)) + "\n" for row in rows), "utf-8")

    @on_main_process  # type: ignore[untyped-decorator]
    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Do nothing: ``run.json`` has it."""

    @on_main_process  # type: ignore[untyped-decorator]
    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        """Append a line."""
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(values) + "\n")
