"""How many documents a CPU-second get a signature, beside bare rensa and datatrove, and what a million of them need.

    python tests/benchmarks/corpus/dedup.py [--documents 1000] [--million 1000000] [--datatrove SITE_PACKAGES]

Texts are generated: 700 words drawn by Zipf's law. "domainvl" is from the text to the keys of 16 bands; "rensa" makes
its shingles with split and join and asks rensa for signatures of 128 permutations; "rensa, signature alone" is given
the shingles ready made; "datatrove" is its get_shingles and get_signature. datatrove is needed for this alone; where it
is not installed, name the site-packages of an environment that has it.

The second part generates what the first phase leaves of that many documents, a tenth of which are planted
near-duplicates, runs all further phases but the last in this process, and prints their time and peak memory.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import rensa

from domainvl.corpus.deduplicating.searching import Search
from domainvl.corpus.deduplicating.settings import DedupSettings
from domainvl.corpus.deduplicating.shingles import Shingler, normalise, words_of
from domainvl.corpus.deduplicating.signatures import band_keys, signatures
from domainvl.corpus.deduplicating.signing import SIGNS, band_name
from domainvl.corpus.folder import DocumentGroup
from domainvl.corpus.stage import StageRun, UnitDone, open_stage
from domainvl.corpus.tables import write_table

WORDS_PER_TEXT = 700
UNIT = 500
SHINGLES = 100
ROUNDS = 3
SETTINGS = DedupSettings()


def make_texts(count: int) -> list[str]:
    draw = random.Random(0)
    words = ["".join(draw.choices("etaoinshrdlucm", k=draw.randint(2, 10))) for _ in range(20_000)]
    weights = [1 / (rank + 8) for rank in range(len(words))]
    return [" ".join(draw.choices(words, weights, k=WORDS_PER_TEXT)) + "." for _ in range(count)]


def ours(texts: Sequence[str]) -> None:
    shingler = Shingler(SETTINGS.shingle_words)
    sets = [shingler.shingles(words_of(normalise(text))) for text in texts]
    band_keys(signatures(sets, SETTINGS.permutations), SETTINGS)


def string_shingles(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[at : at + SETTINGS.shingle_words]) for at in range(len(words) - SETTINGS.shingle_words + 1)]


def bare_rensa(texts: Sequence[str]) -> None:
    rensa_alone([string_shingles(text) for text in texts])


def rensa_alone(sets: Sequence[Sequence[str]]) -> None:
    for shingles in sets:
        signature = rensa.RMinHash(SETTINGS.permutations, 1)
        signature.update(shingles)
        signature.digest()


def datatrove_work(site_packages: Path | None) -> Callable[[Sequence[str]], None] | None:
    if site_packages is not None:
        sys.path.insert(0, str(site_packages))  # before other versions of what it needs
    try:
        from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    except ImportError as error:
        print(f"datatrove is missing ({error})")
        return None
    config = MinhashConfig(num_buckets=SETTINGS.bands, hashes_per_bucket=SETTINGS.rows)
    with tempfile.TemporaryDirectory() as folder:
        step = MinhashDedupSignature(folder, config)

    def work(texts: Sequence[str]) -> None:
        for text in texts:
            step.get_signature(step.get_shingles(text))

    return work


def per_second(work: Callable, given: Sequence) -> float:
    best_s = float("inf")
    for _ in range(ROUNDS):
        start_s = time.process_time()
        for begin in range(0, len(given), UNIT):
            work(given[begin : begin + UNIT])
        best_s = min(best_s, time.process_time() - start_s)
    return len(given) / best_s


def compare_speed(count: int, site_packages: Path | None) -> None:
    texts = make_texts(count)
    speeds = {"domainvl": per_second(ours, texts), "rensa": per_second(bare_rensa, texts)}
    speeds["rensa, signature alone"] = per_second(rensa_alone, [string_shingles(text) for text in texts])
    shingler = Shingler(SETTINGS.shingle_words)
    sets = [shingler.shingles(words_of(normalise(text))) for text in texts]
    speeds["domainvl, signature alone"] = per_second(lambda given: signatures(given, SETTINGS.permutations), sets)
    work = datatrove_work(site_packages)
    if work is not None:
        speeds["datatrove"] = per_second(work, texts[:UNIT])
    print(f"{'signatures per CPU-second':28}{'':>10}{'domainvl is':>14}")
    for name, speed in speeds.items():
        print(f"{name:28}{speed:10.0f}{speeds['domainvl'] / speed:13.2f}x")


def make_table(first: int, count: int, rng: np.random.Generator) -> pa.Table:
    """What signing leaves of documents: every tenth has nine tenths of the shingles of the one before it."""
    shingles = rng.integers(0, 2**32, (count, SHINGLES), np.uint32)
    keys = rng.integers(0, 2**63, (count, SETTINGS.bands), np.uint64)
    copies = np.arange(9, count, 10)
    shingles[copies, SHINGLES // 10 :] = shingles[copies - 1, SHINGLES // 10 :]
    keys[copies, : SETTINGS.bands // 2] = keys[copies - 1, : SETTINGS.bands // 2]
    columns = {
        "id": [f"https://example.org/documents/{first + row:09d}" for row in range(count)],
        "modified_us": rng.integers(0, 2**50, count),
        "exact": pa.array([rng.bytes(16) for _ in range(count)], pa.binary(16)),
        "shingle_count": np.full(count, SHINGLES),
        "shingles": lists(np.sort(shingles, axis=1)),
        "paragraphs": lists(np.sort(rng.integers(0, 2**40, (count, 10), np.uint64), axis=1)),
        "d_hash": lists(np.sort(rng.integers(0, 2**40, (count, 2), np.uint64), axis=1)),
        "p_hash": lists(np.sort(rng.integers(0, 2**40, (count, 2), np.uint64), axis=1)),
    }
    return pa.table(columns | {band_name(band): keys[:, band] for band in range(SETTINGS.bands)})


def lists(values: np.ndarray) -> pa.Array:
    begins = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(begins), pa.array(values.ravel()))


def measure_memory(count: int) -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        groups, signed = [], []
        for first in range(0, count, UNIT):
            path = folder / f"{first}.parquet"
            write_table(make_table(first, UNIT, rng), path)
            groups.append(DocumentGroup("generated", first, ""))
            keys = {"paragraphs": 10 * UNIT, "d_hash": 2 * UNIT, "p_hash": 2 * UNIT}
            signed.append(UnitDone({SIGNS: path}, (), {}, {"rows": UNIT, "keys": keys}))
        before_bytes = peak_bytes()
        start_s = time.process_time()
        with open_stage(folder / "out", "corpus dedup", SETTINGS.to_json(), StageRun()) as stage:
            search = Search(stage, SETTINGS, groups, signed, folder)
            gone = search.find_duplicates()
            search.count(list(gone))
        print(f"{count} signatures: {len(gone)} of {count // 10} planted duplicates, {search.counts}")
        print(f"  {time.process_time() - start_s:.0f} CPU-s, peak memory {peak_bytes() / 1e9:.2f} GB", end=" ")
        print(f"({before_bytes / 1e9:.2f} GB before the phases)")


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=1000, help="texts to sign")
    parser.add_argument("--million", type=int, default=1_000_000, help="signatures to search, a multiple of 500")
    parser.add_argument("--datatrove", type=Path, help="site-packages of an environment with datatrove")
    given = parser.parse_args()
    measure_memory(given.million)
    compare_speed(given.documents, given.datatrove)


if __name__ == "__main__":
    main()
