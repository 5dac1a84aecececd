"""Small documents and corpora in memory and on disk."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from domainvl.corpus.stage import DOCUMENTS, StageRun, StageSummary, UnitOutput, open_stage, put_image
from domainvl.corpus.tables import to_table
from domainvl.interleaved.documents import Document, ImageSlot, Origin, Slot, TextKind, TextSlot


def png(width_px: int = 8, height_px: int = 6, seed: int = 0) -> bytes:
    """A PNG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), np.uint8)
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def document(name: str, *slots: str | Slot, modified: str | None = None) -> Document:
    """A document; plain texts become text slots."""
    whole = tuple(TextSlot(slot) if isinstance(slot, str) else slot for slot in slots)
    origin = Origin("html", f"{name}.html", modified=modified, language="en")
    return Document(name, whole, url=f"https://example.org/{name}", domain=("example.org",), origin=origin)


def image(name: str, **facts: object) -> ImageSlot:
    """An image slot whose file, where a corpus writes one, is 8 x 6 px."""
    return ImageSlot(f"https://example.org/{name}.png", **facts)  # type: ignore[arg-type]


def caption(text: str) -> TextSlot:
    return TextSlot(text, TextKind.CAPTION)


@dataclass(frozen=True)
class _Write:
    """A unit: documents as they are, with a picture for each of their images."""

    def __call__(self, unit: tuple[Document, ...], images: Path) -> UnitOutput:
        for one in unit:
            for slot in one.images:
                put_image(images, slot.url, png(seed=sum(slot.url.encode())))
        return UnitOutput({DOCUMENTS: to_table(unit)}, counts={"documents read": len(unit)})


def write_corpus(
    out: Path, documents: Iterable[Document], *, per_unit: int = 2, run: StageRun | None = None
) -> StageSummary:
    """Write documents as a corpus, with a picture for each image."""
    given = tuple(documents)
    units = [(f"unit {at}", given[at : at + per_unit]) for at in range(0, len(given), per_unit)]
    with open_stage(out, "corpus test", {}, run or StageRun()) as stage:
        done = stage.map("write", units, _Write(), root=Path("/"))
        return stage.finish_shard(done) if stage.is_shard else stage.finish(done)
