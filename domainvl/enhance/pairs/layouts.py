"""Finding the pairs of a folder, or of two: by file name, or as City100 and SR-RAW lay them out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from domainvl.enhance.pairs.geotiffs import is_georeferenced, plan_windows
from domainvl.enhance.pairs.settings import Layout, PairSource, RegisterSettings
from domainvl.errors import InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema.writer import Reject, Severity

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".jp2", ".webp")
"""Files that are taken for pictures."""

_CITY100_NAME = re.compile(r"(\d{3})([HL])\.png", re.IGNORECASE)
_FRAME_NAME = re.compile(r"\d{5}")
_SR_RAW_STEPS = {4: ((1, 5), (2, 6), (3, 7)), 8: ((1, 6),)}
"""Numbers of the frames of a scene that are a pair at each scale, the high one first (SR-RAW, Zhang et al. 2019, as
SDAN's loader pairs them: 1 is the longest focal length)."""
_FOCAL_LENGTH = 0x920A
_EXIF_FOLDER = 0x8769

Found = tuple[list[PairSource], list[Reject]]


def guess_layout(first: Path, second: Path | None) -> Layout:
    """Say how the files lie, by what is there.

    Raises:
        InputNotFoundError: If something that was named does not exist.
        UsageError: If it is none of the known layouts.
    """
    _check_there(first, second)
    if second is not None:
        files = [path if path.is_file() else next(iter(_pictures(path)[0].values()), None) for path in (first, second)]
        return "geotiffs" if all(file is not None and is_georeferenced(file) for file in files) else "folders"
    if first.is_dir():
        if _city100_folders(first):
            return "city100"
        if any(_FRAME_NAME.fullmatch(path.stem) for path in first.glob("*/*")):
            return "sr-raw"
    raise UsageError(
        "Cannot see how the pairs lie",
        where=first,
        rule="it is neither City100 nor SR-RAW, and no second folder or file was given",
        action="Name the low and the high views: domainvl enhance register LOW HIGH --out PAIRS",
    )


def find_pairs(first: Path, second: Path | None, settings: RegisterSettings) -> Found:
    """Find all pairs.

    Args:
        first: Low views, or a folder that holds both.
        second: High views, where the layout has them apart.
        settings: Which layout, and at what scale.

    Returns:
        The pairs in order of their names, and what has no partner.

    Raises:
        InputNotFoundError: If something that was named does not exist.
        UsageError: If the layout needs another number of folders, or has no pairs of that scale.
        NothingToDoError: If nothing in one has a partner in the other.
    """
    apart = settings.layout in ("folders", "geotiffs")
    if apart != (second is not None):
        needed = "two: the low views and the high ones" if apart else "one folder that holds both views"
        action = "Name as many, or choose another --layout"
        raise UsageError("Cannot find pairs", rule=f"the layout {settings.layout} takes {needed}", action=action)
    _check_there(first, second)
    if second is None and not first.is_dir():
        action = "Name the folder that holds both views"
        raise UsageError("Cannot find pairs", where=first, rule="it is no folder", action=action)
    if second is not None:
        sources, rejects = _match(first, second)
        if settings.layout == "geotiffs":
            sources, more = plan_windows(sources, settings)
            rejects += more
    elif settings.layout == "city100":
        sources, rejects = _city100(first)
    else:
        sources, rejects = _sr_raw(first, settings.scale)
    if not sources:
        raise _no_pairs(first, second, rejects)
    return sorted(sources, key=lambda source: source.id), rejects


def _check_there(*paths: Path | None) -> None:
    for path in paths:
        if path is not None and not path.exists():
            action = "Check the path"
            raise InputNotFoundError(
                "Cannot find pairs", where=path, rule="there is no such file or folder", action=action
            )


def _match(low: Path, high: Path) -> Found:
    if low.is_file() and high.is_file():
        return [PairSource(low.stem, low.stem, low, high)], []
    for path in (low, high):
        if not path.is_dir():
            raise UsageError(
                "Cannot match", where=path, rule="one is a file and the other a folder", action="Name two folders"
            )
    (ours, rejects), (theirs, more) = _pictures(low), _pictures(high)
    rejects += more
    for names, others, folder in ((ours, theirs, high), (theirs, ours, low)):
        rejects += [_alone(names[name], f"{folder} has no file {name}") for name in sorted(set(names) - set(others))]
    sources: dict[str, PairSource] = {}
    for name in sorted(set(ours) & set(theirs)):
        source = PairSource(name.replace("/", "__"), name, ours[name], theirs[name])
        if sources.setdefault(source.id, source) is not source:
            rejects.append(_same_name(ours[name], sources[source.id].low))
    return list(sources.values()), rejects


def _pictures(folder: Path) -> tuple[dict[str, Path], list[Reject]]:
    """Return a folder's pictures by path without suffix, and what is none or has the name of another."""
    found: dict[str, Path] = {}
    rejects = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if path.suffix.lower() not in SUFFIXES:
            message = f"{path.suffix or 'no suffix'} is none of {', '.join(SUFFIXES)}"
            action = "Turn raw frames into 16-bit TIFFs first" if path.suffix.lower() in (".arw", ".dng") else None
            rejects.append(Reject(str(path), "plan", "no-picture", message, action, Severity.SKIPPED))
        elif not _is_text(name):
            message = "its name is not text of one line"
            rejects.append(Reject(str(path), "plan", "unfit-name", message, "Rename it in both folders"))
        elif name in found:
            rejects.append(_same_name(path, found[name]))
        else:
            found[name] = path
    return found, rejects


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8, which no library takes back
        return False
    return len(name.splitlines()) == 1


def _same_name(path: Path, other: Path) -> Reject:
    return Reject(str(path), "plan", "same-name", f"{other} has the same name", "Keep one of them")


def _no_frame(path: Path) -> list[Reject]:
    """Say of a picture that its name has no meaning in the layout; other files are of no interest."""
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        return []
    message = "its name is none that the layout knows"
    return [Reject(str(path), "plan", "other-name", message, "Rename it if it is a view", Severity.SKIPPED)]


def _alone(path: Path, message: str) -> Reject:
    return Reject(str(path), "plan", "no-partner", message, "Give both views the same file name")


def _city100_folders(folder: Path) -> list[Path]:
    candidates = [folder, *sorted(folder.glob("City100*")), *sorted(folder.glob("City100/City100*"))]
    return [
        one for one in candidates if one.is_dir() and any(_CITY100_NAME.fullmatch(path.name) for path in one.iterdir())
    ]


def _city100(folder: Path) -> Found:
    """Pair ``NNNL.PNG`` with ``NNNH.PNG``; cameras took the same prints, so a scene is one group for all."""
    sources: list[PairSource] = []
    rejects: list[Reject] = []
    for camera in _city100_folders(folder):
        views: dict[str, dict[str, Path]] = {}
        for path in sorted(camera.iterdir()):
            match = _CITY100_NAME.fullmatch(path.name)
            if match is None:
                rejects += _no_frame(path)
                continue
            view = views.setdefault(match[1], {}).setdefault(match[2].upper(), path)
            if view != path:
                rejects.append(_same_name(path, view))
        for number, both in sorted(views.items()):
            if len(both) == 2:
                sources.append(PairSource(f"{camera.name}-{number}", f"scene-{number}", both["L"], both["H"]))
            else:
                rejects += [_alone(path, f"the other view of scene {number} is missing") for path in both.values()]
    return sources, rejects


def _sr_raw(folder: Path, scale: int) -> Found:
    """Pair a scene's frames, numbered from the longest focal length down; a scene is a group."""
    if scale not in _SR_RAW_STEPS:
        rule = f"they are 4 or 8 apart in zoom, --scale is {scale}"
        raise UsageError("Cannot pair SR-RAW's frames", rule=rule, action="Give --scale 4 or 8")
    sources: list[PairSource] = []
    rejects: list[Reject] = []
    for scene in sorted(path for path in folder.iterdir() if path.is_dir()):
        frames, more = _pictures(scene)
        numbered = {int(name): path for name, path in frames.items() if _FRAME_NAME.fullmatch(name)}
        if not numbered and not more:
            continue
        rejects += more
        for name, path in frames.items():
            rejects += [] if _FRAME_NAME.fullmatch(name) else _no_frame(path)
        found, alone = len(sources), []
        for high, low in _SR_RAW_STEPS[scale]:
            if high in numbered and low in numbered:
                zoom = _zoom(numbered[low], numbered[high]) or float(scale)
                name = f"{scene.name}-{high:05d}-{low:05d}"
                sources.append(PairSource(name, scene.name, numbered[low], numbered[high], zoom=zoom))
            elif high in numbered or low in numbered:
                here, missing = (high, low) if high in numbered else (low, high)
                message = f"the scene has no frame {missing:05d}"
                alone.append(Reject(str(numbered[here]), "plan", "no-partner", message, severity=Severity.SKIPPED))
        if len(sources) > found:
            rejects += alone
            continue
        steps = " or ".join(f"{high:05d} and {low:05d}" for high, low in _SR_RAW_STEPS[scale])
        message = f"it has no frames {steps}, only {', '.join(f'{n:05d}' for n in sorted(numbered)) or 'others'}"
        rejects.append(Reject(str(scene), "plan", "no-partner", message, "Name frames by focal length, longest first"))
    return sources, rejects


def _zoom(low: Path, high: Path) -> float | None:
    """Return the ratio of two photographs' focal lengths, if both tell theirs."""
    from PIL import Image

    lengths = []
    for path in (low, high):
        try:
            with Image.open(path) as picture:
                exif = picture.getexif()
                length = exif.get_ifd(_EXIF_FOLDER).get(_FOCAL_LENGTH) or exif.get(_FOCAL_LENGTH)
        except (
            OSError,
            ValueError,
            SyntaxError,
            Image.DecompressionBombError,
        ):  # SyntaxError: Pillow's of a broken EXIF
            return None  # reading the pixels will tell what is wrong with it
        if not length or float(length) <= 0:
            return None
        lengths.append(float(length))
    return lengths[1] / lengths[0] if lengths[1] > lengths[0] else None


def _no_pairs(first: Path, second: Path | None, rejects: Sequence[Reject]) -> NothingToDoError:
    where = str(first) if second is None else f"{first} and {second}"
    told = (
        "; ".join(f"{reject.input}: {reject.message.removesuffix('.')}" for reject in rejects[:3])
        or "there are no pictures"
    )
    more = f"; and {len(rejects) - 3} more" if len(rejects) > 3 else ""
    action = next((reject.action for reject in rejects if reject.action), "Name matching files, or give --layout")
    return NothingToDoError("No pair was found", where=where, rule=told + more, action=action)
