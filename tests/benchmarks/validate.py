"""How fast ``domainvl validate --no-pixels`` reads, and in how much memory.

    python tests/benchmarks/validate.py [--lines 1000000]

Writes a data set of that many lines, about 1.2 kB each with three objects, ten to an image and a hundred to a group,
into a temporary folder; its image files hold one byte. Beside it stands the obvious alternative, reading all lines into
a list of samples, on a data set of at most 100,000 lines. Each runs in a process of its own, whose largest resident set
is taken from ``getrusage``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

ALTERNATIVE_LINES = 100_000
SAMPLES_AN_IMAGE = 10
SAMPLES_A_GROUP = 100


def write_dataset(folder: Path, line_count: int) -> None:
    """Write lines that are right in every way; nine in ten are for training, in whole groups."""
    from builders import make_image, make_sample

    from domainvl.schema import WORDING_VERSION, DatasetWriter, Object, Provenance, Split
    from domainvl.schema.record import to_record

    provenance = Provenance(converter="toy", version="0", settings_sha256="0" * 64, wording=WORDING_VERSION)
    image = make_image("images/00/00/0.png", size_px=(512, 512))
    things = [
        Object(id=str(number), label="pond", box_px=(10.0 * number, 5, 10.0 * number + 8, 30)) for number in range(3)
    ]
    template = to_record(make_sample(images=[image], objects=things, provenance=provenance))
    with DatasetWriter(folder, name="benchmark") as writer:
        for number in range(line_count):
            picture, group = number // SAMPLES_AN_IMAGE, number // SAMPLES_A_GROUP
            truth = template["domainvl"] | {
                "group": f"group {group}",
                "split": Split.TEST.value if group % 10 == 0 else Split.TRAIN.value,
                "images": [template["domainvl"]["images"][0] | {"pixel_sha256": f"{picture:064x}"}],
            }
            writer.add_record(template | {"id": f"sample {number}", "image": _image_path(picture), "domainvl": truth})
        writer.finish(command="convert toy", settings={}, sources=[], versions={}, licence="CC0-1.0")
    for picture in range((line_count - 1) // SAMPLES_AN_IMAGE + 1):
        file = folder / _image_path(picture)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")


def _image_path(picture: int) -> str:
    return f"images/{picture % 256:02x}/{picture // 256 % 256:02x}/{picture}.png"


def validate_all(folder: Path, options: dict[str, Any]) -> int:
    """Run the validator."""
    from domainvl.schema.validation import ValidationOptions, validate

    report = validate(folder, ValidationOptions(**options))
    assert not report.counts, report.findings[:3]
    return report.samples


def keep_all(folder: Path, options: dict[str, Any]) -> int:
    """Read every line into a sample and keep it: the obvious way to compare them with each other."""
    from domainvl.schema import Split
    from domainvl.schema.record import from_record

    samples = [
        from_record(json.loads(line))
        for split in Split
        for line in (folder / f"{split.value}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert len({sample.id for sample in samples}) == len(samples)
    return len(samples)


def _measure(work: Any, folder: Path, options: dict[str, Any], results: Any) -> None:
    start = time.process_time()
    count = work(folder, options)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results.put((count, time.process_time() - start, peak_kb / 1024))


def write(folder: Path, options: dict[str, Any]) -> int:
    """Write a data set, here so that this process stays small: a child begins with its parent's peak."""
    write_dataset(folder, options["line_count"])
    return options["line_count"]


def run_apart(work: Any, folder: Path, **options: Any) -> tuple[int, float, float]:
    """Run in a fresh process; return the number of samples, CPU seconds and the peak of the resident set in MB."""
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=_measure, args=(work, folder, options, results))
    process.start()
    process.join()
    count, seconds, peak_mb = results.get()
    return count, seconds, peak_mb


def run(name: str, work: Any, folder: Path, **options: Any) -> None:
    """Run in a fresh process and print one row."""
    count, seconds, peak_mb = run_apart(work, folder, **options)
    print(f"{name:<36}{count:>10}{count / seconds:>22.0f}{peak_mb:>14.0f}", flush=True)


def main() -> None:
    """Write the data sets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    lines = parser.parse_args().lines
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large", Path(folder) / "small"
        run_apart(write, large, line_count=lines)
        run_apart(write, small, line_count=min(lines, ALTERNATIVE_LINES))
        size_mb = sum((large / f"{split}.jsonl").stat().st_size for split in ("train", "test")) / 1e6
        print(f"{lines} lines, {size_mb:.0f} MB")
        print(f"{'':<36}{'samples':>10}{'samples a CPU-second':>22}{'peak RSS MB':>14}")
        run("validate --no-pixels", validate_all, large, pixels=False)
        run("validate --no-pixels --phi", validate_all, large, pixels=False, identifiers=True)
        run("validate --no-pixels, fewer lines", validate_all, small, pixels=False)
        run("a list of all samples, fewer lines", keep_all, small)


if __name__ == "__main__":
    main()
