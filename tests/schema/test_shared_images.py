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


def test_an_image_counts_as_those_that_it_was_made_of():
    shared = SharedImages()
    views = make_image().model_copy(update={"pixel_sha256": "1"})
    source = views.source.model_copy(update={"details": {"made_of_pixel_sha256": ["0", "1"]}})
    stitched = views.model_copy(update={"pixel_sha256": "2", "source": source})
    shared.see(to_record(make_sample("s1", images=[views], group="scene", split=Split.TRAIN)))
    shared.see(to_record(make_sample("s2", images=[stitched], group="token", split=Split.TEST)))
    (note,) = shared.notes()
    assert note.startswith("1 images with the same pixels lie in several groups, 1 of them in several splits")


def test_a_solved_example_belongs_to_its_own_group():
    shared = SharedImages()
    shown = make_image()
    source = shown.source.model_copy(update={"details": {"few_shot_example": "s1"}})
    example = shown.model_copy(update={"source": source})
    shared.see(to_record(make_sample("s1", images=[shown], group="a", split=Split.TRAIN)))
    shared.see(to_record(make_sample("s2", images=[example], group="b", split=Split.TEST)))
    assert list(shared.notes()) == []


def test_med_70_equal_images_of_one_patient_are_not():
    assert notes(("a", Split.TRAIN, "1"), ("a", Split.TRAIN, "1"), ("b", Split.TEST, "2")) == []
