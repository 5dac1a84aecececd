"""What a DICOM object is to the converter, by its class, its transfer syntax and what its header describes."""

from __future__ import annotations

from pydicom import Dataset, uid
from pydicom.uid import UID

from domainvl.schema.writer import Severity

from ..headers import frame_count, is_malformed, number_of, standard_name, text_of, transfer_syntax
from ..instance import Kind
from .dicomdir import is_dicomdir, meta_of
from .leaving_out import LeftOut

_LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage (PS3.4 B.5), younger than pydicom's names."""

_ANNOTATIONS: dict[str, Kind] = {
    uid.SegmentationStorage: Kind.SEGMENTATION,
    _LABEL_MAP_SEGMENTATION: Kind.SEGMENTATION,
    uid.RTStructureSetStorage: Kind.STRUCTURE_SET,
    uid.BasicTextSRStorage: Kind.STRUCTURED_REPORT,
    uid.EnhancedSRStorage: Kind.STRUCTURED_REPORT,
    uid.ComprehensiveSRStorage: Kind.STRUCTURED_REPORT,
    uid.Comprehensive3DSRStorage: Kind.STRUCTURED_REPORT,
    uid.ExtensibleSRStorage: Kind.STRUCTURED_REPORT,
    uid.MammographyCADSRStorage: Kind.STRUCTURED_REPORT,
    uid.ChestCADSRStorage: Kind.STRUCTURED_REPORT,
    uid.ColonCADSRStorage: Kind.STRUCTURED_REPORT,
    uid.SimplifiedAdultEchoSRStorage: Kind.STRUCTURED_REPORT,
    uid.KeyObjectSelectionDocumentStorage: Kind.KEY_OBJECTS,
}
"""Classes (PS3.4 B.5) that say something about images. Reports on dose, logs and plans say nothing about any."""

NOT_IMAGERY = {
    uid.SegmentationStorage: "Segmentation Storage",
    _LABEL_MAP_SEGMENTATION: "Label Map Segmentation Storage",
    uid.ParametricMapStorage: "Parametric Map Storage",
    uid.RTDoseStorage: "RT Dose Storage",
}
"""Classes whose pixels show labels or computed quantities, not an examination."""

_WHOLE_SLIDE = (
    uid.VLWholeSlideMicroscopyImageStorage,
    uid.ConfocalMicroscopyTiledPyramidalImageStorage,
)
_TILED = "TILED"
"""Start of DimensionOrganizationType where frames are tiles of one large image (PS3.3 C.7.6.17.3)."""

_SIZE = ("Rows", "Columns")

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_FAMILIES = (
    (f"{_STORAGE}11.", "presentation-state", "says how images are shown"),
    (f"{_STORAGE}9.", "waveform", "holds curves"),
    (f"{_STORAGE}104.", "document", "holds a document"),
)
_NO_PIXELS = (uid.MRSpectroscopyStorage, uid.RawDataStorage)
"""Classes with rows and columns, or without, that hold measurements and no pixels."""


def kind_of(dataset: Dataset) -> Kind | LeftOut:
    """Say what an object is, or why it is nothing to the converter.

    Args:
        dataset: Its header.
    """
    if is_dicomdir(dataset):
        return LeftOut("dicomdir", "it lists files, which are found without it")
    class_uid = class_of(dataset)
    if class_uid in _ANNOTATIONS:
        return _ANNOTATIONS[class_uid]
    for root, reason, what in _FAMILIES:
        if class_uid.startswith(root):
            return LeftOut(reason, f"{_name(class_uid)} {what}, no image")
    if any(is_malformed(dataset, keyword) for keyword in _SIZE):
        return LeftOut("header", "its numbers of rows and columns cannot be read", "Fetch it again", Severity.FAILED)
    if class_uid in _NO_PIXELS or not (number_of(dataset, "Rows") and number_of(dataset, "Columns")):
        return LeftOut("no-image", f"{_name(class_uid)} without rows and columns of pixels holds no image")
    if transfer_syntax(dataset) in uid.MPEGTransferSyntaxes:
        return Kind.VIDEO
    return _whole_slide(dataset, class_uid) or Kind.IMAGE


def class_of(dataset: Dataset) -> str:
    """Return the SOP class UID, from the file meta information where the data set has none; empty for neither."""
    return text_of(dataset, "SOPClassUID") or text_of(meta_of(dataset), "MediaStorageSOPClassUID")


def _name(class_uid: str) -> str:
    return standard_name(UID(class_uid), "an object of a private class") if class_uid else "an object without a class"


def _whole_slide(dataset: Dataset, class_uid: str) -> LeftOut | None:
    tiled = class_uid in _WHOLE_SLIDE or text_of(dataset, "DimensionOrganizationType").startswith(_TILED)
    if not tiled or frame_count(dataset) == 1:
        return None
    return LeftOut(
        "whole-slide",
        f"it is one image in {frame_count(dataset)} tiles, far larger than a model can see at once",
        "Cut out the regions of interest at the magnification that is needed, and convert these",
        Severity.FAILED,
    )
