"""What the engine costs: a unit that does nothing, a second worker, a million samples.

Run as ``python tests/benchmarks/engine.py [--units 5000] [--scenes 120] [--lines 1000000]``. Each part runs in
processes of its own, whose CPU seconds and peak memory the system counts.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from domainvl.conversion import ConverterSettings, Plan, RunSettings, UnitResult, convert
from domainvl.engine import Limits, default_limits, run_units
from domainvl.engine.pool import ProcessPool
from domainvl.schema import (
    DatasetWriter,
    Image,
    Provenance,
    Question,
    Sample,
    Source,
    Task,
    TextAnswer,
    samples_from_questions,
)


def nothing(unit: int) -> int:
    """Do a unit."""
    return unit


def pool(count: int, workers: int, limits: Limits) -> None:
    """Do units that do nothing in our pool."""
    with contextlib.closing(ProcessPool(nothing, workers=workers, limits=limits)) as executor:
        assert len(list(run_units(range(count), executor))) == count


def futures(count: int, workers: int) -> None:
    """Do them in the pool of the standard library, which survives neither crash nor hang."""
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as executor:
        assert len(list(executor.map(nothing, range(count)))) == count


class OneSample:
    """Gives one sample a unit, without an image: what is left is the frame's own work."""

    name, summary, settings_type, licence = "one", "", ConverterSettings, None

    def __init__(self, count: int) -> None:
        self.count = count

    def plan(self, source: Path, settings: ConverterSettings) -> Plan[int]:
        return Plan(range(self.count), {})

    def convert(self, unit: int, settings: ConverterSettings, images: object, provenance: Provenance) -> UnitResult:
        return UnitResult([make_sample(unit, provenance)])

    def unit_name(self, unit: int) -> str:
        return str(unit)

    def unit_files(self, unit: int) -> list[Path]:
        return []


def make_sample(number: int, provenance: Provenance, images: tuple[Image, ...] = ()) -> Sample:
    """Make a sample of the usual size."""
    question = Question("q", Task.VQA, "Which colour has the roof of the building?", TextAnswer(text="grey"))
    (sample,) = samples_from_questions(
        [question],
        id_prefix=f"unit-{number:07d}",
        domain="general",
        images=images,
        group=f"g{number}",
        provenance=provenance,
    )
    return sample


def conversion(count: int, workers: int, folder: Path) -> None:
    """Convert units of one sample: plan, pool, parts on disk, data set."""
    source = folder / "input"
    source.mkdir(exist_ok=True)
    convert(OneSample(count), source, folder / f"out{workers}-{count}", run=RunSettings(workers=workers))


def write_lines(count: int, folder: Path) -> None:
    """Write a data set of many samples, each with an image of its own name."""
    provenance = Provenance(converter="x", version="0", settings_sha256="0" * 64, wording="1")
    with DatasetWriter(folder / "lines", name="lines") as writer:
        for number in range(count):
            path = f"images/00/00/{number:064x}.png"
            image = Image(
                path=path, width_px=512, height_px=512, pixel_sha256=f"{number:064x}", source=Source(uri="a.tif")
            )
            writer.add(make_sample(number, provenance, (image,)))
        writer.finish(command="benchmark", settings={}, sources=[], versions={})


def measured(work: Callable[..., None], *arguments: object) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds of it and all its children, and peak MB of the largest process."""
    pipe, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_measure, args=(theirs, work, arguments))
    process.start()
    theirs.close()  # so that one that fails is not waited for
    result: tuple[float, float, float] = pipe.recv()
    process.join()
    return result


def _measure(pipe, work, arguments) -> None:
    def cpu_s() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    before_s, before_cpu_s = time.monotonic(), cpu_s()
    work(*arguments)
    wall_s, spent_s = time.monotonic() - before_s, cpu_s() - before_cpu_s
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    pipe.send((wall_s, spent_s, peak / 1e3))


def two_workers(scene_count: int, folder: Path, table: Table) -> None:
    """Convert the same scenes with one worker and with two, by the command itself."""
    from domainvl.converters.geotiff.generate import generate_scenes

    generate_scenes(folder / "scenes", scene_count=scene_count, seed=0)
    labels = str(folder / "scenes" / "labels.geojson")
    found = []
    for workers in (1, 2):
        command = [sys.executable, "-m", "domainvl", "convert", "geotiff", str(folder / "scenes"), "--labels", labels]
        command += ["--label-field", "class", "--tile-px", "64", "--overlap-px", "32", "--workers", str(workers)]
        command += ["--out", str(folder / f"data{workers}")]
        found.append(measured(_call, command))
        table.add_row(f"convert {scene_count} scenes, {workers} workers", *(f"{value:.2f}" for value in found[-1]), "")
    (wall_1, cpu_1, _), (wall_2, cpu_2, _) = found
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    table.add_row("ratio, 2 to 1 workers", f"{wall_2 / wall_1:.2f}", f"{cpu_2 / cpu_1:.2f}", "", f"load {load}")


def _call(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=5000)
    parser.add_argument("--scenes", type=int, default=120)
    parser.add_argument("--lines", type=int, default=1_000_000)
    options = parser.parse_args()
    table = Table("what", "wall s", "CPU s", "peak MB", "a unit", title="Engine")
    count = options.units
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows: list[tuple[str, Callable[..., None], tuple[object, ...]]] = []
        for workers in (1, 2):
            limits = default_limits(workers, timeout_s=600.0, memory_bytes=None)
            rows.append((f"pool, {workers} workers", pool, (count, workers, limits)))
            rows.append((f"concurrent.futures, {workers} workers", futures, (count, workers)))
            rows.append((f"conversion, {workers} workers", conversion, (count, workers, folder)))
        for label, work, arguments in rows:
            few, many = (measured(work, max(n, 1), *arguments[1:]) for n in (1, count))
            each_ms = (many[1] - few[1]) / count * 1e3
            table.add_row(f"{count} units, {label}", *(f"{value:.2f}" for value in many), f"{each_ms:.3f} ms CPU")
        two_workers(options.scenes, folder, table)
        written = measured(write_lines, options.lines, folder)
        table.add_row(f"write {options.lines} samples", *(f"{value:.2f}" for value in written), "")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
