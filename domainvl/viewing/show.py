"""Writes a page of samples: static, offline, with nothing in it that was not in the data set.

Text from the data set is escaped wherever it stands, the page may run and style only what its own hashes name
(Content Security Policy), and the images are given new names, so that a path from the data set is never a path here.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from domainvl.errors import InputNotFoundError, UsageError
from domainvl.files import link_or_copy, output_errors
from domainvl.schema import Image, Sample, read_manifest
from domainvl.viewing.cards import Card, assign_hues, make_card
from domainvl.viewing.choosing import Choice, Wanted, choose_samples

INDEX_NAME = "index.html"
MARKER = '<meta name="generator" content="domainvl show">'
"""Tells a page that domainvl made, which it may replace, from any other file."""

_MARKER_ROOM_BYTES = 2048
_IMAGE_NAME = re.compile(r"[0-9a-f]{32}\.(png|jpg)")
_EXTENSIONS = {"PNG": ".png", "JPEG": ".jpg"}
_MIME_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}


@dataclass(frozen=True)
class PageSummary:
    """What a page shows.

    Attributes:
        path: The HTML file.
        shown: Number of samples on it.
        available: Number of samples it was chosen from.
        problems: What is wrong with an image, by its path in the data set.
        disagreeing: Number of samples whose conversation and truth disagree.
    """

    path: Path
    shown: int
    available: int
    problems: dict[str, str]
    disagreeing: int


@dataclass(frozen=True)
class PageImage:
    """An image file as the page uses it: its name on the page, or what is wrong with it."""

    name: str
    file: Path | None
    problem: str | None = None


def write_page(dataset: Path, out: Path, *, wanted: Wanted | None = None, embed: bool = False) -> PageSummary:
    """Write a page of samples.

    Args:
        dataset: The data set's folder.
        out: Folder to make, or with ``embed`` the HTML file. An older page there is replaced, anything else is not.
        wanted: Which samples, and how many.
        embed: Write one file that holds the images.

    Raises:
        UsageError: If ``out`` is there and is no page that domainvl made.
        NothingToDoError: If there is no sample to show.
        OutputError: If the page cannot be written.
    """
    check_page_target(out, embed=embed)
    wanted = wanted or Wanted()
    choice = choose_samples(dataset, wanted)
    hues = assign_hues(choice.samples)
    cards = [make_card(sample, hues) for sample in choice.samples]
    images = find_images(dataset, choice.samples)
    html = _render(_dataset_name(dataset), choice, wanted, cards, images, embed=embed)
    if embed:
        path = _write_file(out, html)
    else:
        path = _write_folder(out, html, images.values())
    return PageSummary(
        path=path,
        shown=len(cards),
        available=choice.available,
        problems={path: image.problem for path, image in images.items() if image.problem is not None},
        disagreeing=sum(bool(card.notes) for card in cards),
    )


def _dataset_name(dataset: Path) -> str:
    try:
        return str(read_manifest(dataset).get("name") or dataset.name)
    except InputNotFoundError:  # samples can be looked at without what says how they were made
        return dataset.resolve().name


def check_page_target(out: Path, *, embed: bool) -> None:
    """Refuse a target that is there and is no page that domainvl made.

    Args:
        out: The folder, or with ``embed`` the file.
        embed: Whether the page is one file.

    Raises:
        UsageError: Naming what is in the way.
    """
    if out.name in ("", ".."):
        raise UsageError("Cannot write a page", where=out, rule="it must be named", action="Name a folder to make")
    if not out.exists():
        return
    if embed:
        problem = "it is a folder" if out.is_dir() else None if _has_marker(out) else "the file is no page of domainvl"
        action = "Name a file to make, such as page.html"
    else:
        problem = _foreign_content(out) if out.is_dir() else "it is a file"
        action = "Name another folder, or remove it yourself"
    if problem is not None:
        raise UsageError("Cannot write a page", where=out, rule=problem, action=action)


def _has_marker(path: Path) -> bool:
    with path.open("rb") as file:
        return MARKER.encode() in file.read(_MARKER_ROOM_BYTES)


def _foreign_content(folder: Path) -> str | None:
    """Say what in a folder is not part of a page that domainvl made."""
    entries = sorted(entry.name for entry in folder.iterdir())
    if not entries:
        return None
    index = folder / INDEX_NAME
    if not index.is_file() or not _has_marker(index):
        return f"the folder holds no page of domainvl, but {entries[0]}"
    foreign = [name for name in entries if name not in (INDEX_NAME, "images")]
    images = folder / "images"
    if images.is_dir():
        names = sorted(entry.name for entry in images.iterdir())
        foreign += [f"images/{name}" for name in names if not _IMAGE_NAME.fullmatch(name)]
    return f"beside the page there is {foreign[0]}" if foreign else None


def find_images(dataset: Path, samples: Iterable[Sample]) -> dict[str, PageImage]:
    """Find the image files of samples and give each a name on the page.

    Args:
        dataset: The data set's folder.
        samples: The samples.

    Returns:
        By path in the data set.
    """
    found: dict[str, PageImage] = {}
    for sample in samples:
        for image in sample.images:
            if image.path not in found:
                found[image.path] = _find_image(dataset, image)
    return found


def _find_image(dataset: Path, image: Image) -> PageImage:
    from PIL import Image as PillowImage

    stem = hashlib.sha256(image.path.encode()).hexdigest()[:32]
    parts = PurePosixPath(image.path)
    if parts.is_absolute() or ".." in parts.parts or "\\" in image.path or "\0" in image.path:
        return PageImage(stem, None, "its path leads out of the data set")
    file = dataset / parts
    if not file.is_file():
        return PageImage(stem, None, "there is no such file")
    try:
        with PillowImage.open(file) as opened:
            kind, size = opened.format or "", opened.size
    except (OSError, SyntaxError, PillowImage.DecompressionBombError):
        # Pillow raises SyntaxError on broken PNG chunks.
        return PageImage(stem, None, "it is no image that can be read")
    if kind not in _EXTENSIONS:
        return PageImage(stem, None, f"it must be PNG or JPEG, got {kind}")
    problem = None
    if size != (image.width_px, image.height_px):
        problem = f"it has {size[0]}x{size[1]} px, recorded are {image.width_px}x{image.height_px}"
    return PageImage(stem + _EXTENSIONS[kind], file, problem)


def _render(
    name: str,
    choice: Choice,
    wanted: Wanted,
    cards: Sequence[Card],
    images: dict[str, PageImage],
    *,
    embed: bool,
) -> str:
    from jinja2 import Environment, StrictUndefined

    style, script, template = (_resource(file) for file in ("page.css", "page.js", "page.html.j2"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        marker=MARKER,
        policy=_policy(style, script, embed=embed),
        style=style,
        script=script,
        name=name,
        choice=choice,
        wanted=wanted,
        cards=cards,
        images=images,
        facets=_facets(cards),
        pixels=_data_uris(images.values()) if embed else None,
    )


def drawing_macros() -> str:
    """Return the macros of the page that draw boxes and labels, for other pages that draw them."""
    template = _resource("page.html.j2")
    end = "{% endmacro %}"
    return template[template.index("{% macro") : template.rindex(end) + len(end)]


def page_style() -> str:
    """Return the style of the page: what is drawn on an image looks the same wherever it is drawn."""
    return _resource("page.css")


def _resource(name: str) -> str:
    return resources.files("domainvl.viewing").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str, *, embed: bool) -> str:
    """Allow the page its own style and script by their hashes, its own images, and nothing else (W3C, CSP Level 3)."""
    # Browsers differ in whether 'self' covers the other files of a page that was opened from a disk.
    sources = "data:" if embed else "'self' file:"
    return (
        f"default-src 'none'; img-src {sources}; style-src {csp_hash(style)}; script-src {csp_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def csp_hash(text: str) -> str:
    """Return what a Content Security Policy calls a style or script by (W3C, CSP Level 3)."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _facets(cards: Sequence[Card]) -> list[dict[str, Any]]:
    """Return what can be filtered by, with the values and on how many cards each is."""
    counts: dict[str, Counter[str]] = {key: Counter() for key in ("task", "split", "class", "domain")}
    for card in cards:
        counts["task"][card.sample.task.value] += 1
        counts["split"][card.sample.split.value] += 1
        counts["domain"][card.sample.domain] += 1
        counts["class"].update(card.labels)
    return [{"key": key, "values": sorted(counter.items())} for key, counter in counts.items()]


def _data_uris(images: Iterable[PageImage]) -> dict[str, str]:
    return {
        image.name: f"data:{_MIME_TYPES[Path(image.name).suffix]};base64,"
        + base64.b64encode(image.file.read_bytes()).decode()
        for image in images
        if image.file is not None
    }


def _write_file(out: Path, html: str) -> Path:
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    with output_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        _write_text(partial, html)
        os.replace(partial, out)
    return out


def _write_text(path: Path, text: str) -> None:
    # backslashreplace: a file name that is not UTF-8 holds lone surrogates, which UTF-8 cannot hold.
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def _write_folder(out: Path, html: str, images: Iterable[PageImage]) -> Path:
    """Write the page beside its target and then give it the name: there is never half a page."""
    partial, old = (out.with_name(f".{out.name}.{suffix}") for suffix in (f"{os.getpid()}", f"{os.getpid()}.old"))
    with output_errors(out):
        try:
            (partial / "images").mkdir(parents=True)
            _write_text(partial / INDEX_NAME, html)
            for image in images:
                if image.file is not None:
                    link_or_copy(image.file.resolve(), partial / "images" / image.name)
            if out.exists():
                out.rename(old)
            partial.rename(out)
        finally:
            for folder in (partial, old):
                if folder.exists():
                    shutil.rmtree(folder)
    return out / INDEX_NAME
