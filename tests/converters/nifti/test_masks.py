"""Masks on volumes: the expected boxes are worked out by hand from voxel ranges and the customary display."""

import nibabel
import numpy as np
import pytest

from domainvl.converters.medical.findings import to_objects

NAMES = {1: "organ", 2: "lesion"}
VOLUME = np.zeros((10, 8, 4), np.int16)


def labels():
    voxels = np.zeros(VOLUME.shape, np.uint8)
    voxels[2:5, 1:3, 1] = 1  # x 2..4, y 1..2
    voxels[7, 6, 1:3] = 2
    return voxels


def objects(found, place):
    truth = found.known.truths[place]
    placed, rejects = to_objects(truth, found.shown[place].map, key="k")
    assert not rejects
    return {thing.label: thing.box_px for thing in placed}


def test_med_40_boxes_by_hand_after_flips(tmp_path, write, opened):
    """x and y of RAS run to the left and up on the screen: [2, 5) of 10 becomes [5, 8), and [1, 3) of 8 [5, 7)."""
    found = opened(write(tmp_path / "a.nii", VOLUME), masks=[(write(tmp_path / "m.nii.gz", labels()), NAMES)])

    assert objects(found, 1) == {"organ": (5, 5, 8, 7), "lesion": (2, 1, 3, 2)}
    assert objects(found, 2) == {"lesion": (2, 1, 3, 2)}
    assert [truth.classes for truth in found.known.truths] == [("lesion", "organ")] * 4
    assert found.known.truths[0].findings == ()
    organ, lesion = found.known.truths[1].findings
    assert (organ.thing, organ.area_px, organ.box_px) == ("mask-1/1", 6, (2, 1, 5, 3))
    assert (lesion.thing, found.known.truths[2].findings[0].thing) == ("mask-1/2", "mask-1/2")
    assert found.known.rejects == found.known.warnings == []


@pytest.mark.parametrize(
    ("plane", "place", "box"),
    [
        ("coronal", 1, (2, 1, 3, 3)),  # y 6 is the second from the front; z 1..2 of 4 from the top
        ("sagittal", 2, (1, 1, 2, 3)),  # x 7 is the third from the right; y 6 the second from the front
    ],
)
def test_med_40_boxes_in_the_other_planes(tmp_path, write, opened, plane, place, box):
    path = write(tmp_path / "a.nii", VOLUME)
    found = opened(path, masks=[(write(tmp_path / "m.nii", labels()), NAMES)], plane=plane)

    assert objects(found, place)["lesion"] == box


def test_med_40_boxes_grow_with_square_pixels(tmp_path, write, opened):
    affine = np.diag([1.0, 2, 5, 1])
    mask = write(tmp_path / "m.nii", labels(), affine)
    found = opened(write(tmp_path / "a.nii", VOLUME, affine), masks=[(mask, NAMES)])

    assert objects(found, 1) == {"organ": (5, 10, 8, 14), "lesion": (2, 2, 3, 4)}


@pytest.mark.parametrize("codes", ["LPS", "PIR", "SAL", "IRA"])
def test_med_40_a_mask_with_other_axes_is_the_same_mask(tmp_path, write, opened, codes):
    image = nibabel.Nifti1Image(labels(), np.eye(4))
    ornt = nibabel.orientations.axcodes2ornt(codes)
    turned = image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), ornt))
    path = write(tmp_path / "a.nii", VOLUME)

    same = opened(path, masks=[(write(tmp_path / "m.nii", labels()), NAMES)])
    other = opened(path, masks=[(write(tmp_path / "n.nii.gz", turned.dataobj, turned.affine), NAMES)])

    assert other.known == same.known


def test_med_40_a_finer_mask_is_brought_to_the_volume(tmp_path, write, opened):
    """Each voxel of the volume is 2 x 2 x 2 of the mask; corners agree, so that centres lie on their borders or in."""
    fine = labels().repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = -0.25
    path = write(tmp_path / "a.nii", VOLUME)

    found = opened(path, masks=[(write(tmp_path / "m.nii", fine, affine), NAMES)])

    assert objects(found, 1) == {"organ": (5, 5, 8, 7), "lesion": (2, 1, 3, 2)}
    assert [truth.classes for truth in found.known.truths] == [("lesion", "organ")] * 4


def test_med_40_a_coarser_mask_is_brought_to_the_volume(tmp_path, write, opened):
    """Each voxel of the mask is 2 x 2 x 2 of the volume; the second in x and y, the first in z, is set."""
    coarse = np.zeros((5, 4, 2), np.uint8)
    coarse[1, 1, 0] = 2
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = 0.5
    path = write(tmp_path / "a.nii", VOLUME)

    found = opened(path, masks=[(write(tmp_path / "m.nii", coarse, affine), NAMES)])

    assert [objects(found, place) for place in range(4)] == [{"lesion": (6, 4, 8, 6)}] * 2 + [{}] * 2


def test_med_40_where_a_mask_does_not_reach_nothing_was_searched_for(tmp_path, write, opened):
    """The mask covers slices 1 and 2 only."""
    affine = np.eye(4)
    affine[2, 3] = 1
    mask = write(tmp_path / "m.nii", labels()[:, :, 1:3], affine)
    found = opened(write(tmp_path / "a.nii", VOLUME), masks=[(mask, NAMES)])

    assert [truth and truth.classes for truth in found.known.truths] == [None, *[("lesion", "organ")] * 2, None]
    assert objects(found, 1)["organ"] == (5, 5, 8, 7)


def test_med_40_half_a_slice_tells_of_no_absence(tmp_path, write, opened):
    mask = write(tmp_path / "m.nii", labels()[:6])
    found = opened(write(tmp_path / "a.nii", VOLUME), masks=[(mask, NAMES)])

    assert found.known.truths[1].classes == ()
    assert objects(found, 1) == {"organ": (5, 5, 8, 7)}
    assert found.known.truths[0] is None


def without_codes(image):
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)


def test_without_affines_equal_grids_are_taken_as_one(tmp_path, write, opened):
    mask = write(tmp_path / "m.nii", labels(), change=without_codes)
    found = opened(write(tmp_path / "a.nii", VOLUME), masks=[(mask, NAMES)])

    assert objects(found, 1)["organ"] == (5, 5, 8, 7)
    assert found.known.warnings == [
        "mask-1: it or its volume does not say where voxels lie: they are taken as one grid"
    ]


def reasons(found):
    return [(reject.input, reject.reason) for reject in found.known.rejects]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: (labels()[:6], {"change": without_codes}), "mask-grid"),
        (lambda: (labels(), {"affine": np.array([[1.0, 0, 0, 99], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])}),
         "mask-off-volume"),
        (lambda: (labels() * 1.5, {}), "mask-values"),
        (lambda: (np.arange(10 * 80 * 10).reshape(10, 80, 10).astype(np.int32), {}), "mask-values"),
        (lambda: (np.stack([labels()] * 3, axis=-1), {}), "mask-dimensions"),
        (lambda: (labels().astype(np.complex64), {}), "data-type"),
    ],
)  # fmt: skip
def test_masks_that_cannot_be_used(tmp_path, write, opened, make, reason):
    voxels, options = make()
    mask = write(tmp_path / "m.nii", voxels, **options)
    found = opened(write(tmp_path / "a.nii", VOLUME), masks=[(mask, NAMES)])

    assert reasons(found) == [("patient-0001/file-0001 mask-1", reason)]
    assert found.known.truths == [None] * 4
    assert len(found.pixels) == 4


def test_a_damaged_mask_leaves_the_volume_as_it_is(tmp_path, write, opened):
    mask = write(tmp_path / "m.nii.gz", labels())
    mask.write_bytes(mask.read_bytes()[:-20])
    found = opened(write(tmp_path / "a.nii", VOLUME), masks=[(mask, NAMES)])

    assert reasons(found) == [("patient-0001/file-0001 mask-1", "truncated")]
    assert len(found.pixels) == 4


def test_a_map_of_probabilities_is_cut_at_one_half(tmp_path, write, opened):
    voxels = np.zeros(VOLUME.shape, np.float32)
    voxels[2:5, 1:3, 1] = 0.5
    voxels[5:, 1:3, 1] = 0.49
    found = opened(write(tmp_path / "a.nii", VOLUME), masks=[(write(tmp_path / "m.nii", voxels), NAMES)])

    assert objects(found, 1) == {"organ": (5, 5, 8, 7)}
    assert found.known.warnings == ["mask-1: it is a map of probabilities: voxels of at least one half are taken as 1"]


def test_labels_that_were_saved_as_numbers_with_a_scale(tmp_path, write, opened):
    voxels = labels().astype(np.float32) + np.float32(1e-4)
    voxels[0, 0, 0] = np.nan
    found = opened(write(tmp_path / "a.nii", VOLUME), masks=[(write(tmp_path / "m.nii", voxels), NAMES)])

    assert objects(found, 1) == {"organ": (5, 5, 8, 7), "lesion": (2, 1, 3, 2)}
    assert found.known.warnings == ["mask-1: it has voxels that are no number: they are taken as background"]


def test_values_without_a_name_are_counted_and_not_asked(tmp_path, write, opened):
    mask = write(tmp_path / "m.nii", labels())
    found = opened(write(tmp_path / "a.nii", VOLUME), masks=[(mask, {2: "lesion", 5: "cyst"})])

    assert [finding.label for finding in found.known.truths[1].findings] == ["lesion"]
    assert found.known.truths[0].classes == ("cyst", "lesion")
    (reject,) = found.known.rejects
    assert (reject.reason, reject.message) == ("mask-value-unnamed", "1 of its 2 values have no name: 1")

    found = opened(tmp_path / "a.nii", masks=[(mask, {})])
    assert found.known.truths == [None] * 4
    assert reasons(found) == [("patient-0001/file-0001 mask-1", "mask-value-unnamed")]


def test_each_connected_region_as_a_thing(tmp_path, write, opened):
    voxels = labels()
    voxels[8:, 1, 1] = 1
    mask = write(tmp_path / "m.nii", voxels)
    path = write(tmp_path / "a.nii", VOLUME)

    whole = opened(path, masks=[(mask, {1: "organ"})]).known.truths[1].findings
    parts = opened(path, masks=[(mask, {1: "organ"})], components=True).known.truths[1].findings

    assert [(thing.thing, thing.area_px) for thing in whole] == [("mask-1/1", 8)]
    assert [thing.is_one_thing for thing in (*whole, *parts)] == [False, True, True]
    assert [(thing.thing, thing.area_px, thing.box_px) for thing in parts] == [
        ("mask-1/1/2.1", 6, (2, 1, 5, 3)),
        ("mask-1/1/2.2", 2, (8, 1, 10, 2)),
    ]


def test_a_mask_of_each_volume(tmp_path, write, opened):
    both = np.stack([labels(), labels()[::-1]], axis=-1)
    path = write(tmp_path / "a.nii", np.stack([VOLUME] * 2, axis=-1))
    mask = write(tmp_path / "m.nii", both)

    boxes = [
        objects(opened(path, masks=[(mask, NAMES)], volume=volume, volume_count=2), 1)["organ"] for volume in (0, 1)
    ]
    assert boxes == [(5, 5, 8, 7), (2, 5, 5, 7)]


def test_two_masks_of_a_volume(tmp_path, write, opened):
    one, other = labels(), labels()
    one[one == 2] = 0
    other[other == 1] = 0
    masks = [(write(tmp_path / "m.nii", one), {1: "organ"}), (write(tmp_path / "n.nii", other), {2: "lesion"})]
    found = opened(write(tmp_path / "a.nii", VOLUME), masks=masks)

    assert objects(found, 1) == {"organ": (5, 5, 8, 7), "lesion": (2, 1, 3, 2)}
    assert [finding.thing for finding in found.known.truths[1].findings] == ["mask-1/1", "mask-2/2"]
    assert found.known.truths[0].classes == ("lesion", "organ")
