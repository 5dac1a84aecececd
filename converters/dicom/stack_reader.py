"""Reads the slices of one stack: decode, grey levels, what must not be seen, display; one file open at a time."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue
from pydicom import Dataset, FileDataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from domainvl.errors import ItemError
from domainvl.files import keyed
from domainvl.schema.sample import Source

from ..medical.breast import BreastFacts, breast_box, breast_turn
from ..medical.display import Display, Turn, display_of
from ..medical.geometry import Geometry, plane_of
from ..medical.looks import Look, Rendered
from ..medical.pixel_map import PixelMap
from ..medical.stack import Shown, ShownView
from ..medical.volumes import MaximumProjection
from .calibration import Calibration, spacing_of
from .decode import decode_frame
from .header_questions import MODALITY_CLASSES, header_questions
from .headers import PARSE_ERRORS, frame_header, standard_name, text_of, transfer_syntax, value_of
from .inputs.reading import FileReader
from .instance import FileRef
from .overlays import draw_overlays
from .privacy.burnt_in import crop_box, is_ultrasound, keep_only, ultrasound_boxes
from .privacy.face import BLUR_WARNING, FACE_WARNING, blur_face
from .privacy.handling import PixelHandling
from .rendering import Renderer, Values
from .settings import DicomSettings
from .suv import suv_factor
from .units import SliceRef, StackUnit

CROSS_SECTIONAL = ("CT", "MR", "PT")

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Loaded:
    file: FileRef
    dataset: FileDataset
    sha256: str
    size_bytes: int


class DicomStackReader:
    """Shows the slices of a stack.

    Args:
        unit: The stack.
        settings: The converter's settings.
        files: Reads files.
        handling: Decides about text in the pixels, and keeps count of what was done to pixels.
    """

    def __init__(self, unit: StackUnit, settings: DicomSettings, files: FileReader, handling: PixelHandling) -> None:
        self._unit = unit
        self._settings = settings
        self._files = files
        self._handling = handling
        self._renderer = Renderer(
            Look.parse(
                settings.windows, settings.pack, settings.percentiles, suv=settings.suv, overlays=settings.overlays
            )
        )
        self._loaded: _Loaded | None = None
        self.attribute_count = 0
        """Attributes of the allow-list that the headers have, at most."""

    def load(self, file: FileRef) -> FileDataset:
        """Read a file whole.

        Raises:
            ItemError: If it cannot be read any more.
        """
        return self._load(file).dataset

    def show(self, place: int) -> Shown:
        """Read and show a slice."""
        ref = self._unit.slices[place]
        self._handling.check([ref])
        loaded = self._load(ref.file)
        header = frame_header(loaded.dataset, ref.frame)
        stored = decode_frame(loaded.dataset, ref.frame)
        rendered = self._renderer.frame(header, stored, scale=self._scale(loaded.dataset))
        inked = False
        if self._settings.overlays:
            drawn = [draw_overlays(loaded.dataset, ref.frame, view.pixels) for view in rendered.views]
            pairs = list(zip(rendered.views, drawn, strict=True))
            inked = any(not np.array_equal(view.pixels, pixels) for view, pixels in pairs)
            rendered = replace(rendered, views=tuple(replace(view, pixels=pixels) for view, pixels in pairs))
        return self._shown([ref], loaded, header, rendered, inked=inked)

    def project(self, places: Sequence[int]) -> Shown:
        """Show the maximum-intensity projection of some slices; what holds for all of them is read from the first."""
        refs = [self._unit.slices[place] for place in places]
        self._handling.check(refs)
        projection = MaximumProjection()
        for ref in refs:
            loaded = self._load(ref.file)
            header = frame_header(loaded.dataset, ref.frame)
            scale = self._scale(loaded.dataset)
            values = self._renderer.values(header, decode_frame(loaded.dataset, ref.frame), scale=scale)
            projection.add(values.values, values.background)
        first = refs[0]
        loaded = self._load(first.file)
        header = frame_header(loaded.dataset, first.frame)
        rendered = self._renderer.of_values(header, Values(*projection.result(), scale))
        of: list[JsonValue] = [ref.index for ref in refs]
        rendered = replace(rendered, details={**rendered.details, "projection": {"maximum_of": of}})
        return self._shown(refs, loaded, header, rendered, inked=False)

    def _load(self, file: FileRef) -> _Loaded:
        # Frames of one file follow each other, so that it is read once.
        if self._loaded is None or self._loaded.file != file:
            content = self._files.read(file)
            self._loaded = _Loaded(file, _parse(content), hashlib.sha256(content).hexdigest(), len(content))
        return self._loaded

    def _scale(self, dataset: Dataset) -> float | None:
        return suv_factor(dataset) if self._settings.suv and self._unit.modality == "PT" else None

    def _shown(
        self, refs: Sequence[SliceRef], loaded: _Loaded, header: Dataset, rendered: Rendered, *, inked: bool
    ) -> Shown:
        """Bring what the first of some slices has said, or their projection, to how it is written."""
        ref = refs[0]
        self.attribute_count = max(self.attribute_count, len(header))
        geometry, calibration = ref.place.geometry, spacing_of(header)
        plane = plane_of_image(header, geometry)
        pictures: Sequence[Pixels] = [view.pixels for view in rendered.views]
        rows, columns = pictures[0].shape[:2]
        cut: tuple[int, int, int, int] = (0, 0, columns, rows)
        if is_ultrasound(header) and (boxes := ultrasound_boxes(header)):
            pictures = [keep_only(picture, boxes, colour=picture.ndim == 3) for picture in pictures]
            x_min, y_min, x_max, y_max = crop_box(boxes)
            cut = (int(x_min), int(y_min), int(np.ceil(x_max)), int(np.ceil(y_max)))
            pictures = [picture[cut[1] : cut[3], cut[0] : cut[2]] for picture in pictures]
        pictures, face = self._without_face(pictures, geometry, calibration)
        display = self._display(pictures[0], header, geometry, plane, calibration)
        shown = [display.apply(picture) for picture in pictures]
        is_cut = cut != (0, 0, columns, rows)
        self._handling.take(
            shown,
            refs,
            suspected=any(thing.suspected for thing in refs),
            cropped=is_cut,
            blurred=face == BLUR_WARNING,
            inked=inked,
        )
        views = tuple(
            ShownView(view.name or None, pixels, {**view.details, "rows": pixels.shape[0], "columns": pixels.shape[1]})
            for view, pixels in zip(rendered.views, shown, strict=True)
        )
        details = self._details(ref, header, rendered, display, calibration, cut if is_cut else None)
        sha256 = keyed(loaded.sha256, self._unit.source_key)
        source = Source(uri=ref.source, sha256=sha256, size_bytes=loaded.size_bytes, details=details)
        return Shown(
            views=views,
            map=PixelMap.cropping(cut).then(display.map),
            source=source,
            spacing_mm=display.spacing_mm if calibration.spacing_mm is not None else None,
            can_measure=calibration.can_measure,
            # A mammogram that was turned to face left does not show its side any more.
            questions=tuple(header_questions(header, plane, shows_side=not self._faces_left)),
            warnings=tuple(self._warnings(rendered, calibration, header, face)),
        )

    def _without_face(
        self, pictures: Sequence[Pixels], geometry: Geometry | None, calibration: Calibration
    ) -> tuple[Sequence[Pixels], str | None]:
        """Blur faces where that is asked for and possible, and say what became of them."""
        if not self._unit.shows_face:
            return pictures, None
        if not self._settings.blur_faces or geometry is None or calibration.spacing_mm is None:
            return pictures, FACE_WARNING
        blurred = [blur_face(picture, geometry, calibration.spacing_mm) for picture in pictures]
        done = [picture for picture in blurred if picture is not None]
        return (done, BLUR_WARNING) if len(done) == len(pictures) else (pictures, FACE_WARNING)

    @property
    def _faces_left(self) -> bool:
        return self._settings.left_facing and self._unit.modality == "MG"

    def _display(
        self, picture: Pixels, header: Dataset, geometry: Geometry | None, plane: str | None, calibration: Calibration
    ) -> Display:
        settings = self._settings
        turn = Turn() if settings.display == "stored" else None
        if self._faces_left:
            turn = breast_turn(_breast_facts(header)) or turn
        display = display_of(
            picture.shape[0],
            picture.shape[1],
            geometry,
            plane,
            calibration.spacing_mm,
            keep_aspect=settings.keep_aspect,
            turn=turn,
            pixel_shape=calibration.pixel_shape,
        )
        if settings.crop_breast and self._unit.modality == "MG":
            display = display.cropped(breast_box(display.apply(picture)))
        return display

    def _warnings(
        self, rendered: Rendered, calibration: Calibration, header: Dataset, face: str | None
    ) -> Iterator[str]:
        yield from rendered.warnings
        if calibration.warning is not None:
            yield calibration.warning
        if text_of(header, "BurnedInAnnotation") == "YES":
            yield "the header says that text is burnt into the pixels; it may name a person"
        if face is not None:
            yield face
        if self._faces_left and breast_turn(_breast_facts(header)) is None:
            yield "the header does not say where the chest wall is: the image was not turned to face left"

    def _details(
        self,
        ref: SliceRef,
        header: Dataset,
        rendered: Rendered,
        display: Display,
        calibration: Calibration,
        cut_px: tuple[int, int, int, int] | None,
    ) -> dict[str, JsonValue]:
        """Collect technical facts; of free text, only terms that the standard defines."""
        unit = self._unit
        modality = text_of(header, "Modality")
        details: dict[str, JsonValue] = {
            "modality": modality if modality in MODALITY_CLASSES else "other",
            "photometric_interpretation": text_of(header, "PhotometricInterpretation"),
            "transfer_syntax": standard_name(transfer_syntax(header) or UID(""), "private"),
            "slice_index": ref.index,
            **rendered.details,
        }
        if calibration.spacing_mm is not None:
            details["pixel_spacing_mm"] = list(calibration.spacing_mm)
            details["spacing_from"] = calibration.kind.value
        elif calibration.pixel_shape is not None:
            details["pixel_aspect_ratio"] = list(calibration.pixel_shape)
        if cut_px is not None:
            details["cut_px"] = list(cut_px)
        if described := display.describe():
            details["display"] = described
        details["geometry"] = {"status": unit.status, **_tilt(unit)}
        if unit.split_by:
            details["series_split_by"] = list(unit.split_by)
        if unit.spacing_mm is not None:
            details["spacing_between_slices_mm"] = round(unit.spacing_mm, 4)
        if ref.position_mm is not None:
            details["position_mm"] = ref.position_mm
        if ref.frame_count > 1:
            details |= {"frame": ref.frame + 1, "frame_count": ref.frame_count}
        if unit.study_date is not None:
            details["study_date_shifted"] = unit.study_date
        return details


def _tilt(unit: StackUnit) -> dict[str, JsonValue]:
    return {"tilt_deg": round(unit.tilt_deg, 2)} if unit.tilt_deg else {}


def _parse(content: bytes) -> FileDataset:
    try:
        # The header pass has looked at the start; files without preamble are read all the same.
        return dcmread(io.BytesIO(content), force=True)
    except (InvalidDicomError, *PARSE_ERRORS) as error:
        raise ItemError(
            "Cannot read a DICOM file",
            reason="read",
            rule=f"it could be read when the headers were, and now cannot ({type(error).__name__})",
            action="Fetch the file again; it may have been cut off",
        ) from error


def plane_of_image(header: Dataset, geometry: Geometry | None) -> str | None:
    """Name the plane of a cross-sectional image; None where there is none to name."""
    modality = text_of(header, "Modality")
    if modality not in CROSS_SECTIONAL or geometry is None:
        return None
    if text_of(header, "AnatomicalOrientationType") == "QUADRUPED":
        return None
    image_type = [str(term) for term in value_of(header, "ImageType") or ()]
    # A CT localizer (PS3.3 C.8.2.1.1.1) is a projection through the whole body, and so is a PROJECTION IMAGE.
    if (modality == "CT" and "LOCALIZER" in image_type) or "PROJECTION IMAGE" in image_type:
        return None
    return plane_of(geometry)


def _breast_facts(header: Dataset) -> BreastFacts:
    orientation: Any = value_of(header, "PatientOrientation") or ()
    return BreastFacts(
        laterality=text_of(header, "ImageLaterality") or text_of(header, "Laterality"),
        view=text_of(header, "ViewPosition"),
        patient_orientation=tuple(str(side) for side in orientation),
        horizontal_flip=text_of(header, "FieldOfViewHorizontalFlip"),
    )
