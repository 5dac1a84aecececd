"""Extractors of the main body of a page, behind one small interface: a marked tree in, the marks that are kept out.

What an extractor gives is only searched for marks (:mod:`.page_tree`), so another one needs one short function here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

from domainvl.corpus.extras import require
from domainvl.corpus.sources.page_tree import MarkedPage, marks_in
from domainvl.errors import UsageError


@dataclass(frozen=True)
class Extractor:
    """A library that finds the main body.

    Attributes:
        package: Its distribution, whose version stands in a document's origin.
        module: What is imported of it.
        extra: The extra of domainvl that brings it.
        extract: Gives what it keeps of a marked tree at an address, as any text with the marks in it.
    """

    package: str
    module: str
    extra: str
    extract: Callable[[Any, str], str]

    @property
    def version(self) -> str:
        """Name and version, such as ``trafilatura 2.3.1``."""
        return _version(self.package)

    def kept(self, page: MarkedPage, address: str) -> set[int]:
        """Return the indices of the slots that belong to the main body; none where it finds none.

        Raises:
            UsageError: If the library is not installed.
        """
        return marks_in(self.extract(page.tree, address))


def find_extractor(name: str) -> Extractor:
    """Return an extractor by its name.

    Raises:
        UsageError: If there is none of that name.
    """
    found = EXTRACTORS.get(name)
    if found is None:
        rule = f"--extractor must be one of {', '.join(EXTRACTORS)}, got {name!r}"
        raise UsageError("Cannot read pages", rule=rule)
    return found


@cache
def _version(package: str) -> str:
    """Look a version up once: that costs as much as a third of a page."""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package


def _trafilatura(tree: Any, address: str) -> str:
    """Extract without fallbacks, as OmniCorpus does (arXiv 2406.08418, section 3.2): half the time.

    Of the tree it gives, every output format has the same; that of XML does not write it down as plain text as well.
    """
    found = require("trafilatura").bare_extraction(tree, options=_trafilatura_options())
    if found is None:
        return ""
    images = (image.get("alt") or "" for image in found.body.iter("graphic"))
    return "".join((*found.body.itertext(), *images))


@cache
def _trafilatura_options() -> Any:
    """Make the options once: reading trafilatura's settings again costs a twentieth of a page. Nothing changes them."""
    return require("trafilatura.settings").Extractor(
        output_format="xml", fast=True, images=True, tables=True, comments=False, formatting=False
    )


def _resiliparse(tree: Any, address: str) -> str:
    """Extract with alternative texts, which are the marks of images: resiliparse gives text alone."""
    html, extract = require("lxml.html"), require("resiliparse.extract.html2text")
    text: str = extract.extract_plain_text(
        html.tostring(tree, encoding="unicode"), main_content=True, alt_texts=True, comments=False
    )
    return text


def _magic_html(tree: Any, address: str) -> str:
    """Extract as magic-html's README shows: ``extract(html, base_url=...)`` gives the body under ``html``."""
    html, magic = require("lxml.html"), require("magic_html", extra="magic-html")
    found = magic.GeneralExtractor().extract(html.tostring(tree, encoding="unicode"), base_url=address)
    return str(found.get("html") or "")


EXTRACTORS: Mapping[str, Extractor] = {
    "trafilatura": Extractor("trafilatura", "trafilatura", "corpus", _trafilatura),
    "resiliparse": Extractor("resiliparse", "resiliparse.extract.html2text", "corpus", _resiliparse),
    "magic-html": Extractor("magic-html", "magic_html", "magic-html", _magic_html),
}
"""By the names that ``--extractor`` takes."""
