"""What of this installation and this machine works. A check gives data, stops no other and needs no network.

A check is required if a command of domainvl fails without it; all else is an offer.
"""

from __future__ import annotations

import enum
import platform
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from domainvl.errors import install_hint

EXTRA_USES = {
    "corpus": "domainvl corpus: reading pages, archives, PDF and DOCX, finding near-duplicates, hashing images",
    "devkit": "nuScenes' own devkit in the same environment, to compare with; domainvl reads the tables itself",
    "fast": "PNG files packed 1.6 to 2 times as quickly, into the same bytes",
    "gdcm": "reading DICOM files in lossless JPEG",
    "hub": "domainvl export for the library datasets of Hugging Face",
    "imagenet": "domainvl specialist train classifier --from imagenet-efficientnet-lite0: ImageNet weights of 17 MB",
    "liger": "fused kernels for training on a GPU, domainvl finetune with compute.liger: true",
    "magic-html": "domainvl corpus build --extractor magic-html",
    "ocr": "looking for text in the pixels of DICOM images, which may be a name",
    "parquet": "domainvl pack and unpack with Parquet files",
    "quant": "fine-tuning a base of 4 bits a weight (QLoRA) with quantisation: nf4, and an optimizer whose state has 8 "
    "bits with optimisation.optimizer: adamw-8bit",
    "tensorboard": "watching a run of domainvl finetune while it trains",
    "video": "clips out of video files, and clips of nuScenes as MP4",
    "ray": "conversions spread over the machines of a Ray cluster",
}
"""What each extra of the package enables."""
_EXTRAS_OF_DEVELOPERS = frozenset({"test"})

_REQUIRED_RASTER_DRIVERS = {"GTiff": "read scenes"}
_OFFERED_RASTER_DRIVERS = {
    "COG": "write cloud-optimised GeoTIFF",
    "JP2OpenJPEG": "turn JPEG 2000 products such as Sentinel-2's into GeoTIFF",
    "VRT": "join scenes in virtual mosaics",
}
_REQUIRED_VECTOR_DRIVERS = {
    "ESRI Shapefile": "read labels in Shapefiles",
    "GeoJSON": "read labels in GeoJSON",
    "GPKG": "read labels in GeoPackages",
}
_SYNTAXES_OF_GDCM = frozenset({"JPEGLossless", "JPEGLosslessSV1"})
_REQUIRED_IMAGE_FORMATS = {"jpg": "JPEG", "zlib": "PNG"}
_OFFERED_IMAGE_FORMATS = {"webp": "WebP"}

_LOW_MEMORY_BYTES = 2 << 30
_LOW_DISK_BYTES = 1 << 30
_LOW_OPEN_FILES = 1024
"""The usual soft limit of Linux; each worker process holds several open."""
_DOCKER_SHM_BYTES = 64 << 20
"""What ``docker run`` gives without ``--shm-size``; batches that processes hand each other do not fit."""

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)\s*(\[[^\]]*\])?\s*\(?(?P<rule>[^;()]*)\)?\s*(;\s*(?P<marker>.*))?"
)
"""Name, extras, versions and marker of a dependency specifier of PEP 508."""
_EXTRA_OF_MARKER = re.compile(r"""extra\s*==\s*['"](?P<extra>[^'"]+)['"]""")

VersionOf: TypeAlias = Callable[[str], str | None]


class Status(enum.StrEnum):
    """What a check came to."""

    OK = "ok"
    MISSING = "missing"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        group: What it belongs to, such as ``"Required packages"``.
        name: What was looked at.
        status: What came of it.
        found: What is there, with versions and sizes.
        advice: What it would enable or what to do, None where there is nothing to do.
        required: Whether domainvl fails without it.
    """

    group: str
    name: str
    status: Status
    found: str
    advice: str | None = None
    required: bool = False

    @property
    def fails(self) -> bool:
        """Whether something required is missing or broken."""
        return self.required and self.status is not Status.OK


@dataclass(frozen=True)
class _Probe:
    """A function that makes checks, and what to call it where it breaks."""

    group: str
    name: str
    look: Callable[[], Sequence[Check]]
    required: bool


@dataclass(frozen=True)
class _Need:
    """A dependency of the package: which versions, for which extra, and under which condition."""

    name: str
    rule: str
    extra: str | None
    marker: str | None

    @classmethod
    def parse(cls, text: str) -> _Need:
        match = _REQUIREMENT.fullmatch(text.strip())
        if match is None:
            return cls(text.strip(), "", None, None)
        marker = match["marker"]
        extra = _EXTRA_OF_MARKER.search(marker) if marker else None
        return cls(match["name"], match["rule"].strip(), extra["extra"] if extra else None, marker)

    def applies(self) -> bool:
        """Tell whether its condition holds for this Python and this system."""
        try:
            from packaging.markers import Marker
        except ImportError:
            return True
        return self.marker is None or Marker(self.marker).evaluate({"extra": self.extra or ""})


def examine(folder: Path) -> list[Check]:
    """Make all checks.

    Args:
        folder: Where output is to be written.

    Returns:
        The checks, those of a group together. One that breaks is a problem by itself.
    """
    probes = (
        _Probe("Python", "Python", check_python, required=True),
        _Probe("Python", "domainvl", check_domainvl, required=True),
        _Probe("Required packages", "requirements", lambda: check_packages(_requirements()), required=True),
        _Probe("Extras", "extras", lambda: check_extras(_requirements()), required=True),
        _Probe("Decoders", "GDAL of rasterio", check_raster_drivers, required=True),
        _Probe("Decoders", "GDAL of pyogrio", check_vector_drivers, required=True),
        _Probe("Decoders", "Pillow", check_image_formats, required=True),
        _Probe("Decoders", "PNG encoder", check_png_encoder, required=True),
        _Probe("DICOM transfer syntaxes", "pydicom", check_transfer_syntaxes, required=True),
        _Probe("Devices", "torch", check_torch, required=True),
        _Probe("Devices", "GPU", check_gpus, required=False),
        _Probe("Machine", "cores", check_cores, required=False),
        _Probe("Machine", "memory", check_memory, required=False),
        _Probe("Machine", "folder", partial(check_folder, folder), required=True),
        _Probe("Machine", "disk", partial(check_disk, folder), required=False),
        _Probe("Machine", "open files", check_open_files, required=False),
        _Probe("Machine", "/dev/shm", check_shared_memory, required=False),
    )
    return [check for probe in probes for check in _run(probe)]


def _run(probe: _Probe) -> Sequence[Check]:
    try:
        return probe.look()
    except Exception as error:  # noqa: BLE001 - the border of a check: a broken library may raise anything
        why = (str(error).strip().splitlines() or ["no message"])[0]
        advice = "Repair what it names, or install domainvl again in a fresh environment"
        return [
            Check(probe.group, probe.name, Status.PROBLEM, f"{type(error).__name__}: {why}", advice, probe.required)
        ]


def installed_version(name: str) -> str | None:
    """Return the version of an installed distribution, None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _requirements() -> list[str]:
    return metadata.requires("domainvl") or []


def _satisfies(version: str, rule: str) -> bool | None:
    """Tell whether a version keeps a rule such as ``>=2,<3``; None where nothing is installed that could tell."""
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return None
    return SpecifierSet(rule).contains(version, prereleases=True)


def _rate(version: str, rule: str) -> tuple[Status, str]:
    """Return the status of a version and how to say it."""
    satisfied = _satisfies(version, rule)
    if satisfied is None:
        return Status.OK, f"{version}; not compared with {rule or 'any'}, for the package packaging is missing"
    return (Status.OK, version) if satisfied else (Status.PROBLEM, f"{version}, needed is {rule}")


def check_python() -> list[Check]:
    """Look at the version of Python."""
    rule = metadata.metadata("domainvl")["Requires-Python"] or ""
    status, found = _rate(platform.python_version(), rule)
    advice = None if status is Status.OK else f"Make an environment with Python {rule}"
    return [Check("Python", "Python", status, found, advice, required=True)]


def check_domainvl() -> list[Check]:
    """Look at the version of domainvl: of its code, and of what pip knows of it."""
    from domainvl import __version__

    known = metadata.version("domainvl")
    if known == __version__:
        return [Check("Python", "domainvl", Status.OK, __version__, required=True)]
    found = f"{__version__}, but pip knows {known}"
    advice = "Install domainvl again; code and metadata are of two versions"
    return [Check("Python", "domainvl", Status.PROBLEM, found, advice, required=True)]


def check_packages(requirements: Sequence[str], version_of: VersionOf = installed_version) -> list[Check]:
    """Look at every package that domainvl cannot do without.

    Args:
        requirements: Dependency specifiers (PEP 508) as the metadata of a distribution lists them.
        version_of: Returns the version of an installed package, None where there is none.
    """
    needs = [need for need in map(_Need.parse, requirements) if need.extra is None and need.applies()]
    return [_check_package(need, version_of) for need in needs]


def _check_package(need: _Need, version_of: VersionOf) -> Check:
    version = version_of(need.name)
    status, found = (Status.MISSING, "not installed") if version is None else _rate(version, need.rule)
    advice = None if status is Status.OK else f"Install it with: pip install '{need.name}{need.rule}'"
    return Check("Required packages", need.name, status, found, advice, required=True)


def check_extras(requirements: Sequence[str], version_of: VersionOf = installed_version) -> list[Check]:
    """Look at every extra of domainvl but those for its developers.

    Args:
        requirements: Dependency specifiers (PEP 508) as the metadata of a distribution lists them.
        version_of: Returns the version of an installed package, None where there is none.
    """
    needs_of: dict[str, list[_Need]] = {}
    for need in map(_Need.parse, requirements):
        if need.extra is not None and need.extra not in _EXTRAS_OF_DEVELOPERS:
            needs_of.setdefault(need.extra, []).append(need)
    return [_check_extra(extra, needs, version_of) for extra, needs in sorted(needs_of.items())]


def _check_extra(extra: str, needs: Sequence[_Need], version_of: VersionOf) -> Check:
    use = f"Enables {EXTRA_USES[extra]}" if extra in EXTRA_USES else "Enables more"
    applying = [need for need in needs if need.applies()]
    if not applying:
        found = f"not for this Python or system ({needs[0].marker})"
        return Check("Extras", extra, Status.MISSING, found, use)
    rated = []
    for need in applying:
        version = version_of(need.name)
        status, found = (Status.MISSING, "not installed") if version is None else _rate(version, need.rule)
        rated.append((status, f"{need.name} {found}"))
    seen = {status for status, _ in rated}
    worst = next(status for status in (Status.PROBLEM, Status.MISSING, Status.OK) if status in seen)
    advice = use if worst is Status.OK else f"{use}. {install_hint(extra)}"
    return Check("Extras", extra, worst, "; ".join(found for _, found in rated), advice)


def check_raster_drivers() -> list[Check]:
    """Look at what rasterio's GDAL reads and writes."""
    import rasterio

    with rasterio.Env() as environment:
        drivers = environment.drivers()
    checks = [Check("Decoders", "GDAL of rasterio", Status.OK, rasterio.__gdal_version__, required=True)]
    checks += _check_drivers(_REQUIRED_RASTER_DRIVERS, drivers, "rasterio", required=True)
    return checks + _check_drivers(_OFFERED_RASTER_DRIVERS, drivers, "rasterio", required=False)


def check_vector_drivers() -> list[Check]:
    """Look at what pyogrio's GDAL, which is another one, reads."""
    import pyogrio

    version = ".".join(str(part) for part in pyogrio.__gdal_version__)
    checks = [Check("Decoders", "GDAL of pyogrio", Status.OK, version, required=True)]
    return checks + _check_drivers(_REQUIRED_VECTOR_DRIVERS, pyogrio.list_drivers(read=True), "pyogrio", required=True)


def _check_drivers(wanted: dict[str, str], there: dict[str, str], owner: str, *, required: bool) -> list[Check]:
    checks = []
    for name, use in wanted.items():
        if name in there:
            checks.append(Check("Decoders", f"driver {name}", Status.OK, f"in {owner}", required=required))
            continue
        advice = f"Would let GDAL {use}; take the wheel of {owner} from PyPI, which has it"
        checks.append(Check("Decoders", f"driver {name}", Status.MISSING, f"not in {owner}", advice, required))
    return checks


def check_image_formats() -> list[Check]:
    """Look at what Pillow decodes."""
    from PIL import features

    checks = []
    for formats, required in ((_REQUIRED_IMAGE_FORMATS, True), (_OFFERED_IMAGE_FORMATS, False)):
        for feature, name in formats.items():
            if features.check(feature):
                checks.append(Check("Decoders", name, Status.OK, "by Pillow", required=required))
                continue
            advice = f"Pillow was built without {name}; take its wheel from PyPI, which has it"
            checks.append(Check("Decoders", name, Status.MISSING, "not in Pillow", advice, required))
    return checks


def check_png_encoder() -> list[Check]:
    """Look at what compresses the images of a data set."""
    from domainvl.schema.png import Compressor, best_compressor

    compressor = best_compressor()
    advice = None
    if compressor is Compressor.ZLIB:
        advice = f"The extra fast enables {EXTRA_USES['fast']}. {install_hint('fast')}"
    return [Check("Decoders", "PNG encoder", Status.OK, compressor.value, advice, required=True)]


def check_transfer_syntaxes() -> list[Check]:
    """Look at which encodings of pixels pydicom can decode with the plugins that are installed."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import AllTransferSyntaxes

    checks = []
    for syntax in AllTransferSyntaxes:
        try:
            decoder = get_decoder(syntax)
        except NotImplementedError:  # videos and other things that pydicom never decodes
            continue
        plugins = decoder.available_plugins if decoder.is_available else None
        checks.append(_check_syntax(syntax.keyword, plugins))
    return checks


def _check_syntax(keyword: str, plugins: Sequence[str] | None) -> Check:
    group, by_extra = "DICOM transfer syntaxes", keyword in _SYNTAXES_OF_GDCM
    if plugins is None:
        advice = install_hint("gdcm") if by_extra else "Install domainvl again; its decoders are missing"
        return Check(group, keyword, Status.MISSING, "no plugin decodes it", advice, required=not by_extra)
    found = f"by {', '.join(plugins)}" if plugins else "by pydicom, needs no plugin"
    if keyword == "JPEGExtended12Bit" and tuple(plugins) == ("pillow",):
        found += "; files of 8 bits, not of 12"
    return Check(group, keyword, Status.OK, found, required=not by_extra)


def check_torch() -> list[Check]:
    """Import torch, which takes a second or two, and see how many threads it uses."""
    import torch

    found = f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    return [Check("Devices", "CPU", Status.OK, found, required=True)]


def check_gpus() -> list[Check]:
    """Look for GPUs that torch can use, and their memory."""
    import torch

    with warnings.catch_warnings(record=True) as caught:  # torch warns of a driver that is too old
        warnings.simplefilter("always")
        checks = list(_gpus_of(torch))
    if checks:
        return checks
    builds = {"CUDA": torch.version.cuda, "ROCm": torch.version.hip}
    built_for = next((f"{name} {version}" for name, version in builds.items() if version), None)
    if built_for is None:
        advice = "Runs on the CPU, slowly; for an NVIDIA GPU install a CUDA build of torch"
        return [Check("Devices", "GPU", Status.MISSING, "none; torch is a build for the CPU", advice)]
    advice = "Runs on the CPU, slowly; if there is a GPU, look at its driver with nvidia-smi"
    said = "".join(f": {str(warning.message).splitlines()[0]}" for warning in caught[:1])
    return [Check("Devices", "GPU", Status.MISSING, f"none that {built_for} can use{said}", advice)]


def _gpus_of(torch: Any) -> Iterator[Check]:
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free_bytes, total_bytes = torch.cuda.mem_get_info(index)
            found = f"{torch.cuda.get_device_name(index)}, {_gib(total_bytes)}, {_gib(free_bytes)} of it free"
            yield Check("Devices", f"cuda:{index}", Status.OK, found)
    if torch.backends.mps.is_available():
        yield Check("Devices", "mps", Status.OK, "Apple GPU, shares the memory of the machine")


def check_cores() -> list[Check]:
    """Count the cores that this process may use."""
    from domainvl.engine.limits import usable_cores

    return [Check("Machine", "cores", Status.OK, f"{usable_cores()} usable")]


def check_memory() -> list[Check]:
    """Look at the memory of the machine, or of the container where that is less."""
    import psutil

    from domainvl.engine.limits import usable_memory_bytes

    machine, total_bytes = psutil.virtual_memory(), usable_memory_bytes()
    available_bytes = min(int(machine.available), total_bytes)
    found = f"{_gib(total_bytes)}, {_gib(available_bytes)} of it available"
    if total_bytes < machine.total:
        found += f"; the container's limit, the machine has {_gib(machine.total)}"
    if available_bytes >= _LOW_MEMORY_BYTES:
        return [Check("Machine", "memory", Status.OK, found)]
    advice = f"Less than {_gib(_LOW_MEMORY_BYTES)} is left: end other programs, or use fewer workers"
    return [Check("Machine", "memory", Status.PROBLEM, found, advice)]


def check_folder(folder: Path) -> list[Check]:
    """Try to write a file, which vanishes at once; permissions alone do not tell of a read-only disk."""
    place = _nearest_existing(folder)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"domainvl")
    except OSError as error:
        found = f"{place} cannot be written to: {error.strerror or error}"
        advice = "Write to another folder (--path tries one), or let this user write to this one"
        return [Check("Machine", "folder", Status.PROBLEM, found, advice, required=True)]
    return [Check("Machine", "folder", Status.OK, f"{place} can be written to", required=True)]


def check_disk(folder: Path) -> list[Check]:
    """Look at the room on the disk of a folder."""
    free_bytes = shutil.disk_usage(_nearest_existing(folder)).free
    if free_bytes >= _LOW_DISK_BYTES:
        return [Check("Machine", "disk", Status.OK, f"{_gib(free_bytes)} free")]
    advice = "Make room; a scene of 10,000 x 10,000 px makes about 200 MB of tiles"
    return [Check("Machine", "disk", Status.PROBLEM, f"{_gib(free_bytes)} free", advice)]


def _nearest_existing(folder: Path) -> Path:
    """Return a folder, or the one in which it would be made."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())


def check_open_files() -> list[Check]:
    """Look at how many files a process may have open."""
    try:
        import resource
    except ImportError:  # not Unix, where there is no such limit
        return []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _LOW_OPEN_FILES:
        found = "no limit" if soft == resource.RLIM_INFINITY else f"{soft} at a time"
        return [Check("Machine", "open files", Status.OK, found)]
    most = "any number" if hard == resource.RLIM_INFINITY else str(hard)
    advice = f"Raise it with ulimit -n (at most {most}); workers need about {_LOW_OPEN_FILES}"
    return [Check("Machine", "open files", Status.PROBLEM, f"{soft} at a time", advice)]


def check_shared_memory(folder: Path = Path("/dev/shm")) -> list[Check]:
    """Look at the memory through which processes hand each other batches."""
    if not folder.is_dir():  # Linux alone has it
        return []
    usage = shutil.disk_usage(folder)
    found = f"{_gib(usage.total)}, {_gib(usage.free)} of it free"
    if usage.total > _DOCKER_SHM_BYTES:
        return [Check("Machine", "/dev/shm", Status.OK, found)]
    advice = "Start the container with --shm-size=2g or --ipc=host; worker processes may die without a word"
    return [Check("Machine", "/dev/shm", Status.PROBLEM, found, advice)]


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"
