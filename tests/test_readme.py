"""What the README says can be typed, can be typed.

Every command in an indented block is parsed by the real command line; those that can be run on
small images are, in the order of the page, in one folder. What is added to make them small, and why
some are not run, is in the tables below.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import typer

from miniatures import NUM_PLACES, picture, write_encoders, write_gsv_cities, write_pitts
from vprcap.cli import app, main
from vprcap.tiny_llava import checkpoint_path

README = Path(__file__).parents[1] / "README.md"
SMALL_MODEL = ["--image-encoder", "encoders/dinov2", "--text-encoder", "encoders/bert"]
SMALL_TRAINING = [*SMALL_MODEL, "--descriptor-dim", "160", "--epochs", "1"]

INSTEAD = [
    ("CAPTION-SET", "data/pitts30k/captions/pitts30k-test-*"),
    ("OTHER-SET", "data/gsv-cities/captions/gsv-cities-*"),
    ("msls-challenge", "pitts30k-test"),  # no photographs of MSLS here
    ("msls-val-740", "pitts30k"),
    ("--batch-size 64 --images 256", "--batch-size 4"),
    (" --serve", ""),  # tests/pages/test_captions_page.py serves
]
"""What stands for what in the commands."""

ADDED = [
    (r"caption photographs/ --model .*", ["--max-new-tokens", "8"]),
    (r"caption .*--engine slurm.*", ["--captioner", "fake", "--dry-run"]),
    (r"caption .*", ["--captioner", "fake", "--allow-partial"]),
    (r"estimate .*", ["--captioner", "fake"]),
    (r"scan --dataset .*", ["--allow-partial"]),
    (r"train .*", SMALL_TRAINING),
    (
        r"import .*",
        ["--captions-root", "imported", "--allow-partial"],
    ),  # or there are two sets to choose from
    (r"eval .*--(corrupt|ablate).*", ["--seeds", "1"]),
]
"""Of the first pattern that a command matches: what makes it small."""

NOT_RUN = [
    (r".*--captioner openai.*", "wants a server; tests/captioners/test_openai_runs.py has one"),
    (r".*msls_london.*|.*london-train.*|.*\$set.*", "wants photographs that are not shipped"),
    (r"eval london.parquet --features-root.*", "the same; tests/benchmarks/test_london.py"),
    (
        r"eval .*--drop-twins",
        "all these images are twins; tests/test_health_commands.py has others",
    ),
    (
        r"train .*--adapt multiconv.*",
        "wants processes of its own; tests/training/test_from_photographs.py",
    ),
    (r".*demo/.*", "wants what `make demo` makes"),
]
"""Commands that are only parsed, and why."""


def blocks() -> list[str]:
    """Return the indented blocks of the page, continued lines joined."""
    lines = README.read_text("utf-8").splitlines()
    found: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("    "):
            found[-1].append(line[4:])
        elif line.strip():
            found.append([])
    return [re.sub(r" *\\\n *", " ", "\n".join(block)) for block in found if block]


def commands() -> list[str]:
    """Return every command of ours, without `vprcap` and remarks, in the order of the page."""
    lines = [line.strip() for block in blocks() for line in block.splitlines()]
    ours = [re.match(r"(?:accelerate launch -m )?vprcap +(.+)", line) for line in lines]
    return [re.sub(r"\s+#.*", "", found[1]) for found in ours if found]


def reason_not_to_run(command: str) -> str | None:
    return next((why for pattern, why in NOT_RUN if re.fullmatch(pattern, command)), None)


def parsed(arguments: list[str]) -> click.Context:
    """Parse a command as the program would; nothing is run."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    name, *rest = arguments
    return group.commands[name].make_context(name, rest)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small images of everything that the page names."""
    folder = tmp_path_factory.mktemp("readme")
    write_gsv_cities(folder / "data/gsv-cities")
    write_pitts(folder / "data/pitts30k")
    write_encoders(folder / "encoders")
    lines = ["path,easting,northing,role,place_id"]
    for place in range(NUM_PLACES):
        for view, role in ((1, "database"), (2, "query"), (3, "database")):
            path = folder / "london" / f"{place}-{view}.jpg"
            path.parent.mkdir(exist_ok=True)
            picture(place, view).save(path)
            lines.append(f"{path.name},{100 * place},{view},{role},{place}")
    (folder / "london/manifest.csv").write_text("\n".join(lines) + "\n")
    shutil.copytree(folder / "london", folder / "gsv", ignore=lambda *_: ["manifest.csv"])
    (folder / "photographs").mkdir()
    for number in range(2):
        picture(number, 9).save(folder / "photographs" / f"{number}.jpg")
    picture(100, 9).save(folder / "street.jpg")
    (folder / "my-prompt.txt").write_text("Name the colours of the doors.")
    shutil.copytree(checkpoint_path(), folder / "models/llava-onevision")
    write_of_others(folder)
    return folder


def write_of_others(folder: Path) -> None:
    """Write what other programs leave: descriptors and captions."""
    test = folder / "data/pitts30k/images/test"
    names = {role: sorted((test / role).iterdir()) for role in ("database", "queries")}
    (folder / "logs/mixvpr").mkdir(parents=True)
    for role, paths in names.items():
        vectors = np.random.default_rng(len(role)).random((len(paths), 8), dtype=np.float32)
        np.save(folder / f"logs/mixvpr/{role}_descriptors.npy", vectors)
    every = [str(path.relative_to(folder)) for paths in names.values() for path in paths]
    (folder / "paths.txt").write_text("\n".join(every) + "\n")
    rows = [f"{Path(name).name},a house number {n}" for n, name in enumerate(every)]
    csv = folder / "pitts30k_test_descriptions.csv"
    csv.write_text("\n".join(["image_path,description", *rows]) + "\n")


@pytest.fixture
def vprcap(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[list[str]], None]]:
    """Run a command in the world."""
    monkeypatch.chdir(world)
    monkeypatch.setenv("VPRCAP_DATA", str(world / "data"))

    def run(arguments: list[str]) -> None:
        monkeypatch.setattr(sys, "argv", ["vprcap", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0, (arguments, capsys.readouterr().err)

    yield run


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_a_command_of_the_page_is_understood(command: str) -> None:
    words = shlex.split(command.replace("$here", " ".join(SMALL_MODEL)))
    if words == ["--help"]:
        return
    parsed(words)


def test_an_option_that_is_gone_would_be_noticed() -> None:
    with pytest.raises(Exception, match="No such option: --no-such-option"):
        parsed(["eval", "--no-such-option"])


def test_the_commands_of_the_page_run_in_its_order(
    vprcap: Callable[[list[str]], None], world: Path
) -> None:
    vprcap(["scan", "gsv", "--table", "london/manifest.csv", "--output", "gsv.parquet"])
    vprcap(["shard", "gsv.parquet"])
    vprcap(["caption", "gsv.parquet", "--captioner", "fake"])
    num_run = 0
    for command in commands():
        if reason_not_to_run(command) is not None:
            continue
        if command.startswith("plot"):
            shutil.copytree("runs/gsv", "runs/no-text", dirs_exist_ok=True)
        vprcap(small(command, world))
        num_run += 1
    assert num_run > 40
    assert Path("report.html").is_file() and Path("figures/results.tex").is_file()


def small(command: str, world: Path) -> list[str]:
    """Return the arguments of a command for the small world."""
    for name, stand_in in INSTEAD:
        command = command.replace(name, stand_in)
    added = next((more for pattern, more in ADDED if re.fullmatch(pattern, command)), [])
    words = [word for each in shlex.split(command) for word in expanded(each, world)]
    return [*words, *(more for more in added if more not in words)]


def expanded(word: str, world: Path) -> list[str]:
    """Do what a shell does with a star; of several the first."""
    return [str(next(iter(sorted(world.glob(word)))))] if "*" in word else [word]


def test_what_is_not_run_is_named_and_still_on_the_page() -> None:
    for pattern, _ in NOT_RUN:
        assert any(re.fullmatch(pattern, command) for command in commands()), pattern
    for pattern, _ in ADDED:
        changed = [command.replace(" --serve", "") for command in commands()]
        assert any(re.fullmatch(pattern, command) for command in changed), pattern


def test_the_table_has_every_command_and_no_other() -> None:
    text = README.read_text("utf-8")
    table = text[text.index("| command | does |") : text.index("Each has `--help`")]
    named = {name for cell in re.findall(r"^\| `vprcap ([a-z\\|]+)", table, re.M)
             for name in cell.split("\\|")}  # fmt: skip
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    assert named == set(group.commands)


OF_OTHERS = {"--generation-config", "--logdir", "--requeue", "--save_descriptors"}
"""Options of other programs that the text names."""


def test_options_named_in_the_text_are_there() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    parameters = [parameter for each in group.commands.values() for parameter in each.params]
    known = {option for parameter in parameters for option in parameter.opts} | {"--help"}
    spans = re.findall(r"`([^`\n]*--[^`\n]*)`", README.read_text("utf-8"))
    named = {option for span in spans for option in re.findall(r"--[a-z_][a-z_-]*", span)}
    assert named - known - OF_OTHERS == {"--constraint"} - known


def test_the_ten_lines_of_python_do_what_they_say(world: Path) -> None:
    [block] = [each for each in blocks() if "open_job" in each]
    code = block.replace("llava-hf/llava-1.5-7b-hf", "packaged:tiny-llava")
    assert code != block
    (world / "python").mkdir()
    shutil.copytree(
        world / "photographs", world / "python/photographs", ignore=lambda *_: ["captions"]
    )
    (world / "python/ten_lines.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "ten_lines.py"], cwd=world / "python", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (Path(world / "python") / done.stdout.strip() / "config.json").is_file()


def test_links_within_the_page_lead_somewhere() -> None:
    text = README.read_text("utf-8")
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    links = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert links and links <= anchors


def test_files_that_the_page_names_are_there() -> None:
    text = README.read_text("utf-8")
    names = set(re.findall(r"`((?:tests|pipeline|prompts|manifests)/[\w/.-]+)`", text))
    root = README.parent
    assert names and {name for name in names if not (root / name).exists()} == set()
