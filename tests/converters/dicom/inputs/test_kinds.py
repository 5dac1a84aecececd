from __future__ import annotations

import pytest
from pydicom import uid

from domainvl.converters.dicom.inputs.kinds import kind_of
from domainvl.converters.dicom.inputs.leaving_out import LeftOut
from domainvl.converters.dicom.instance import Kind


@pytest.mark.parametrize(
    ("class_uid", "kind"),
    [
        (uid.CTImageStorage, Kind.IMAGE),
        (uid.ParametricMapStorage, Kind.IMAGE),
        (uid.RTDoseStorage, Kind.IMAGE),
        (uid.SecondaryCaptureImageStorage, Kind.IMAGE),
        (uid.SegmentationStorage, Kind.SEGMENTATION),
        ("1.2.840.10008.5.1.4.1.1.66.7", Kind.SEGMENTATION),
        (uid.RTStructureSetStorage, Kind.STRUCTURE_SET),
        (uid.BasicTextSRStorage, Kind.STRUCTURED_REPORT),
        (uid.Comprehensive3DSRStorage, Kind.STRUCTURED_REPORT),
        (uid.MammographyCADSRStorage, Kind.STRUCTURED_REPORT),
        (uid.KeyObjectSelectionDocumentStorage, Kind.KEY_OBJECTS),
        ("1.2.3.4", Kind.IMAGE),
        (None, Kind.IMAGE),
    ],
)
def test_kinds_follow_from_the_class(dataset, class_uid, kind):
    assert kind_of(dataset(SOPClassUID=class_uid)) is kind


@pytest.mark.parametrize("syntax", [uid.MPEG2MPML, uid.MPEG2MPHL, uid.MPEG4HP41, uid.MPEG4HP42STEREO, uid.HEVCMP51])
def test_med_08_videos_are_known_by_their_transfer_syntax(dataset, syntax):
    made = dataset(SOPClassUID=uid.VideoEndoscopicImageStorage)
    made.file_meta.TransferSyntaxUID = syntax
    assert kind_of(made) is Kind.VIDEO


@pytest.mark.parametrize(
    ("class_uid", "reason"),
    [
        (uid.GrayscaleSoftcopyPresentationStateStorage, "presentation-state"),
        (uid.TwelveLeadECGWaveformStorage, "waveform"),
        (uid.EncapsulatedPDFStorage, "document"),
        (uid.MRSpectroscopyStorage, "no-image"),
        (uid.RawDataStorage, "no-image"),
        (uid.XRayRadiationDoseSRStorage, "no-image"),
        (uid.SurfaceSegmentationStorage, "no-image"),
        (uid.RTPlanStorage, "no-image"),
        ("1.2.3.4", "no-image"),
        (None, "no-image"),
    ],
)
def test_med_50_what_is_no_image_is_named_by_its_class(dataset, class_uid, reason):
    sized = class_uid in (uid.MRSpectroscopyStorage, uid.RawDataStorage)
    made = dataset(SOPClassUID=class_uid, **({} if sized else {"Rows": None, "Columns": None}))
    if class_uid is None:
        del made.file_meta.MediaStorageSOPClassUID
    left_out = kind_of(made)
    assert isinstance(left_out, LeftOut)
    assert left_out.reason == reason
    if class_uid and not class_uid.startswith("1.2.3"):
        assert uid.UID(class_uid).name in left_out.message
    assert "1.2.3.4" not in left_out.message


def test_the_class_may_stand_in_the_file_meta_information_alone(dataset):
    made = dataset(SOPClassUID=None)
    made.file_meta.MediaStorageSOPClassUID = uid.SegmentationStorage
    assert kind_of(made) is Kind.SEGMENTATION


@pytest.mark.parametrize(
    ("class_uid", "frames", "organization", "kind"),
    [
        (uid.VLWholeSlideMicroscopyImageStorage, 1, None, Kind.IMAGE),
        (uid.VLWholeSlideMicroscopyImageStorage, None, None, Kind.IMAGE),
        (uid.VLWholeSlideMicroscopyImageStorage, 25, None, "whole-slide"),
        (uid.ParametricMapStorage, 25, "TILED_FULL", "whole-slide"),
        (uid.ParametricMapStorage, 25, "TILED_SPARSE", "whole-slide"),
        (uid.ParametricMapStorage, 25, "3D", Kind.IMAGE),
    ],
)
def test_tiled_slides_are_left_out_with_a_way_out(dataset, class_uid, frames, organization, kind):
    outcome = kind_of(dataset(SOPClassUID=class_uid, NumberOfFrames=frames, DimensionOrganizationType=organization))
    if isinstance(kind, Kind):
        assert outcome is kind
    else:
        assert outcome.reason == kind
        assert "25 tiles" in outcome.message
        assert outcome.action
