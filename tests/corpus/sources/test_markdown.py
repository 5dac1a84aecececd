"""Markdown files become slots in their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from domainvl.corpus.sources.markdown import read_markdown
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import ItemError
from domainvl.interleaved.documents import ImageSlot, TextKind, TextSlot

TEXT = """---
title: no part of the text
---
# Chest *radiographs*

A first paragraph with a [link](http://x.org) and `code`
over two lines.

![Frontal view](<img/a b.png> "title")
Figure 1. A normal chest

- first
- second ![](img/in%20list.png) third

> Quoted **words**

```python
if x:
    y()
```

| Name | Side |
| --- | --- |
| Tile | 448 |

### End

![](../../outside.png) ![far](https://x.org/far.png)
<img src="raw.png">
"""


def read(folder: Path, content: bytes, **settings: object) -> Page:
    path = folder / "notes" / "page.md"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    source = SourceFile(path, f"{folder.name}/notes/page.md", folder, "markdown")
    (page,) = read_markdown(source, ReadSettings(**settings))  # type: ignore[arg-type]
    assert isinstance(page, Page)
    return page


def test_slots(tmp_path: Path) -> None:
    name = tmp_path.name
    page = read(tmp_path, TEXT.encode())
    assert page.slots == (
        TextSlot("Chest radiographs", TextKind.HEADER, 1),
        TextSlot("A first paragraph with a link and code over two lines."),
        ImageSlot(f"{name}/notes/img/a b.png", alt="Frontal view"),
        TextSlot("Figure 1. A normal chest", TextKind.CAPTION),
        TextSlot("first", TextKind.LIST),
        TextSlot("second", TextKind.LIST),
        ImageSlot(f"{name}/notes/img/in list.png"),
        TextSlot("third", TextKind.LIST),
        TextSlot("Quoted words", TextKind.QUOTE),
        TextSlot("if x:\n    y()", TextKind.CODE),
        TextSlot("Name | Side", TextKind.TABLE),
        TextSlot("Tile | 448", TextKind.TABLE),
        TextSlot("End", TextKind.HEADER, 3),
        ImageSlot("outside.png"),
        ImageSlot("https://x.org/far.png", alt="far"),
        ImageSlot(f"{name}/notes/raw.png"),
    )


def test_images_are_found_beside_the_file(tmp_path: Path) -> None:
    page = read(tmp_path, TEXT.encode())
    (tmp_path / "notes" / "img").mkdir()
    (tmp_path / "notes" / "img" / "a b.png").write_bytes(b"one")
    assert page.find_image(f"{tmp_path.name}/notes/img/a b.png") == b"one"
    for address, reason in (("outside.png", "outside-source"), ("https://x.org/far.png", "remote")):
        with pytest.raises(ItemError) as caught:
            page.find_image(address)
        assert caught.value.reason == reason


def test_images_in_the_file(tmp_path: Path) -> None:
    page = read(tmp_path, b"![x](data:image/png;base64,aGVsbG8=) and text")
    (image,) = [slot for slot in page.slots if isinstance(slot, ImageSlot)]
    assert image.url.startswith("data-sha256:2cf24dba") and page.find_image(image.url) == b"hello"


HTML = """Speeds 10<br>20, 10<sup>3</sup> and H<sub>2</sub>O, the 1<sup>st</sup>.

| a | b | c |
|---|---|---|
| 1 |   | 3 |
| 4<br>5 | x | |

<img data-src="late.png" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" width="300" alt="a">

Inline <img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" data-src="b.png" />
here. <img src="pixel.gif" width="1" height="1">

<p align="center">Important <b>text</b> in a block.</p>

<details>
<summary>More</summary>

Inner text.

</details>

<table><tr><td>x</td><td></td><td>z</td></tr></table>

<!-- no text -->

<iframe src="x"></iframe>

Press <button>go</button>.
"""


def test_html_is_read(tmp_path: Path) -> None:
    name = tmp_path.name
    page = read(tmp_path, HTML.encode())
    assert page.slots == (
        TextSlot("Speeds 10\n20, 10^3 and H2O, the 1st."),
        TextSlot("a | b | c", TextKind.TABLE),
        TextSlot("1 |  | 3", TextKind.TABLE),
        TextSlot("4 5 | x | ", TextKind.TABLE),
        ImageSlot(f"{name}/notes/late.png", alt="a"),
        TextSlot("Inline"),
        ImageSlot(f"{name}/notes/b.png"),
        TextSlot("here."),
        TextSlot("Important text in a block."),
        TextSlot("More", TextKind.DETAIL),
        TextSlot("Inner text."),
        TextSlot("x |  | z", TextKind.TABLE),
        TextSlot("Press go."),
    )
    # An iframe and a button; a pixel.
    assert [(one.reason, one.message[:2]) for one in page.rejects] == [("tracking-pixel", "it"), ("raw-html", "2 ")]


@pytest.mark.parametrize(
    "content",
    [
        b"---\r\ntitle: T\r\n---\r\nText\r\n",
        b"---\na: 1\nb: ---\n...\nText",
        b"---\n---\nText",
        b"Text\n\n---\nx: 1\n---\n",
    ],
    ids=["crlf", "dots", "empty", "later"],
)
def test_front_matter_is_no_text(tmp_path: Path, content: bytes) -> None:
    slots = read(tmp_path, content).slots
    assert slots[0] == TextSlot("Text") and len(slots) == (2 if content.startswith(b"Text") else 1)


def test_images_that_obsidian_embeds(tmp_path: Path) -> None:
    page = read(tmp_path, b"One ![[a b.png]] two ![[c_d.JPG|300]] `![[e.png]]` ![[note]]")
    assert page.slots == (
        TextSlot("One"),
        ImageSlot(f"{tmp_path.name}/notes/a b.png"),
        TextSlot("two"),
        ImageSlot(f"{tmp_path.name}/notes/c_d.JPG"),
        TextSlot("![[e.png]] ![[note]]"),
    )


@pytest.mark.parametrize(
    "content",
    [b">" * 40 + b" x", b"- " * 40 + b"x", b"[" * 9_000 + b"x", b"*" * 9_000 + b"x", b"| a " * 5_000 + b"\n"],
    ids=["quotes", "lists", "brackets", "stars", "cells"],
)
def test_nesting(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content + b"\n\nend\n").slots[-1] == TextSlot("end")


@pytest.mark.parametrize("content", [b">" * 20_000 + b" x", b"- " * 20_000 + b"x"], ids=["quotes", "lists"])
def test_nesting_that_is_too_deep_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ItemError) as caught:
        read(tmp_path, content + b"\n\nend\n")
    assert caught.value.reason == "too-deep"


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty"), (bytes(range(32)) * 9, "decode"), (b"x" * 99, "too-large")]
)
def test_bad_files(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(ItemError) as caught:
        read(tmp_path, content, max_source_bytes=98 if reason == "too-large" else 1000)
    assert caught.value.reason == reason
