"""Texts with images named after them, which have no place in the text until they are placed."""

from __future__ import annotations

from pathlib import Path

from toy_corpora import png

from domainvl.corpus.build import build_corpus
from domainvl.corpus.folder import Corpus
from domainvl.interleaved.documents import ImageSlot, TextSlot


def test_a_text_has_the_images_of_its_name_behind_it(tmp_path: Path) -> None:
    folder = tmp_path / "cases"
    (folder / "case1").mkdir(parents=True)
    (folder / "case1.txt").write_bytes(b"First line,\r\nstill the first.\r\n \r\nSecond.\n")
    (folder / "case2.txt").write_text("No image.")
    names = ("case1.png", "case1-2.PNG", "case1_axial.png", "case1/b.png", "case1/a.png")
    for seed, name in enumerate((*names, "case12.png", "other.png")):
        (folder / name).write_bytes(png(seed=seed))
    (folder / "case1" / "notes.doc").touch()
    summary = build_corpus([folder], tmp_path / "corpus")
    (one,) = Corpus.open(tmp_path / "corpus").documents()
    assert one.origin is not None
    assert (one.origin.placement, one.origin.format) == ("none", "text")
    assert [slot.text for slot in one.slots if isinstance(slot, TextSlot)] == [
        "First line,\nstill the first.",
        "Second.",
    ]
    urls = [slot.url for slot in one.slots if isinstance(slot, ImageSlot)]
    assert urls == [
        f"cases/{name}" for name in ("case1-2.PNG", "case1.png", "case1_axial.png", "case1/a.png", "case1/b.png")
    ]
    assert all(slot.valid and slot.width_px == 8 for slot in one.images)
    assert one.slots[:2] == one.texts
    assert summary.manifest["steps"][-1]["drops"] == {"read/no-image": 1}
