"""Shows what a second worker costs: processor time of whole commands with one and two workers, start-up included.

``python tests/benchmarks/corpus/workers.py [--pages 600]`` builds, deduplicates and filters generated pages, each step
once with one worker and once with two, and compares the bytes too.
"""

from __future__ import annotations

import argparse
import filecmp
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from extraction import article
from toy_corpora import png


def cpu_seconds(*arguments: str) -> float:
    """Run a domainvl command and return the processor time of all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "domainvl", *arguments], capture_output=True, text=True)
    if done.returncode not in (0, 8):
        sys.exit(f"{' '.join(arguments)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_pages(folder: Path, count: int) -> None:
    """Pages whose pictures are there, so that images are checked and hashed too."""
    (folder / "img").mkdir(parents=True)
    pictures = [png(320, 240, seed=seed) for seed in range(20)]
    for seed in range(count):
        text = article(seed).replace('src="/img/', 'src="img/')
        (folder / f"{seed:05d}.html").write_text(text, encoding="utf-8")
        for index in range(0, 9, 2):
            (folder / "img" / f"{seed}-{index}.jpg").write_bytes(pictures[(seed + index) % 20])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=600)
    pages = parser.parse_args().pages
    work = Path(tempfile.mkdtemp(prefix="workers-"))
    try:
        write_pages(work / "site", pages)
        print(f"{pages} pages; CPU-seconds of the whole command\n{'step':<10} {'1 worker':>9} {'2 workers':>10} ratio")
        steps = {
            "build": lambda n: ["build", f"{work}/site", "--out", f"{work}/{n}/built"],
            "dedup": lambda n: ["dedup", f"{work}/1/built", "--out", f"{work}/{n}/dedup"],
            "filter": lambda n: ["filter", f"{work}/1/built", "--profile", "general", "--out", f"{work}/{n}/filtered"],
        }
        for name, command in steps.items():
            taken = {n: cpu_seconds("corpus", *command(n), "--workers", str(n)) for n in (1, 2)}
            print(f"{name:<10} {taken[1]:>9.1f} {taken[2]:>10.1f} {taken[2] / taken[1]:>5.2f}")
        for one in sorted((work / "1").rglob("*.parquet")):
            other = work / "2" / one.relative_to(work / "1")
            if not filecmp.cmp(one, other, shallow=False):
                sys.exit(f"{one.relative_to(work / '1')} differs")
        print("the same Parquet bytes with one worker and two")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
