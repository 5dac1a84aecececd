"""What is to be enlarged: files that were named, and the pictures of folders, each with the name of its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domainvl.enhance.applying.medical import MedicalCheck, refuse_medical
from domainvl.errors import InputNotFoundError, NothingToDoError, UsageError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
"""What becomes a PNG; everything else becomes a TIFF."""
RASTER_SUFFIXES = (".tif", ".tiff", ".jp2")
"""What is taken from folders beside pictures; files that are named may be anything that GDAL reads."""
_SHOWN = 3


@dataclass(frozen=True)
class Job:
    """One input and its output.

    Attributes:
        input: The file.
        output: Name of the output, relative to the folder of all; with slashes.
        medical: Why it is medical, if it is and was let through.
    """

    input: Path
    output: str
    medical: str | None = None

    @property
    def is_picture(self) -> bool:
        """Whether the output is a PNG."""
        return self.output.endswith(".png")


@dataclass(frozen=True)
class Found:
    """The inputs.

    Attributes:
        jobs: What is to be done, in order.
        ignored: Files of folders that are no pictures.
    """

    jobs: tuple[Job, ...]
    ignored: int


def find_inputs(inputs: Sequence[Path], out: Path, *, pictures_as_png: bool, force_medical: bool) -> Found:
    """Find what is to be enlarged.

    Args:
        inputs: Files and folders, as named; folders are searched with all that is in them, in the order of names, and
            what is in the folder of outputs is left out.
        out: The folder of outputs; those of a folder's files lie in it as the files lie in their folder.
        pictures_as_png: Whether PNG and JPEG become PNG; else TIFF.
        force_medical: Let medical inputs through.

    Raises:
        InputNotFoundError: If an input does not exist.
        UsageError: If two inputs would have one output, or one is medical.
        NothingToDoError: If there is none.
    """
    files: list[tuple[Path, Path]] = []
    others: list[Path] = []
    for given in inputs:
        if given.is_file():
            files.append((given, Path(given.name)))
        elif given.is_dir():
            taken, rest = _in_folder(given, out)
            files += [(path, path.relative_to(given)) for path in taken]
            others += rest
        else:
            raise InputNotFoundError("No such input", where=given, rule="it does not exist", action="Check the name")
    check = MedicalCheck()
    # A DICOM file without a suffix beside the pictures says what they are, so the others are looked at too.
    medical = {path: why for path in (*(path for path, _ in files), *others) if (why := check.why(path)) is not None}
    if not force_medical:
        refuse_medical(medical)
    if not files:
        raise NothingToDoError(
            "Nothing to enhance",
            where=", ".join(map(str, inputs)),
            rule=f"no file ends in {', '.join((*PICTURE_SUFFIXES, *RASTER_SUFFIXES))}",
            action="Name pictures or GeoTIFFs, or a folder of them",
        )
    jobs = [Job(path, _output_name(name, pictures_as_png), medical.get(path)) for path, name in files]
    _refuse_equal_names(jobs)
    return Found(tuple(jobs), len(others))


def _in_folder(folder: Path, out: Path) -> tuple[list[Path], list[Path]]:
    """Return the pictures of a folder, and its other files; hidden ones are neither."""
    taken: list[Path] = []
    rest: list[Path] = []
    own = out.resolve()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).parts):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or not path.is_file():
            continue
        if path.resolve().is_relative_to(own) and not folder.resolve().is_relative_to(own):
            continue
        suffix = path.suffix.lower()
        (taken if suffix in (*PICTURE_SUFFIXES, *RASTER_SUFFIXES) else rest).append(path)
    return taken, rest


def _output_name(name: Path, pictures_as_png: bool) -> str:
    is_png = pictures_as_png and name.suffix.lower() in PICTURE_SUFFIXES
    return name.with_suffix(".png" if is_png else ".tif").as_posix()


def _refuse_equal_names(jobs: Sequence[Job]) -> None:
    """Refuse two inputs with one output; names that differ in case only are one on many file systems."""
    by_name: dict[str, list[Path]] = {}
    for job in jobs:
        by_name.setdefault(job.output.casefold(), []).append(job.input)
    clashes = [(name, paths) for name, paths in by_name.items() if len(paths) > 1]
    if not clashes:
        return
    shown = "; ".join(
        f"{paths[0]} is given twice" if len(set(paths)) == 1 else f"{' and '.join(map(str, paths))} would all be {name}"
        for name, paths in clashes[:_SHOWN]
    )
    more = f"; and {len(clashes) - _SHOWN} more" if len(clashes) > _SHOWN else ""
    raise UsageError(
        "Inputs have one name", rule=f"{shown}{more}", action="Enhance them into different folders, or name each once"
    )
