"""Corpora whose filtering is known beforehand: each document loses what it was given to lose."""

from __future__ import annotations

from pathlib import Path

from toy_corpora import document, image, write_corpus

from domainvl.corpus.filtering.profiles import Profile, load_profile
from domainvl.corpus.filtering.step import filter_corpus
from domainvl.corpus.stage import StageRun
from domainvl.engine import Execution
from domainvl.interleaved.documents import Document, TextKind, TextSlot

HERE = StageRun(Execution(workers=0))
"""Runs a step in this process."""

_WORDS = (
    "river stone knee cloud lorry shell meadow tram patella roof harbour lantern orchard bridge window carpet engine "
    "ladder mirror pillow rabbit saddle tunnel violin wagon anchor basket candle dragon feather"
).split()


_SENTENCES = (
    "In the early spring a {} was carried to the old {} that nobody had used for years.",
    "Children laughed when their teacher put the {} behind a {} and walked away from it.",
    "What we know of this {} comes from letters, which mention another {} only once.",
    "Snow fell on every {}, so people stayed at home with bread and some {} instead.",
    "Later that week an engineer measured how far each {} stands from its nearest {}.",
    "Few visitors notice such details, but a careful eye will find the {} beside one {}.",
)


def prose(seed: int) -> str:
    """Six sentences of some 85 words that repeat nothing of each other."""
    words = [_WORDS[(seed + 5 * at) % len(_WORDS)] for at in range(2 * len(_SENTENCES))]
    return " ".join(_SENTENCES).format(*words)


def detail(text: str) -> TextSlot:
    """A detail: rules on short paragraphs are for it, those on how sentences end are not."""
    return TextSlot(text, TextKind.DETAIL)


def make_document(number: int) -> Document:
    """Every third document is too short (gopher-words); the others lose a detail of 3 or 4 words and an image.

    Of the two images the first is 90 px high (image-side), the second large enough.
    """
    name = f"doc-{number:02d}"
    pictures = (image(f"{name}-small", width_px=120, height_px=90), image(f"{name}-large", width_px=300, height_px=200))
    if number % 3 == 2:
        return document(name, "The note that was kept of it is short. <i>So it goes with most.", *pictures)
    item = "No acute abnormality seen" if number % 3 == 0 else "Scan of chest"
    return document(name, prose(number), pictures[0], detail(item), pictures[1], detail("A list of five words"))


def write_plain(folder: Path, count: int = 12) -> Path:
    """Write a corpus of such documents."""
    write_corpus(folder, [make_document(number) for number in range(count)], run=HERE)
    return folder


def write_filtered(folder: Path, count: int = 12, profile: Profile | None = None) -> Path:
    """Write a corpus of such documents, filtered by the general profile."""
    filter_corpus(
        write_plain(folder.with_name(f"{folder.name}-plain"), count),
        folder,
        profile or load_profile("general"),
        run=HERE,
    )
    return folder
