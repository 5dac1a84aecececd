from __future__ import annotations

import io

import numpy as np
import pydicom
from pydicom.data import get_testdata_file

from domainvl.converters.dicom.annotations.references import references_of


def test_med_40_segmentations_name_their_series_and_images(kit):
    images = kit.make_series(4)
    seg = kit.make_seg(images[1:3], np.ones((2, 12, 10), bool))
    file = io.BytesIO()
    seg.save_as(file)
    header = pydicom.dcmread(io.BytesIO(file.getvalue()), stop_before_pixels=True)
    found = references_of(header)
    assert found.series_uids == {"1.2.3.3"}
    assert found.sop_uids == {"1.2.3.4.2", "1.2.3.4.3"}
    # Some name their images for each frame alone.
    del header.ReferencedSeriesSequence
    assert references_of(header).sop_uids == {"1.2.3.4.2", "1.2.3.4.3"}


def test_med_41_structure_sets(real_data):
    folder = real_data / "medical/dicompyler__dicompyler-core/tests/testdata/example_data"
    found = references_of(pydicom.dcmread(folder / "rtss.dcm", stop_before_pixels=True))
    image = pydicom.dcmread(folder / "ct.0.dcm", stop_before_pixels=True)
    assert found.series_uids == {image.SeriesInstanceUID}
    assert image.SOPInstanceUID in found.sop_uids
    assert len(found.sop_uids) == 98


def test_med_42_reports(real_data):
    folder = real_data / "medical/ImagingDataCommons__highdicom/data/test_files"
    report = pydicom.dcmread(folder / "sr_document.dcm")
    image = pydicom.dcmread(folder / "ct_image.dcm")
    found = references_of(report)
    assert (found.series_uids, found.sop_uids) == ({image.SeriesInstanceUID}, {image.SOPInstanceUID})
    # Some name their images in the content tree alone.
    del report.PertinentOtherEvidenceSequence
    assert references_of(report).sop_uids == {image.SOPInstanceUID}


def test_images_name_nothing():
    header = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    assert references_of(header) == references_of(pydicom.Dataset())
    assert not references_of(header).sop_uids


def test_unreadable_sequences_have_no_items():
    dataset = pydicom.Dataset()
    tag = pydicom.tag.Tag("ReferencedSeriesSequence")
    dataset[tag] = pydicom.dataelem.RawDataElement(tag, "LO", 4, b"text", 0, False, True)
    assert not references_of(dataset).series_uids
