"""What is there is found, what is not is named with its way out, and no check stops another."""

from __future__ import annotations

import builtins
import collections
import os
import platform
import shutil
import sys
import tempfile
import tomllib
import warnings
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from domainvl import __version__, doctor
from domainvl.doctor import Check, Status, examine
from domainvl.engine import limits
from domainvl.schema import png

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = [
    "numpy>=1.26",
    "pillow>=11",
    "rasterio<1.6,>=1.4",
    'tomli>=2; python_version < "3.0"',
    'zlib-ng>=1.1; extra == "fast"',
    'ray>=2.40; extra == "ray"',
    'pandas; extra == "ray"',
    'nuscenes-devkit>=1.2; python_version < "3.0" and extra == "devkit"',
    'pytest>=8; extra == "test"',
]
GIB = 2**30


def versions(**known):
    return known.get


def named(checks, name):
    (found,) = [check for check in checks if check.name == name]
    return found


@pytest.fixture
def without(monkeypatch):
    """Make imports of a package fail as if it were not installed."""

    def hide(name):
        for module in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, name, None)

    return hide


# ---- packages


def test_packages_that_are_there():
    checks = doctor.check_packages(REQUIREMENTS, versions(numpy="1.26.0", pillow="12.0", rasterio="1.5.9"))

    assert [(check.name, check.status, check.found, check.advice) for check in checks] == [
        ("numpy", Status.OK, "1.26.0", None),
        ("pillow", Status.OK, "12.0", None),
        ("rasterio", Status.OK, "1.5.9", None),
    ]
    assert all(check.required and not check.fails for check in checks)


def test_a_package_that_is_missing():
    check = named(doctor.check_packages(REQUIREMENTS, versions(numpy="2.0", pillow="12.0")), "rasterio")

    assert (check.status, check.found, check.fails) == (Status.MISSING, "not installed", True)
    assert check.advice == "Install it with: pip install 'rasterio<1.6,>=1.4'"


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("1.3.9", Status.PROBLEM),
        ("1.4", Status.OK),
        ("1.4.0rc1", Status.PROBLEM),  # PEP 440: before 1.4
        ("1.10", Status.PROBLEM),  # numbers, not letters, are compared
        ("1.6.0", Status.PROBLEM),
        ("1.5.0+local", Status.OK),
        ("1.5.0rc1", Status.OK),  # a candidate between the bounds is as good as a release
    ],
)
def test_a_version_that_breaks_the_rule(version, status):
    check = named(doctor.check_packages(REQUIREMENTS, versions(rasterio=version)), "rasterio")

    assert (check.status, check.fails) == (status, status is Status.PROBLEM)
    assert version in check.found
    assert ("needed is <1.6,>=1.4" in check.found) == ("pip install" in (check.advice or "")) == check.fails


def test_without_packaging_versions_are_named_and_not_compared(without):
    without("packaging")

    found, missing = (
        named(doctor.check_packages(REQUIREMENTS, versions(rasterio="0.1")), name) for name in ("rasterio", "numpy")
    )

    assert (found.status, missing.status) == (Status.OK, Status.MISSING)
    assert "0.1; not compared with <1.6,>=1.4" in found.found


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("torch>=2.8", ("torch", ">=2.8", None)),
        ("a-b.c_d", ("a-b.c_d", "", None)),
        ("typer[all] >=0.15, <1", ("typer", ">=0.15, <1", None)),
        ("old (>=1)", ("old", ">=1", None)),
        ("zlib-ng>=1.1; extra == 'fast'", ("zlib-ng", ">=1.1", "fast")),
        ('x<2; python_version < "3.13" and extra == "devkit"', ("x", "<2", "devkit")),
        ('y; sys_platform == "win32"', ("y", "", None)),
    ],
)
def test_requirements_are_read_as_packaging_reads_them(text, parts):
    need = doctor._Need.parse(text)

    assert (need.name, need.rule, need.extra) == parts
    assert Requirement(text).name == need.name
    assert Requirement(text).specifier == SpecifierSet(need.rule)


# ---- extras


def test_every_extra_for_users_has_a_use():
    extras = set(PROJECT["optional-dependencies"]) | set(metadata.metadata("domainvl").get_all("Provides-Extra"))

    assert extras - {"test"} <= set(doctor.EXTRA_USES)
    assert all(doctor.EXTRA_USES.values())


def test_extras_that_are_there_missing_and_not_for_this_python():
    devkit, fast, ray = doctor.check_extras(REQUIREMENTS, versions(**{"zlib-ng": "1.2.0"}, pandas="2.0"))

    assert (fast.name, fast.status, fast.found) == ("fast", Status.OK, "zlib-ng 1.2.0")
    assert fast.advice == f"Enables {doctor.EXTRA_USES['fast']}"
    assert (ray.name, ray.status, ray.found) == ("ray", Status.MISSING, "ray not installed; pandas 2.0")
    assert ray.advice.endswith("Install it with: pip install 'domainvl[ray]'")
    assert (devkit.name, devkit.status) == ("devkit", Status.MISSING)
    assert 'python_version < "3.0"' in devkit.found
    assert "pip install" not in devkit.advice
    assert not any(check.fails for check in (devkit, fast, ray))


def test_an_extra_of_a_version_too_old_is_no_failure():
    ray = named(doctor.check_extras(REQUIREMENTS, versions(ray="2.4.0")), "ray")

    assert (ray.status, ray.fails) == (Status.PROBLEM, False)  # 2.4 comes before 2.40
    assert "ray 2.4.0, needed is >=2.40" in ray.found


def test_an_extra_nobody_described_is_still_listed():
    (check,) = doctor.check_extras(['x; extra == "surprise"'], versions())

    assert (check.name, check.found) == ("surprise", "x not installed")
    assert "domainvl[surprise]" in check.advice


# ---- this package and Python


def test_this_package_and_this_python():
    (python,), (package,) = doctor.check_python(), doctor.check_domainvl()

    assert (python.status, python.found) == (Status.OK, platform.python_version())
    assert (package.status, package.found) == (Status.OK, __version__)


def test_a_python_that_is_too_old(monkeypatch):
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.12")

    (check,) = doctor.check_python()

    assert check.fails
    assert check.found.startswith("3.10.12, needed is ")
    assert "3.11" in check.advice


def test_code_and_metadata_of_two_versions(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.9")

    (check,) = doctor.check_domainvl()

    assert check.fails
    assert (__version__ in check.found, "0.0.9" in check.found) == (True, True)


# ---- decoders


def test_a_raster_driver_that_is_missing(monkeypatch):
    import rasterio

    drivers = {"GTiff": "GeoTIFF", "COG": "Cloud optimized GeoTIFF generator", "VRT": "Virtual Raster"}
    monkeypatch.setattr(rasterio.Env, "drivers", lambda self: drivers)
    without_jpeg2000 = doctor.check_raster_drivers()
    del drivers["GTiff"]
    without_both = doctor.check_raster_drivers()

    assert named(without_jpeg2000, "driver JP2OpenJPEG").status is Status.MISSING
    assert "Sentinel-2" in named(without_jpeg2000, "driver JP2OpenJPEG").advice
    assert [check.name for check in without_jpeg2000 if check.fails] == []
    assert [check.name for check in without_both if check.fails] == ["driver GTiff"]
    assert named(without_both, "GDAL of rasterio").found == rasterio.__gdal_version__


def test_a_vector_driver_that_only_writes_is_missing(monkeypatch):
    import pyogrio

    known = {"GeoJSON": "rw", "GPKG": "w", "ESRI Shapefile": "r"}
    monkeypatch.setattr(
        pyogrio, "list_drivers", lambda read=False: {k: v for k, v in known.items() if not read or "r" in v}
    )

    assert [check.name for check in doctor.check_vector_drivers() if check.fails] == ["driver GPKG"]


@pytest.mark.parametrize(
    ("feature", "name", "fails"), [("jpg", "JPEG", True), ("zlib", "PNG", True), ("webp", "WebP", False)]
)
def test_an_image_format_that_pillow_lacks(monkeypatch, feature, name, fails):
    from PIL import features

    monkeypatch.setattr(features, "check", lambda asked: asked != feature)
    checks = doctor.check_image_formats()

    assert [check.name for check in checks if check.status is not Status.OK] == [name]
    assert named(checks, name).fails is fails


def test_transfer_syntaxes_are_those_of_pydicom():
    from pydicom.pixels.decoders.base import _PIXEL_DATA_DECODERS

    checks = doctor.check_transfer_syntaxes()

    known = {uid.keyword: decoders[0] for uid, decoders in _PIXEL_DATA_DECODERS.items()}
    assert {check.name: check.status is Status.OK for check in checks} == {
        keyword: decoder.is_available for keyword, decoder in known.items()
    }
    assert len(checks) == len(known)


@pytest.mark.parametrize(
    ("decoder", "keyword", "fails", "advice"),
    [
        ("JPEGLSLosslessDecoder", "JPEGLSLossless", True, "Install domainvl again"),
        ("JPEGLosslessSV1Decoder", "JPEGLosslessSV1", False, "pip install 'domainvl[gdcm]'"),
    ],
)
def test_a_transfer_syntax_without_a_plugin(monkeypatch, decoder, keyword, fails, advice):
    from pydicom.pixels import decoders

    monkeypatch.setattr(getattr(decoders, decoder), "_available", {})
    check = named(doctor.check_transfer_syntaxes(), keyword)

    assert (check.status, check.fails) == (Status.MISSING, fails)
    assert advice in check.advice


def test_a_transfer_syntax_names_its_plugins(monkeypatch):
    from pydicom.pixels import decoders

    monkeypatch.setattr(decoders.JPEGLosslessSV1Decoder, "_available", {"gdcm": None, "pylibjpeg": None})
    monkeypatch.setattr(decoders.JPEGExtended12BitDecoder, "_available", {"pillow": None})
    checks = doctor.check_transfer_syntaxes()

    assert named(checks, "JPEGLosslessSV1").found == "by gdcm, pylibjpeg"
    assert "not of 12" in named(checks, "JPEGExtended12Bit").found
    monkeypatch.setattr(decoders.JPEGExtended12BitDecoder, "_available", {"pillow": None, "pylibjpeg": None})
    assert named(doctor.check_transfer_syntaxes(), "JPEGExtended12Bit").found == "by pillow, pylibjpeg"


@pytest.mark.parametrize("compressor", png.Compressor)
def test_the_png_encoder_in_use(monkeypatch, compressor):
    monkeypatch.setattr(png, "best_compressor", lambda: compressor)

    (check,) = doctor.check_png_encoder()

    assert (check.status, check.found) == (Status.OK, compressor.value)
    assert ("domainvl[fast]" in (check.advice or "")) == (compressor is png.Compressor.ZLIB)


# ---- devices


def fake_torch(*, cuda=None, hip=None, gpus=(), mps=False, warning=None):
    def is_available():
        if warning:
            warnings.warn(warning, stacklevel=1)
        return bool(gpus)

    return SimpleNamespace(
        version=SimpleNamespace(cuda=cuda, hip=hip),
        cuda=SimpleNamespace(
            is_available=is_available,
            device_count=lambda: len(gpus),
            get_device_name=lambda index: gpus[index][0],
            mem_get_info=lambda index: gpus[index][1:],
        ),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
    )


def test_torch_as_it_is():
    import torch

    (check,) = doctor.check_torch()

    assert (check.name, check.status) == ("CPU", Status.OK)
    assert check.found == f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    assert (doctor.check_gpus()[0].status is Status.OK) == (
        torch.cuda.is_available() or torch.backends.mps.is_available()
    )


def test_gpus_and_their_memory(monkeypatch):
    gpus = [("RTX 4090", 20 * GIB, 24 * GIB), ("RTX 3060", 11 * GIB, 12 * GIB)]
    monkeypatch.setitem(sys.modules, "torch", fake_torch(cuda="12.8", gpus=gpus))

    assert [(check.name, check.status, check.found) for check in doctor.check_gpus()] == [
        ("cuda:0", Status.OK, "RTX 4090, 24.0 GiB, 20.0 GiB of it free"),
        ("cuda:1", Status.OK, "RTX 3060, 12.0 GiB, 11.0 GiB of it free"),
    ]


@pytest.mark.parametrize(
    ("torch", "found", "advice"),
    [
        (fake_torch(), "none; torch is a build for the CPU", "CUDA build of torch"),
        (fake_torch(cuda="12.8"), "none that CUDA 12.8 can use", "nvidia-smi"),
        (fake_torch(hip="6.2"), "none that ROCm 6.2 can use", "driver"),
        (fake_torch(cuda="12.8", warning="The driver is too old\nat c10"), "use: The driver is too old", "driver"),
    ],
    ids=["cpu-build", "cuda-build", "rocm-build", "old-driver"],
)
def test_no_gpu_is_no_failure(monkeypatch, torch, found, advice):
    monkeypatch.setitem(sys.modules, "torch", torch)

    (check,) = doctor.check_gpus()

    assert (check.status, check.fails) == (Status.MISSING, False)
    assert check.found.endswith(found)
    assert advice in check.advice


def test_an_apple_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", fake_torch(mps=True))

    assert [(check.name, check.status) for check in doctor.check_gpus()] == [("mps", Status.OK)]


# ---- the machine


def test_the_machine_as_it_is(tmp_path):
    import psutil

    cores, memory = doctor.check_cores()[0], doctor.check_memory()[0]

    assert cores.found == f"{limits.usable_cores()} usable"
    assert float(memory.found.split()[0]) <= psutil.virtual_memory().total / GIB + 0.06
    assert list(tmp_path.iterdir()) == []


def memory_of(monkeypatch, *, total, available, usable):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=total, available=available))
    monkeypatch.setattr(limits, "usable_memory_bytes", lambda: usable)
    return doctor.check_memory()[0]


def test_memory_of_a_machine_and_of_a_container(monkeypatch):
    machine = memory_of(monkeypatch, total=32 * GIB, available=20 * GIB, usable=32 * GIB)
    container = memory_of(monkeypatch, total=32 * GIB, available=20 * GIB, usable=4 * GIB)

    assert (machine.status, machine.found) == (Status.OK, "32.0 GiB, 20.0 GiB of it available")
    assert container.status is Status.OK
    assert container.found.startswith("4.0 GiB, 4.0 GiB of it available; the container's limit")
    assert "32.0 GiB" in container.found


@pytest.mark.parametrize(("available", "usable"), [(GIB, 32 * GIB), (20 * GIB, GIB)], ids=["machine", "container"])
def test_little_memory_is_a_problem_but_no_failure(monkeypatch, available, usable):
    check = memory_of(monkeypatch, total=32 * GIB, available=available, usable=usable)

    assert (check.status, check.fails) == (Status.PROBLEM, False)
    assert "Less than 2.0 GiB" in check.advice


def test_a_folder_that_can_be_written_to(tmp_path):
    (check,) = doctor.check_folder(tmp_path)

    assert (check.status, check.found) == (Status.OK, f"{tmp_path} can be written to")
    assert list(tmp_path.iterdir()) == []


def test_of_a_folder_that_is_not_there_yet_the_one_above_counts(tmp_path):
    (folder,), (disk,) = (look(tmp_path / "new" / "newer") for look in (doctor.check_folder, doctor.check_disk))

    assert (folder.status, folder.found) == (Status.OK, f"{tmp_path} can be written to")
    assert disk.status in (Status.OK, Status.PROBLEM)
    assert disk.found.endswith(" GiB free")


def test_a_folder_relative_to_where_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert str(tmp_path) in doctor.check_folder(Path("."))[0].found


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()

    (check,) = doctor.check_folder(tmp_path / "file")

    assert check.fails
    assert check.found == f"{tmp_path / 'file'} cannot be written to: {os.strerror(20)}"  # ENOTDIR
    assert "--path" in check.advice


def test_a_disk_that_is_read_only(tmp_path, monkeypatch):
    def refuse(**options):
        assert options == {"dir": tmp_path}
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)

    (check,) = doctor.check_folder(tmp_path)

    assert check.fails
    assert check.found == f"{tmp_path} cannot be written to: Read-only file system"


@pytest.mark.parametrize(("free", "status"), [(GIB, Status.OK), (GIB - 1, Status.PROBLEM)])
def test_room_on_the_disk(tmp_path, monkeypatch, free, status):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=9 * GIB, used=0, free=free))

    (check,) = doctor.check_disk(tmp_path)

    assert (check.status, check.found, check.fails) == (status, "1.0 GiB free", False)


@pytest.mark.parametrize(
    ("soft", "hard", "status", "said"),
    [
        (1024, 4096, Status.OK, "1024 at a time"),
        (256, 4096, Status.PROBLEM, "at most 4096"),
        (256, None, Status.PROBLEM, "at most any number"),
        (None, None, Status.OK, "no limit"),
    ],
)
def test_open_files(monkeypatch, soft, hard, status, said):
    resource = pytest.importorskip("resource")
    limit = [resource.RLIM_INFINITY if each is None else each for each in (soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda which: limit if which == resource.RLIMIT_NOFILE else None)

    (check,) = doctor.check_open_files()

    assert (check.status, check.fails) == (status, False)
    assert said in f"{check.found} {check.advice}"


def test_a_system_without_such_limits(without, tmp_path):
    without("resource")

    assert doctor.check_open_files() == []
    assert doctor.check_shared_memory(tmp_path / "no-shm") == []


@pytest.mark.parametrize(("total", "status"), [(2**26, Status.PROBLEM), (2**26 + 1, Status.OK)], ids=["docker", "more"])
def test_shared_memory(tmp_path, monkeypatch, total, status):
    usage = collections.namedtuple("usage", "total used free")(total, 0, total)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage if path == tmp_path else None)

    (check,) = doctor.check_shared_memory(tmp_path)

    assert (check.status, check.fails) == (status, False)
    assert ("--shm-size" in (check.advice or "")) == (status is Status.PROBLEM)


# ---- all together


def test_a_whole_installation_works(tmp_path):
    checks = examine(tmp_path)

    assert [check for check in checks if check.fails] == []
    requirements = [Requirement(text) for text in metadata.requires("domainvl")]
    assert [check.name for check in checks if check.group == "Required packages"] == [
        requirement.name for requirement in requirements if requirement.marker is None
    ]
    groups = [check.group for check in checks]
    assert [group for number, group in enumerate(groups) if number == 0 or group != groups[number - 1]] == [
        "Python",
        "Required packages",
        "Extras",
        "Decoders",
        "DICOM transfer syntaxes",
        "Devices",
        "Machine",
    ]
    assert len({(check.group, check.name) for check in checks}) == len(checks)


@pytest.mark.parametrize("library", ["torch", "rasterio", "pyogrio", "PIL", "pydicom", "psutil"])
def test_a_library_that_cannot_be_imported_stops_no_other_check(tmp_path, without, library):
    whole = examine(tmp_path)
    without(library)

    broken = examine(tmp_path)

    lost = {(check.group, check.name) for check in whole if check.status is Status.OK} - {
        (check.group, check.name) for check in broken if check.status is Status.OK
    }
    problems = [check for check in broken if check.status is Status.PROBLEM]
    assert problems
    assert all(check.found.startswith("ModuleNotFoundError: ") and check.advice for check in problems)
    assert {group for group, _ in lost} <= {check.group for check in problems}
    assert any(check.fails for check in problems) == (library != "psutil")  # it is listed among the packages


def test_a_torch_that_is_installed_and_broken(tmp_path, monkeypatch):
    """A missing CUDA library is an OSError at import."""
    real_import = builtins.__import__

    def fail(name, *args, **kwargs):
        if name == "torch":
            raise OSError("libcudart.so.12: cannot open shared object file\nmore")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)

    checks = examine(tmp_path)

    cpu, gpu = (check for check in checks if check.group == "Devices")
    assert cpu == Check(
        "Devices",
        "torch",
        Status.PROBLEM,
        "OSError: libcudart.so.12: cannot open shared object file",
        cpu.advice,
        required=True,
    )
    assert (gpu.name, gpu.status, gpu.fails) == ("GPU", Status.PROBLEM, False)
    assert [check.name for check in checks if check.fails] == ["torch"]


def test_a_checkout_that_is_not_installed(tmp_path, monkeypatch):
    def unknown(name):
        raise metadata.PackageNotFoundError(name)

    for function in ("version", "requires", "metadata"):
        monkeypatch.setattr(metadata, function, unknown)

    checks = examine(tmp_path)

    assert {"Python", "domainvl", "requirements"} <= {check.name for check in checks if check.fails}
    assert named(checks, "CPU").status is Status.OK


def test_an_error_without_a_message_is_still_named():
    def fail():
        raise RuntimeError

    (check,) = doctor._run(doctor._Probe("Group", "name", fail, required=True))

    assert (check.found, check.fails) == ("RuntimeError: no message", True)
