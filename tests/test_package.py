"""What people install: a wheel that stands by itself, and an archive that can be tested."""

import hashlib
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHECKPOINT = Path("tiny_llava/checkpoint")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

ANSWERS = """
import importlib.abc, sys
from pathlib import Path

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import vprcap
assert Path(vprcap.__file__).is_relative_to({folder!r}), vprcap.__file__
import typer.main
from typer.testing import CliRunner
from vprcap.cli import app

for command in typer.main.get_command(app).commands:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0 and "Example: vprcap " in result.output, (command, result.output)
    print(command)
from vprcap.manifests.recipe import shipped_recipes
from vprcap.prompt import load_prompt
print(len(list(shipped_recipes())), load_prompt("place").sha256)
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.Path:
    (path,) = dist.glob("*.whl")
    return zipfile.Path(path)


@pytest.mark.parametrize(
    ("folder", "inside"),
    [
        (ROOT / "prompts", "vprcap/shipped/prompts"),
        (ROOT / "manifests", "vprcap/shipped/manifests"),
        (ROOT / "pipeline/vprcap" / CHECKPOINT, f"vprcap/{CHECKPOINT}"),
    ],
)
def test_the_wheel_has_prompts_recipes_and_the_tiny_model_byte_by_byte(
    wheel: zipfile.Path, folder: Path, inside: str
) -> None:
    packed = {path.name: path.read_bytes() for path in (wheel / inside).iterdir()}
    assert packed == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_archive_has_what_testing_it_takes_and_nothing_more(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    tests = {path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py")}
    assert tests <= names
    assert {name.parts[0] for name in names} == {
        *("pipeline", "prompts", "manifests", "tests", "Makefile", "pyproject.toml", "PKG-INFO"),
        *("constraints.txt", "constraints-vllm.txt", "README.md", "CHANGELOG.md", "LICENSE"),
        *("CITATION.cff", ".gitignore"),
    }


def test_the_wheel_answers_every_help_without_development_tools(
    wheel: zipfile.Path, tmp_path: Path
) -> None:
    zipfile.ZipFile(str(wheel.root.filename)).extractall(tmp_path)
    needed = {name_of(each) for each in PROJECT["dependencies"]}
    tools = {name_of(each) for each in PROJECT["optional-dependencies"]["dev"]} - needed
    assert {"pytest", "beartype", "hypothesis"} <= tools
    program = ANSWERS.format(missing=tools, folder=str(tmp_path))
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    *commands, last = answer.stdout.splitlines()
    assert {"scan", "caption", "train", "eval", "doctor"} <= set(commands)
    num_recipes = len(list((ROOT / "manifests").glob("*.toml")))
    prompt = (ROOT / "prompts/place.txt").read_text("utf-8").strip()
    assert last == f"{num_recipes} {hashlib.sha256(prompt.encode()).hexdigest()}"


def name_of(requirement: str) -> str:
    """Return the module that a requirement installs."""
    return requirement.partition(">")[0].partition("=")[0].replace("-", "_")
