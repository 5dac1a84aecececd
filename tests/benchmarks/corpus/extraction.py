"""Shows what reading pages costs beside trafilatura's own call: pages per second of processor time.

Pages are generated: menus, advertisements, comments, scripts, a body of about 5,000 characters with pictures and
captions; and the book of the real files where they are there. Each way reads each page from its bytes, in turns, and
of each page the best of several rounds counts. Run as ``python tests/benchmarks/corpus/extraction.py [--data DIR]``.

"trafilatura alone" is ``trafilatura.bare_extraction(bytes, fast=True, include_images=True)`` with the options that ours
sets; "ours" is all of ``read_html``: reading the file, decoding, parsing, extraction, slots, hash.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import trafilatura
from resiliparse.extract.html2text import extract_plain_text

from domainvl.corpus.sources.html import read_html
from domainvl.corpus.sources.reading import ReadSettings, SourceFile
from domainvl.interleaved.documents import ImageSlot, TextSlot

PAGES = 100
ROUNDS = 9
WORDS = (
    "survey river valley forest image scene pixel radar coast storm field road driver lesion scan nodule tissue the of"
    " and with from over under between shows appears during after measured observed small large bright dark north"
).split()


def sentence(rng: random.Random) -> str:
    words = [rng.choice(WORDS) for _ in range(rng.randint(8, 18))]
    return f"{' '.join(words).capitalize()}."


def paragraph(rng: random.Random) -> str:
    return " ".join(sentence(rng) for _ in range(rng.randint(4, 6)))


def article(seed: int) -> str:
    """A page as sites send it: a third of its tags are around the body."""
    rng = random.Random(seed)
    menu = "".join(f'<li class="item"><a href="/s/{index}">{rng.choice(WORDS)}</a></li>' for index in range(40))
    body = []
    for index in range(9):
        body.append(f"<p>{paragraph(rng)} <a href='/x'>{rng.choice(WORDS)}</a> {sentence(rng)}</p>")
        if index % 3 == 0:
            body.append(f"<h2>{sentence(rng)[:40]}</h2>")
        if index % 2 == 0:
            picture = f'<img src="/img/{seed}-{index}.jpg" width="640" height="480" alt="{rng.choice(WORDS)}">'
            body.append(f"<figure>{picture}<figcaption>Figure {index}. {sentence(rng)}</figcaption></figure>")
        if index % 4 == 0:
            body.append(f'<div class="ad-box"><a href="/ad"><img src="/ads/{index}.gif"></a></div>')
    comments = "".join(f'<div class="comment"><b>user</b><p>{sentence(rng)}</p></div>' for _ in range(15))
    related = "".join(
        f'<li><a href="/r/{index}"><img src="/t/{index}.jpg">{sentence(rng)}</a></li>' for index in range(8)
    )
    script = f"<script>var settings = {{{', '.join(f'k{index}: {index}' for index in range(400))}}};</script>"
    return (
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>Page {seed}</title>{script}"
        f"<style>.a {{color: red}}</style></head><body><header><nav><ul>{menu}</ul></nav></header>"
        f"<main><article><h1>{sentence(rng)}</h1>{''.join(body)}</article></main>"
        f"<section id='comments'>{comments}</section><aside class='related'><ul>{related}</ul></aside>"
        f"<footer><ul>{menu}</ul></footer>{script}</body></html>"
    )


def best_cpu_s(ways: dict[str, Callable[[Path], object]], pages: Sequence[Path]) -> dict[str, float]:
    """Add up the best time of each page; ways take turns, so that a slow moment of the machine falls on all."""
    total = dict.fromkeys(ways, 0.0)
    for page in pages:
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(ROUNDS):
            for name, way in ways.items():
                begin = time.process_time()
                way(page)
                best[name] = min(best[name], time.process_time() - begin)
        for name, seconds in best.items():
            total[name] += seconds
    return total


def ours(extractor: str) -> Callable[[Path], object]:
    settings = ReadSettings(extractor=extractor)
    return lambda path: list(read_html(SourceFile(path, path.name, path.parent, "html"), settings))


def trafilatura_alone(path: Path) -> object:
    return trafilatura.bare_extraction(
        path.read_bytes(),
        fast=True,
        include_images=True,
        include_tables=True,
        include_comments=False,
        include_formatting=False,
    )


def resiliparse_alone(path: Path) -> object:
    return extract_plain_text(path.read_bytes().decode(), main_content=True, comments=False)


def show(label: str, pages: Sequence[Path]) -> None:
    ways: dict[str, Callable[[Path], object]] = {
        "trafilatura alone": trafilatura_alone,
        "ours, trafilatura": ours("trafilatura"),
        "resiliparse alone (no images)": resiliparse_alone,
        "ours, resiliparse": ours("resiliparse"),
    }
    for way in ways.values():
        way(pages[0])
    spent = best_cpu_s(ways, pages)
    print(
        f"\n{label}: {len(pages)} pages, {sum(page.stat().st_size for page in pages) / len(pages) / 1000:.0f} KB each"
    )
    for name, seconds in spent.items():
        ratio = spent["trafilatura alone"] / seconds
        print(f"  {name:<32} {len(pages) / seconds:8.1f} pages a CPU-second   {ratio:5.2f} of trafilatura alone")
    for name in ("trafilatura", "resiliparse"):
        page = ours(name)(pages[0])[0]
        images = sum(isinstance(slot, ImageSlot) for slot in page.slots)
        characters = sum(len(slot.text) for slot in page.slots if isinstance(slot, TextSlot))
        print(f"  first page by {name}: {images} images, {characters:,} characters")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[4] / "shared" / "data")
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as folder:
        pages = []
        for seed in range(PAGES):
            path = Path(folder, f"{seed:03d}.html")
            path.write_text(article(seed))
            pages.append(path)
        show("generated articles", pages)
    book = sorted((data / "general").glob("GITenberg__*/30621-h/30621-h.htm"))
    if book:
        show("the book", book)


if __name__ == "__main__":
    main()
