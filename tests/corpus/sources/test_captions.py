"""What begins as a caption is one, and what only mentions a figure is none."""

from __future__ import annotations

import pytest

from domainvl.corpus.sources.captions import MAX_CAPTION_CHARACTERS, is_caption_class, is_caption_text


@pytest.mark.parametrize(
    "text",
    [
        "Fig. 10. Axe of stone",
        "FIG. 3 – Section",
        "Figure 3: Overview",
        "Fig 2a. Left",
        "Figs. 10-12. Three views",
        "Figures 1 and 2. Both",
        "Figure S1. Supplement",
        "Table 2",
        "Table IV. Ages",
        "Plate I. Map",
        "Abb. 3: Übersicht",
        "图 3 卫星影像",
        "图3：卫星影像",
        "表 2",
    ],
)
def test_captions(text: str) -> None:
    assert is_caption_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "Figure 3 shows that the river moved.",
        "In Fig. 3 we see it.",
        "Table tennis. A game",
        "Figs are fruit.",
        "Plates were broken.",
        "Fig. A man in a boat",
        "Images of 3 rivers",
        "图像处理的方法",
        "Figure 1. " + "x" * MAX_CAPTION_CHARACTERS,
    ],
)
def test_no_captions(text: str) -> None:
    assert not is_caption_text(text)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("caption", True),
        ("fig-caption", True),
        ("wp-caption-text", True),
        ("image_caption small", True),
        ("thumbcaption", True),
        ("captioned", False),
        ("recaptcha", False),
        ("body", False),
    ],
)
def test_classes(names: str, expected: bool) -> None:
    assert is_caption_class(names) is expected
