"""Renders pages about a corpus: one file, offline, nothing in it that can run, all text of documents escaped."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from domainvl.files import write_atomically
from domainvl.viewing.show import MARKER, csp_hash, page_style


def write_html(path: Path, template: str, **values: Any) -> None:
    """Render a template of this folder into a file.

    Args:
        path: The file.
        template: Its name.
        values: What it shows.

    Raises:
        OutputError: If the file cannot be written.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = page_style() + _resource("corpus.css")
    policy = f"default-src 'none'; img-src data:; style-src {csp_hash(style)}; base-uri 'none'; form-action 'none'"
    page = environment.get_template(template).render(marker=MARKER, policy=policy, style=style, **values)
    # backslashreplace: texts may hold lone surrogates, which UTF-8 cannot hold.
    write_atomically(path, page.encode("utf-8", "backslashreplace"))


def _resource(name: str) -> str:
    return resources.files("domainvl.viewing.corpus").joinpath(name).read_text(encoding="utf-8")
