"""Shows what converting DICOM costs: images a second of processor time, beside pydicom and Pillow, and peak memory.

The slices are made here from the real CT in pydicom's wheel: enlarged to 512 x 512, with the noise of the slice laid
over it anew, under its full header. Steady state is what a worker does once it runs: read, hash, parse, decode, window,
encode, hash and write, on CPU time of one process.

    OMP_NUM_THREADS=1 python tests/benchmarks/dicom.py [--images 2000] [--slices 1000]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import openjpeg
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_modality_lut, apply_windowing
from pydicom.uid import JPEG2000Lossless

from domainvl.conversion import RunSettings, convert
from domainvl.converters.dicom import CONVERTER, DicomSettings
from domainvl.converters.dicom.decode import decode_frame
from domainvl.converters.dicom.headers import frame_header
from domainvl.converters.dicom.inputs.files import find_files
from domainvl.converters.dicom.inputs.header_pass import read_headers
from domainvl.converters.dicom.privacy.pseudonyms import Pseudonyms
from domainvl.converters.dicom.rendering import Look, Renderer
from domainvl.schema.images import ImageStore
from domainvl.schema.png import Compressor, best_compressor

SIDE_PX, WINDOW = 512, "soft"
CENTER_HU, WIDTH_HU = 40, 400
RATED = 200
"""Slices that rates of single steps are measured on."""
KEY = b"0123456789abcdef0123456789abcdef"


def write_series(folder: Path, count: int) -> list[Path]:
    """Write a series of different slices, 1 mm apart."""
    path = get_testdata_file("CT_small.dcm", download=False)
    dataset = dcmread(str(path))
    real = dataset.pixel_array.astype(np.float32)
    smooth = np.asarray(Image.fromarray(real).resize((32, 32), Image.Resampling.BOX).resize(real.shape, 3))
    large = np.asarray(Image.fromarray(real).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))
    noise = (real - smooth) / 4
    dataset.Rows = dataset.Columns = SIDE_PX
    left, top, _ = dataset.ImagePositionPatient
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        shift = tuple(rng.integers(0, len(noise), 2))
        layer = np.tile(np.roll(noise, shift, (0, 1)), (SIDE_PX // len(noise),) * 2)
        dataset.PixelData = (large + layer).astype("<i2").tobytes()
        dataset.ImagePositionPatient = [left, top, index]
        dataset.InstanceNumber = index + 1
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.{index + 1}"
        paths.append(folder / f"{index:04d}.dcm")
        dataset.save_as(paths[-1])
    return paths


def compress(paths: Sequence[Path], folder: Path) -> list[Path]:
    folder.mkdir()
    for path in paths:
        dataset = dcmread(path)
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        dataset.save_as(folder / path.name)
    return [folder / path.name for path in paths]


def per_cpu_s(paths: Sequence[Path], one: Callable[[Path], object]) -> float:
    """Return files a second of processor time, after three that warm up."""
    for path in paths[:3]:
        one(path)
    begin = time.process_time()
    for path in paths:
        one(path)
    return len(paths) / (time.process_time() - begin)


def pipeline(folder: Path, compressor: Compressor, windows: str = WINDOW) -> Callable[[Path], object]:
    renderer, store = Renderer(Look.parse(windows)), ImageStore(folder, compressor)

    def one(path: Path) -> None:
        content = path.read_bytes()
        hashlib.sha256(content).hexdigest()
        dataset = dcmread(io.BytesIO(content))
        for view in renderer.frame(frame_header(dataset, 0), decode_frame(dataset, 0)).views:
            store.put_pixels(view.pixels)

    return one


def plainly(folder: Path) -> Callable[[Path], object]:
    """Return what a script does with pydicom and Pillow."""
    folder.mkdir()
    window = Dataset()
    window.PhotometricInterpretation, window.BitsStored, window.PixelRepresentation = "MONOCHROME2", 8, 0
    window.WindowCenter, window.WindowWidth = CENTER_HU, WIDTH_HU

    def one(path: Path) -> None:
        dataset = dcmread(path)
        grey = apply_windowing(apply_modality_lut(dataset.pixel_array, dataset), window)
        Image.fromarray(np.rint(grey).astype(np.uint8)).save(folder / f"{path.stem}.png")

    return one


def show_pixels(paths: Sequence[Path], folder: Path) -> None:
    plain = per_cpu_s(paths, plainly(folder / "plain"))
    for compressor in dict.fromkeys((Compressor.ZLIB, best_compressor())):
        for windows in (WINDOW, "auto", "lung,soft,bone"):
            rate = per_cpu_s(paths, pipeline(folder / f"{compressor}-{windows}", compressor, windows))
            print(
                f"native CT to PNG, {windows:<15} {compressor:<7} {rate:>6.0f} images/CPU-s"
                + (
                    f", {rate / plain:.1f} times pydicom + Pillow done plainly ({plain:.0f})"
                    if windows == WINDOW
                    else ""
                )
            )


def show_jpeg_2000(paths: Sequence[Path], folder: Path) -> None:
    frames = {path: get_frame(dcmread(path).PixelData, 0, number_of_frames=1) for path in paths}
    bare = per_cpu_s(paths, lambda path: openjpeg.decode_pixel_data(frames[path], version=2))
    datasets = {path: dcmread(path) for path in paths}
    decoded = per_cpu_s(paths, lambda path: decode_frame(datasets[path], 0))
    whole = per_cpu_s(paths, pipeline(folder / "j2k", best_compressor()))
    print(
        f"JPEG 2000 lossless: bare decoder {bare:.1f}, decode_frame {decoded:.1f} ({decoded / bare:.0%}), to PNG "
        f"{whole:.1f} ({whole / bare:.0%}) images/CPU-s"
    )


def show_headers(folder: Path, paths: Sequence[Path]) -> None:
    pseudonyms = Pseudonyms(KEY)
    bare, ours = [], []
    for _ in range(3):
        bare.append(per_cpu_s(paths, lambda path: dcmread(path, stop_before_pixels=True)))
        begin = time.process_time()
        refs = find_files(folder, [], unpack_limit_bytes=10**12, pseudonyms=pseudonyms).refs
        found = read_headers(refs, collect_identifiers=False, pseudonyms=pseudonyms)
        ours.append(len(found.instances) / (time.process_time() - begin))
    print(
        f"headers: bare dcmread {max(bare):.0f}, header pass {max(ours):.0f} files/CPU-s ({max(ours) / max(bare):.0%})"
    )


def cpu_s() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def show_workers(folders: Path, key: Path, out: Path, count: int) -> None:
    settings = DicomSettings(deid_key=key, windows=WINDOW)
    spent = {}
    for workers in (1, 2):
        begin_s, begin_cpu_s = time.perf_counter(), cpu_s()
        convert(CONVERTER, folders, out / str(workers), settings, run=RunSettings(workers=workers))
        spent[workers] = (time.perf_counter() - begin_s, cpu_s() - begin_cpu_s)
    one, two = spent[1], spent[2]
    print(
        f"whole converter: {count / one[1]:.0f} images/CPU-s; workers 1: {one[0]:.1f} s, {one[1]:.1f} CPU-s; "
        f"2: {two[0]:.1f} s, {two[1]:.1f} CPU-s; CPU ratio {two[1] / one[1]:.3f}, wall ratio {two[0] / one[0]:.2f}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    begin_cpu_s = cpu_s()
    subprocess.run([sys.executable, "-c", "import domainvl.converters.dicom.convert"], check=True)
    print(f"  of which each process takes {cpu_s() - begin_cpu_s:.2f} CPU-s to start")


ONE_SERIES = """
import re, sys, time
from pathlib import Path
from domainvl.conversion import convert
from domainvl.converters.dicom import CONVERTER, DicomSettings
source, key, out = (Path(name) for name in sys.argv[1:])
convert(CONVERTER, source, out, DicomSettings(deid_key=key))
print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1], time.process_time())
"""


def show_memory(folder: Path, key: Path, out: Path, count: int) -> None:
    command = [sys.executable, "-c", ONE_SERIES, str(folder), str(key), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"converting a series of {count} slices failed:\n{done.stderr}")
    peak_kb, spent_s = done.stdout.split()[-2:]
    print(f"a series of {count} slices: peak {int(peak_kb) / 1e3:.0f} MB, {float(spent_s):.1f} CPU-s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="slices of the two series of two patients")
    parser.add_argument("--slices", type=int, default=1000, help="length of the series for memory; 0 leaves it out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = folder / "deid.key"
        key.write_bytes(KEY)
        # Several series, so that two workers have something each.
        half = options.images // 2
        (folder / "native").mkdir()
        paths = [path for index in range(2) for path in write_patient(folder / "native", index, half)]
        print(f"{len(paths)} CT slices of {SIDE_PX} x {SIDE_PX}, 16 bits, {len(dcmread(paths[0]))} attributes a header")
        show_pixels(paths[:RATED], folder)
        show_jpeg_2000(compress(paths[:20], folder / "compressed"), folder)
        show_headers(folder / "native", paths)
        show_workers(folder / "native", key, folder / "out", len(paths))
        if options.slices:
            write_series(folder / "long", options.slices)
            show_memory(folder / "long", key, folder / "long-out", options.slices)


def write_patient(folder: Path, index: int, count: int) -> list[Path]:
    """Write a series of a patient of its own."""
    paths = write_series(folder / str(index), count)
    for path in paths:
        dataset = dcmread(path)
        dataset.PatientID = f"patient-{index}"
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(dataset, keyword, f"{getattr(dataset, keyword)}.{index + 1}")
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(path)
    return paths


if __name__ == "__main__":
    main()
