"""Finds the scenes of a nuScenes data root and converts them; a unit is one scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from domainvl.conversion import Inspection, Plan, UnitResult
from domainvl.errors import NothingToDoError, UsageError
from domainvl.schema import ImageStore, Provenance

from ..driving.rig import in_order
from .settings import CLIP_TASKS, NuscenesSettings, can_folder
from .splits import Place, divide, is_nuscenes, usual_split
from .tables.finding import TABLES_USED, find_tables, table_path
from .tables.index import SceneIndex, SceneSummary, open_index, read_scene
from .units import SceneUnit

_LICENCE = "CC-BY-NC-SA-4.0"
"""Of nuScenes (nuscenes.org, terms of use)."""


_CLIP_VIEW = "FRONT"


class NuscenesConverter:
    """Converts key frames and clips of nuScenes and of data sets in its layout."""

    name = "nuscenes"
    summary = "nuScenes tables and camera images to questions about six views, boxes in each, motion and clips"
    settings_type = NuscenesSettings
    licence: str | None = None

    def plan(self, source: Path, settings: NuscenesSettings) -> Plan[SceneUnit]:
        """Join the tables, or open the index of what was joined; no image is opened.

        The manifest names the tables and CAN bus files as sources; each image's hash stands in its samples.

        Raises:
            UsageError: If there is no folder of tables, or several and none is named, or a table breaks the format.
            NothingToDoError: If no key frame could be used.
        """
        tables = find_tables(source, settings.version)
        index = open_reader(source, tables, settings)
        summaries = index.summaries
        if not summaries:
            rule = "no key frame could be used"
            if index.rejects:
                rule += f", {len(index.rejects)} inputs were left out (the first: {index.rejects[0].message})"
            raise NothingToDoError("Nothing to convert", where=tables, rule=rule, action="Check the tables")
        views = chosen_views(index, settings)
        clip_view = chosen_clip_view(views, settings)
        can_files = _can_files(source, settings)
        _check_clips(settings)
        split_by = settings.split_by or usual_split(tables.name, summaries)
        placement = divide(summaries, split_by, tables.name, settings.split_fractions())
        units = [
            _unit(source, index, summary, views, clip_view, placement.places[summary.token], can_files(summary.name))
            for summary in summaries
            if summary.token in placement.places
        ]
        sources = {f"{tables.name}/{name}.json": table_path(tables, name) for name in TABLES_USED}
        sources |= {f"{path.parent.name}/{path.name}": path for unit in units for path in unit.can_files}
        return Plan(
            units,
            {uri: path for uri, path in sources.items() if path.is_file()},
            [*index.rejects, *placement.rejects],
            notes=placement.notes,
            licence=_LICENCE if is_nuscenes(tables.name, summaries) else None,
        )

    def convert(
        self, unit: SceneUnit, settings: NuscenesSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Convert one scene; a frame or clip that cannot be used is rejected alone."""
        # Here, so that the converter can be listed without loading what draws and projects.
        from .pictures import Pictures
        from .scene_samples import ask_about_scene

        return ask_about_scene(unit, settings, Pictures(unit.dataroot, images), provenance)

    def inspect(self, source: Path, settings: NuscenesSettings) -> Inspection:
        """Look at the tables and at one frame."""
        from .inspection import inspect

        return inspect(self, source, settings)

    def unit_name(self, unit: SceneUnit) -> str:
        """Name a scene."""
        return unit.name

    def unit_files(self, unit: SceneUnit) -> list[Path]:
        """Name the images and CAN bus files of a scene; what the tables say about it stands in the index."""
        from .scene_samples import images_of

        names = images_of(read_scene(unit.index, unit.token, unit.content_sha256), unit.views, unit.clip_view)
        return [*(unit.dataroot / name for name in names), *unit.can_files]


def open_reader(source: Path, tables: Path, settings: NuscenesSettings) -> SceneIndex:
    """Open the index of the reader that is asked for, made now where it is not there.

    Raises:
        UsageError: If a table breaks the format, or the devkit is not installed.
    """
    if settings.reader == "devkit":
        from .devkit_reader import open_devkit_index

        return open_devkit_index(source, tables, sweeps=settings.needs_sweeps, folder=settings.index)
    return open_index(source, tables, sweeps=settings.needs_sweeps, folder=settings.index)


def chosen_views(index: SceneIndex, settings: NuscenesSettings) -> tuple[str, ...]:
    """Return the views to show.

    Raises:
        UsageError: If the rig has none of those that are asked for.
    """
    present = in_order(index.camera_views)
    if not present:
        raise UsageError(
            "Cannot choose cameras",
            rule="no camera of the tables can be used"
            + (f" (the first of {len(index.rejects)} faults: {index.rejects[0].message})" if index.rejects else ""),
            action="Check sensor and calibrated_sensor: pin-hole cameras with a 3x3 camera_intrinsic are needed",
        )
    if settings.views is None:
        return present
    unknown = [view for view in settings.views if view not in present]
    if unknown:
        raise UsageError(
            "Cannot choose cameras",
            rule=f"--cameras must name cameras of the rig, got {', '.join(unknown)}",
            action=f"The rig has {', '.join(present)}",
        )
    return settings.views


def chosen_clip_view(views: Sequence[str], settings: NuscenesSettings) -> str:
    """Return the view of clips.

    Raises:
        UsageError: If the one that is asked for is not shown.
    """
    if settings.clip_camera is None:
        return _CLIP_VIEW if _CLIP_VIEW in views else views[0]
    if settings.clip_camera not in views:
        raise UsageError(
            "Cannot choose the camera of clips",
            rule=f"--clip-camera must be one of the cameras that are used, got {settings.clip_camera}",
            action=f"They are {', '.join(views)}",
        )
    return settings.clip_camera


def _can_files(source: Path, settings: NuscenesSettings) -> Callable[[str], tuple[Path, ...]]:
    """Return what names the CAN bus files of a scene.

    Raises:
        InputNotFoundError: If there is no folder of them, and they are asked for.
    """
    if settings.motion != "can":
        return lambda scene: ()
    from .can_bus import CanBus

    can_bus = CanBus(can_folder(source, settings))
    return lambda scene: tuple(can_bus.files_of(scene))


def _check_clips(settings: NuscenesSettings) -> None:
    """Refuse settings under which no scene could give a clip.

    Raises:
        UsageError: If clips would be too short, or files of them are asked for and PyAV is missing.
    """
    if settings.asked.isdisjoint(CLIP_TASKS):
        return
    if settings.clip_fps is not None:
        from ..driving.clips import frames_per_clip

        frames_per_clip(settings.clip_s, 1 / settings.clip_fps, settings.clip_max_frames)
    if settings.clip_video is not None:
        from ..driving.pyav import import_av

        import_av()


def _unit(
    source: Path,
    index: SceneIndex,
    summary: SceneSummary,
    views: tuple[str, ...],
    clip_view: str,
    place: Place,
    can_files: tuple[Path, ...],
) -> SceneUnit:
    return SceneUnit(
        dataroot=source,
        index=index.path,
        token=summary.token,
        content_sha256=summary.content_sha256,
        name=summary.name,
        views=views,
        clip_view=clip_view,
        classes=tuple(index.classes),
        group=place.group,
        fixed_split=place.fixed_split,
        can_files=can_files,
    )
