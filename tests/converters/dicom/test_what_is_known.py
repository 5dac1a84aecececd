"""What annotations and tables of labels do not say is not asked: end to end."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_annotations import write_segmentation, write_structures
from dicom_series import make_series, numbered, save, slice_number

from domainvl.errors import UsageError
from domainvl.schema import Task


def said(samples):
    return {(slice_number(sample), sample.answer.text) for sample in samples}


def test_med_40_a_segmentation_of_one_phase_is_not_given_to_the_other(tmp_path, convert_dicom):
    """Two phases of three slices in one series; the first is segmented, and has something on its second slice."""
    phases = [
        make_series(numbered(3, first=10 * phase), root=f"1.5.{phase}", TemporalPositionIdentifier=phase)
        for phase in (1, 2)
    ]
    for number, dataset in enumerate([*phases[0], *phases[1]]):
        save(dataset, tmp_path / "in" / f"{number}")
    masks = np.zeros((3, *phases[0][0].pixel_array.shape, 1), bool)
    masks[1, 5:10, 5:10] = True
    write_segmentation(tmp_path / "in" / "seg", phases[0], masks, ["Liver"])
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="presence")
    assert said(samples) == {("0000", "no"), ("0001", "yes"), ("0002", "no")}
    assert [reject["reason"] for reject in rejects] == ["no-question"] * 3
    for number in range(3):
        (tmp_path / "in" / f"{number}").unlink()
    _, _, rejects = convert_dicom(tmp_path / "in", tasks="presence,modality")
    assert [reject["reason"] for reject in rejects] == ["annotation-unmatched"]


def test_med_41_a_structure_set_that_names_every_slice_denies_nothing(tmp_path, convert_dicom):
    slices = make_series(numbered(4))
    for number, dataset in enumerate(slices):
        save(dataset, tmp_path / "in" / f"{number}")
    x, y, z = (float(value) for value in slices[1].ImagePositionPatient)
    ring = np.array([[x + 2, y + 2, z], [x + 8, y + 2, z], [x + 8, y + 8, z], [x + 2, y + 8, z]])
    path = write_structures(tmp_path / "in" / "rt", slices[1], [("Cord", [ring])])
    dataset = pydicom.dcmread(path)
    named = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    named.ContourImageSequence = []
    for each in slices:
        image = pydicom.Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = each.SOPClassUID, each.SOPInstanceUID
        named.ContourImageSequence.append(image)
    dataset.save_as(path)
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="presence,counting,grounding")
    assert {(slice_number(sample), sample.task) for sample in samples} == {
        ("0001", Task.PRESENCE), ("0001", Task.GROUNDING)}  # fmt: skip


def test_med_40_of_a_segment_of_both_kidneys_only_the_presence_is_asked(tmp_path, convert_dicom):
    slices = make_series(numbered(1, 40, 40))
    masks = np.zeros((1, 40, 40, 1), bool)
    masks[0, 5:15, 5:15] = masks[0, 5:15, 25:35] = True
    save(slices[0], tmp_path / "in" / "a")
    write_segmentation(tmp_path / "in" / "seg", slices, masks, ["Kidney"])
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="presence,counting,grounding,region,detection")
    assert [sample.task for sample in samples] == [Task.PRESENCE]
    tasks = "counting,grounding,detection"
    _, samples, _ = convert_dicom(tmp_path / "in", tasks=tasks, components=True)
    assert [sample.task for sample in samples] == [Task.COUNTING, Task.DETECTION]
    assert samples[0].answer.count == 2


def test_a_table_and_a_segmentation_that_spell_a_class_in_two_ways_do_not_deny_each_other(tmp_path, convert_dicom):
    slices = make_series(numbered(2, 40, 40))
    for number, dataset in enumerate(slices):
        save(dataset, tmp_path / "in" / f"{number}")
    masks = np.zeros((2, 40, 40, 1), bool)
    masks[0, 5:15, 5:15] = True
    write_segmentation(tmp_path / "in" / "seg", slices, masks, ["Liver"])
    labels = tmp_path / "labels.csv"
    header = "sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px\n"
    labels.write_text(header + "".join(f"{each.SOPInstanceUID},liver,5,5,15,15\n" for each in slices))
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="presence", labels=labels)
    assert said(samples) == {("0000", "yes"), ("0001", "yes")}
    assert {thing.label for sample in samples for thing in sample.objects} == {"liver"}


def test_med_60_columns_are_asked_for_where_they_are_named(tmp_path, convert_dicom):
    (only,) = make_series(numbered(1))
    save(only, tmp_path / "in" / "a")
    labels = tmp_path / "labels.csv"
    labels.write_text(f"sop_instance_uid,label,age,mrn\n{only.SOPInstanceUID},nevus,44,P1\n")
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="label", labels=labels, properties="Age")
    assert [sample.answer.text for sample in samples] == ["yes", "44"]
    assert [reject["message"] for reject in rejects] == ["1 columns are not used: mrn"]
    with pytest.raises(UsageError, match="--properties"):
        convert_dicom(tmp_path / "in", tasks="label", properties="age")
