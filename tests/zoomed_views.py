"""Registered pairs of made-up scenes (domainvl.enhance.generate), written as ``enhance register`` would."""

from __future__ import annotations

import json
from pathlib import Path

from domainvl.enhance.generate import PEAKS, Floats, ZoomedPair, make_pair, make_scene, smooth_flow
from domainvl.enhance.pairs.records import (
    HIGH_FOLDER,
    INDEX_NAME,
    LOW_FOLDER,
    RECORDS_NAME,
    REJECTS_NAME,
    SPLITS,
    PairIndex,
    PairRecord,
    Split,
    View,
)
from domainvl.enhance.rasters import write_tiff

__all__ = ["PEAKS", "Floats", "ZoomedPair", "make_pair", "make_scene", "smooth_flow", "write_pairs_folder"]


def write_pairs_folder(
    folder: Path,
    *,
    counts: tuple[int, int, int] = (4, 2, 2),
    size_low: tuple[int, int] = (32, 32),
    scale: int = 2,
    flow_px: float = 0.5,
    noise: float = 0.01,
    bands: int = 3,
    dtype: str = "uint8",
    mosaic: bool = False,
    seed: int = 0,
) -> list[ZoomedPair]:
    """Write registered pairs as ``enhance register`` would, without it: each pair is a group of its own.

    Args:
        folder: Where to.
        counts: Pairs of the splits train, val and test.
        size_low: Rows and columns of the low views.
        scale: How many times as many the high ones have.
        flow_px: Largest component of the smooth displacement that is left, in low pixels.
        noise: Standard deviation of the low views' noise, as a share of white.
        bands: Bands of the high views, and of the low ones unless they are mosaics.
        dtype: Type of all views.
        mosaic: Make low views of one band.
        seed: Decides the scenes.

    Returns:
        The pairs in the order of ``pairs.jsonl``.
    """
    splits: list[Split] = [split for split, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    pairs: list[ZoomedPair] = []
    lines: list[str] = []
    for number, split in enumerate(splits):
        pair = make_pair(
            seed + 10 * number, size_low, scale, flow_px=flow_px, noise=noise, bands=bands, dtype=dtype, mosaic=mosaic
        )
        name = f"scene-{number:03d}"
        write_tiff(folder / LOW_FOLDER / f"{name}.tif", pair.low)
        write_tiff(folder / HIGH_FOLDER / f"{name}.tif", pair.high)
        record = PairRecord(
            id=name,
            group=name,
            split=split,
            low=f"{LOW_FOLDER}/{name}.tif",
            high=f"{HIGH_FOLDER}/{name}.tif",
            low_source=f"{name}-low.png",
            high_source=f"{name}-high.png",
            shift_px=(0.0, 0.0),
            affine=(1.0, 0.0, 0.0, 1.0),
            residual_px=0.0,
            similarity=0.9,
            similarity_before=0.9,
        )
        lines.append(record.model_dump_json())
        pairs.append(pair)
    low_bands = 1 if mosaic else bands
    peak = PEAKS[dtype]
    index = PairIndex(
        scale=scale,
        layout="folders",
        mosaic=mosaic,
        low_view=View(bands=low_bands, dtype=dtype, low=(0.0,) * low_bands, high=(peak,) * low_bands),
        high_view=View(bands=bands, dtype=dtype, low=(0.0,) * bands, high=(peak,) * bands),
        settings={},
        counts=dict(zip(SPLITS, counts, strict=True)),
        rejected={},
    )
    (folder / RECORDS_NAME).write_text("".join(line + "\n" for line in lines), "utf-8")
    (folder / REJECTS_NAME).write_text("", "utf-8")
    (folder / INDEX_NAME).write_text(json.dumps(index.model_dump(), indent=1) + "\n", "utf-8")
    return pairs
