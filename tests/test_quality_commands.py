import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from vprcap.caption_sets.captions import build_table
from vprcap.cli import main
from written_sets import CONFIG, Written, row, write_set

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process: exit code, stdout, stderr."""

    def run_main(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vprcap", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run_main


def written_with(folder: Path, caption: str) -> Written:
    """A set of one image."""
    written = write_set(folder, num_images=1)
    rows = [row("00.jpg") | {"caption": caption, "finish_reason": "stop"}]
    table = build_table(rows, CONFIG, written.plan.info.plan_id)
    pq.write_table(table, written.captions.part(written.plan.shards[0]))
    return written


def test_flags_are_shown_in_a_table_with_examples_that_cannot_move_the_cursor(
    run: Run, tmp_path: Path
) -> None:
    written = written_with(tmp_path, "\x1b[2JSorry, I cannot see a picture here.")
    code, out, _ = run("qa", written.manifest)
    assert code == 0
    assert "1 captions, 1 different ones, 1 flagged" in out
    assert "1 rows were stored with other flags" in out
    assert "refusal  1     100.00%" in out
    assert "\x1b" not in out and "\\x1b[2JSorry" in out
    assert run("qa", written.manifest, "--examples", 0)[1].count("refusal") == 1


def test_a_script_reads_the_same_as_json(run: Run, tmp_path: Path) -> None:
    written = written_with(tmp_path, "Sorry, I cannot see a picture here.")
    code, out, _ = run("qa", written.captions.root, "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["captions"], told["flags"]) == (1, {"refusal": 1})
    assert told["examples"]["refusal"][0]["image_id"] == "00.jpg"


def test_a_set_without_flags_has_no_table(run: Run, tmp_path: Path) -> None:
    written = written_with(tmp_path, "A wall of red brick with a black gate.")
    out = run("qa", written.manifest)[1]
    assert out.splitlines()[1:] == ["1 captions, 1 different ones, 0 flagged"]
