"""`pipeline/README.md` has one line for each file; `python tests/test_tree.py` writes it again."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "pipeline" / "vprcap"
PAGE = PACKAGE.parent / "README.md"
TITLE = """# The files of vprcap

One line for each, in the words of its docstring. Layers import downwards only: cli, workflows,
engines, stages, models, nouns; `make check` holds them to it.
"""


def tree() -> str:
    """Return the page: folders as headings, files as lines."""
    folders = sorted({path.parent for path in PACKAGE.rglob("*.py")})
    return "\n".join([TITLE, *(part for folder in folders for part in _folder(folder))])


def _folder(folder: Path) -> list[str]:
    name = folder.relative_to(PACKAGE.parent)
    files = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    about = first_line(folder / "__init__.py")
    lines = [f"- `{path.name}`: {first_line(path)}" for path in files]
    return [f"## {name}\n", f"{about}\n", *lines, ""] if lines else [f"## {name}\n", f"{about}\n"]


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return docstring.partition("\n")[0].rstrip(".")


def test_every_file_says_in_one_line_what_it_is() -> None:
    unsaid = [path.name for path in PACKAGE.rglob("*.py") if not first_line(path)]
    assert unsaid == []


def test_the_page_is_that_of_the_files_as_they_are() -> None:
    assert PAGE.read_text("utf-8") == tree(), "run: python tests/test_tree.py"


if __name__ == "__main__":
    PAGE.write_text(tree(), "utf-8")
