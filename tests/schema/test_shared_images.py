"""Equal images of different groups are counted; those of one group are none of its business."""

from __future__ import annotations

from builders import make_image, make_sample

from domainvl.schema import Split
from domainvl.schema.record import to_record
from domainvl.schema.shared_images import SharedImages


def notes(*samples):
    shared = SharedImages()
    for number, (group, split, pixels) in enumerate(samples):
        image = make_image().model_copy(update={"pixel_sha256": pixels})
        shared.see(to_record(make_sample(f"s{number}", images=[image], group=group, split=split)))
    return list(shared.notes())


def test_med_70_equal_images_of_two_patients_are_reported():
    samples = [("a", Split.TRAIN, "1"), ("b", Split.TRAIN, "1"), ("b", Split.TRAIN, "2"), ("c", Split.TEST, "2")]
    (note,) = notes(*samples, ("d", Split.VAL, "2"))
    assert note.startswith("2 images with the same pixels lie in several groups, 1 of them in several splits")


def test_med_70_equal_images_of_one_patient_are_not():
    assert notes(("a", Split.TRAIN, "1"), ("a", Split.TRAIN, "1"), ("b", Split.TEST, "2")) == []
