"""Finds the scenes of a nuScenes data root and converts them; a unit is one scene."""

from __future__ import annotations

from pathlib import Path

from domainvl.conversion import Plan, UnitResult
from domainvl.errors import ItemError, NothingToDoError, UsageError
from domainvl.schema import ImageStore, Provenance, Reject, Sample, Severity

from .scenes import SceneUnit, frame_name, read_scenes
from .settings import NuscenesSettings
from .tables import table_path

_TABLES_USED = (
    "calibrated_sensor",
    "category",
    "ego_pose",
    "instance",
    "sample",
    "sample_annotation",
    "sample_data",
    "scene",
    "sensor",
    "visibility",
)
_TABLE_FOLDERS = ("v1.0-*", "annotation")
"""Of nuScenes and data sets in its layout; the second is that of T4 data sets (github.com/tier4/t4-devkit)."""


class NuscenesConverter:
    """Converts key frames of nuScenes and of data sets in its layout."""

    name = "nuscenes"
    summary = "nuScenes tables and camera images to questions about six views and boxes in each"
    settings_type = NuscenesSettings
    licence: str | None = None

    def plan(self, source: Path, settings: NuscenesSettings) -> Plan[SceneUnit]:
        """Read and join the tables; no image is opened.

        The manifest names the tables as sources; each image's hash stands in its samples.

        Raises:
            UsageError: If there is no folder of tables, or several and none is named, or a table is unreadable.
            NothingToDoError: If no key frame could be used.
        """
        tables = _find_tables(source, settings.version)
        units, rejects = read_scenes(source, tables, settings.views)
        if not units:
            rule = "no key frame could be used"
            if rejects:
                rule += f", {len(rejects)} were left out (the first: {rejects[0].message})"
            raise NothingToDoError("Nothing to convert", where=tables, rule=rule, action="Check tables and --cameras")
        if not any(frame.cuboids for unit in units for frame in unit.frames):
            raise NothingToDoError(
                "Nothing to convert",
                where=table_path(tables, "sample_annotation"),
                rule="no key frame has an annotation, so nothing is known that could be asked",
                action="Take a version with annotations, such as v1.0-mini or v1.0-trainval",
            )
        paths = {f"{tables.name}/{table}.json": table_path(tables, table) for table in _TABLES_USED}
        return Plan(units, {uri: path for uri, path in paths.items() if path.is_file()}, rejects)

    def convert(
        self, unit: SceneUnit, settings: NuscenesSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Convert the frames of one scene; a frame that cannot be used is rejected alone."""
        # Here, so that the converter can be listed without loading shapely.
        from .samples import SceneJob

        samples: list[Sample] = []
        rejects: list[Reject] = []
        job = SceneJob(unit, settings, images, provenance)
        for frame in unit.frames:
            name = frame_name(unit.name, frame.index)
            try:
                asked = job.samples_of(frame)
            except ItemError as error:
                rejects.append(Reject(name, "convert", error.reason, str(error), error.action))
                continue
            samples += asked
            if not asked:
                why = "No question about the key frame: no class is known well enough to be asked about"
                rejects.append(Reject(name, "convert", "no-question", why, severity=Severity.SKIPPED))
        return UnitResult(samples, rejects)

    def unit_name(self, unit: SceneUnit) -> str:
        """Name a scene."""
        return unit.name

    def unit_files(self, unit: SceneUnit) -> list[Path]:
        """Name the images of a scene; what the tables say about it stands in the unit."""
        return [unit.dataroot / shot.filename for frame in unit.frames for shot in frame.shots]


def _find_tables(source: Path, version: str | None) -> Path:
    """Return the folder of tables.

    Raises:
        UsageError: If it is not clear which.
    """
    found = sorted({path for pattern in _TABLE_FOLDERS for path in source.glob(pattern) if path.is_dir()})
    names = [path.name for path in found]
    if version is not None:
        if version in names:
            return source / version
        rule = f"there is no folder of tables {version!r}"
    elif len(found) == 1:
        return found[0]
    else:
        rule = "there must be one folder of tables, v1.0-*, or one must be named"
    present = f"present are: {', '.join(names)}" if names else "none is present"
    action = "Name one with --version" if names else "Name the data root, the folder that holds v1.0-* and samples"
    raise UsageError("Cannot find the tables", where=source, rule=f"{rule}; {present}", action=action)
