"""How many images a CPU-second are checked and hashed, beside imagehash on a whole decode.

    python tests/benchmarks/corpus/hashing.py

Images are generated: smooth colours under noise, as JPEG and PNG of several sizes. "imagehash" opens the file, decodes
it whole and asks for dhash and phash; "domainvl" is ``inspect_picture``, which decodes a JPEG at reduced scale and
checks the file besides. The best of several rounds, on one core.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable

import imagehash
import numpy as np
from PIL import Image

from domainvl.corpus.pictures import inspect_picture

SIZES_PX = ((800, 600), (1600, 1200), (3200, 2400))
ROUNDS = 5
PIXELS_PER_ROUND = 16_000_000


def make_file(width_px: int, height_px: int, kind: str) -> bytes:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (height_px // 40, width_px // 40, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width_px, height_px), Image.Resampling.BICUBIC), dtype=np.float64)
    noisy = (smooth + rng.normal(0.0, 6.0, smooth.shape)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, kind, **({"quality": 85} if kind == "JPEG" else {}))
    return file.getvalue()


def with_imagehash(content: bytes) -> None:
    image = Image.open(io.BytesIO(content))
    imagehash.dhash(image)
    imagehash.phash(image)


def per_second(work: Callable[[], object], times: int) -> float:
    best_s = float("inf")
    for _ in range(ROUNDS):
        start_s = time.process_time()
        for _ in range(times):
            work()
        best_s = min(best_s, time.process_time() - start_s)
    return times / best_s


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print(f"{'images per CPU-second':24}{'imagehash':>12}{'domainvl':>12}{'ratio':>8}{'asked':>8}")
    for kind, asked in (("JPEG", 4.0), ("PNG", 0.8)):
        for width_px, height_px in SIZES_PX:
            content = make_file(width_px, height_px, kind)
            times = max(2, PIXELS_PER_ROUND // (width_px * height_px))
            theirs = per_second(lambda: with_imagehash(content), times)  # noqa: B023
            ours = per_second(lambda: inspect_picture(content, "generated"), times)  # noqa: B023
            name = f"{kind} {width_px} x {height_px} px"
            print(f"{name:24}{theirs:12.1f}{ours:12.1f}{ours / theirs:8.2f}{asked:8.1f}")


if __name__ == "__main__":
    main()
