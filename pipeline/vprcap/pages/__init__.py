"""Pages to look at: one file of HTML, with its style, script and pictures inside.

No network, no other file: a page can be mailed, archived beside a result and opened from a disk in
ten years. Everything that comes from outside (captions, file names, models' names) is escaped by
Jinja2; a content-security policy keeps a page from loading anything even if that should ever fail.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vprcap.errors import InvalidError
from vprcap.files import replacing


def write_page(path: Path, template: str, values: Mapping[str, Any]) -> Path:
    """Write a page and return its path.

    Args:
        path: HTML file to write.
        template: its name in ``pages/templates``, without ``.html``.
        values: what the template shows; undefined names are errors.

    Raises:
        InvalidError: the path has no name.
    """
    if not path.name:
        raise InvalidError(f"{path} is no file to write; name one, such as page.html")
    with replacing(path) as temporary:
        temporary.write_text(render(template, values), encoding="utf-8")
    return path


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return the text of a page; see `write_page`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("vprcap.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{template}.html").render(values)
