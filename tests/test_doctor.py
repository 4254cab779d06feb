"""`vprcap doctor`: what it tries, and what it says of a machine that lacks something."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from vprcap.cli import app
from vprcap.workflows import doctor

runner = CliRunner()


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:  # noqa: N802 - the name that the library calls
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield address
    server.shutdown()
    server.server_close()


def checks() -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.examine()}


@pytest.mark.usefixtures("closed_port")
def test_a_machine_that_can_caption_is_found_sound() -> None:
    result = runner.invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert any(line.startswith("ok") and torch.__version__ in line for line in lines)
    assert any(line.startswith("ok") and "NF4 works" in line for line in lines)
    assert sum("llava-hf/llava-1.5" in line for line in lines) == 6


@pytest.mark.usefixtures("closed_port")
def test_a_script_reads_the_same_as_json_with_a_model_of_its_own() -> None:
    result = runner.invoke(app, ["doctor", "--model", "packaged:tiny-llava", "--json"])
    report = json.loads(result.stdout)
    assert {"name", "found", "verdict", "remedy"} == set(report["checks"][0])
    own = [each for each in report["models"] if each["model"] == "tiny-llava"]
    assert [each["quantization"] for each in own] == ["none", "int8", "nf4"]
    assert all(0 < each["weights"] < each["total"] for each in own)


@pytest.mark.usefixtures("closed_port")
def test_a_model_that_is_not_there_is_one_line() -> None:
    result = runner.invoke(app, ["doctor", "--model", "packaged:no-such"])
    assert str(result.exception).startswith("no model packaged:no-such; give")


@pytest.mark.usefixtures("closed_port")
def test_a_package_that_vprcap_needs_is_a_fault_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_pyarrow(name: str) -> str:
        if name == "pyarrow":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(doctor, "version", without_pyarrow)
    assert checks()["pyarrow"] == doctor.Check("pyarrow", "missing", "fault", "pip install pyarrow")
    assert runner.invoke(app, ["doctor"]).exit_code == 1


@pytest.mark.usefixtures("closed_port")
def test_a_hub_that_cannot_be_reached_is_a_note_with_other_ways() -> None:
    hub = checks()["hub"]
    assert hub.verdict == "note" and "http://127.0.0.1:9: " in hub.found
    assert hub.remedy is not None and "packaged:tiny-llava" in hub.remedy


def test_a_hub_that_answers_is_well(hub: str) -> None:
    assert checks()["hub"] == doctor.Check("hub", f"{hub} answers")


@pytest.mark.usefixtures("closed_port")
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_this_torch_was_not_built_for_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checks()["GPU"].verdict == "note"
    program(tmp_path / "nvidia-smi", monkeypatch)
    found = checks()["GPU"]
    assert found.verdict == "fault"
    assert found.remedy is not None


@pytest.mark.usefixtures("closed_port")
def test_a_cluster_is_seen_by_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checks()["Slurm"].verdict == "note"
    program(tmp_path / "sbatch", monkeypatch)
    assert checks()["Slurm"] == doctor.Check("Slurm", f"sbatch, submitit {version('submitit')}")


def program(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program on the path."""
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent), prepend=os.pathsep)


def test_memory_is_as_large_as_the_system_says() -> None:
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert doctor._memory("MemTotal") == physical
    assert 0 < doctor._memory("MemAvailable") < physical


def test_quantization_that_does_not_work_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no kernel for this device\nmore")

    monkeypatch.setattr("bitsandbytes.functional.quantize_4bit", broken)
    found = doctor._bitsandbytes()
    assert found.verdict == "fault" and found.found == "does not work: no kernel for this device"
    assert found.remedy is not None and "--quantization none" in found.remedy
