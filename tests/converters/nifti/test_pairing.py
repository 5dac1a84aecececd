from pathlib import Path

import pytest

from domainvl.converters.nifti.files import NiftiFile
from domainvl.converters.nifti.pairing import case_of, pair, parse_pattern
from domainvl.errors import UsageError


def files(*names):
    return [NiftiFile(name, Path("/in") / name) for name in names]


def shown(pairing):
    pairs = {file.relative: [mask.relative for mask in masks] for file, masks in pairing.volumes}
    return pairs, [file.relative for file in pairing.unmatched], [file.relative for file in pairing.ambiguous]


@pytest.mark.parametrize(
    ("volume", "mask"),
    [
        ("a.nii.gz", "a_seg.nii.gz"),
        ("a.nii.gz", "a-mask.nii"),
        ("a.nii", "a_labels.nii.gz"),
        ("sub-01_T1w.nii.gz", "sub-01_dseg.nii.gz"),
        ("BraTS_001_t1ce.nii.gz", "BraTS_001_seg.nii.gz"),
        ("case_0000.nii.gz", "case_seg.nii.gz"),
    ],
)
def test_masks_beside_their_volumes(volume, mask):
    assert shown(pair(files(volume, mask), None)) == ({volume: [mask]}, [], [])


def test_one_mask_serves_all_contrasts_of_a_patient():
    found = pair(files("p/p_flair.nii", "p/p_seg.nii", "p/p_t1.nii", "q/q_t1.nii"), None)

    assert shown(found)[0] == {"p/p_flair.nii": ["p/p_seg.nii"], "p/p_t1.nii": ["p/p_seg.nii"], "q/q_t1.nii": []}


def test_other_numbers_are_no_contrasts():
    """img_01 and img_02 are two scans, and img_seg is of neither."""
    assert shown(pair(files("img_01.nii", "img_02.nii", "img_seg.nii"), None))[1] == ["img_seg.nii"]
    assert case_of("img_01") == "img_01"
    assert case_of("img_0001") == "img"


def test_a_mask_without_a_volume_is_no_volume():
    assert shown(pair(files("a.nii", "b_mask.nii"), None)) == ({"a.nii": []}, ["b_mask.nii"], [])


def test_a_folder_of_masks():
    """imagesTr and labelsTr of the Medical Segmentation Decathlon and of nnU-Net."""
    found = pair(files("a.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz"), files("a.nii.gz", "b.nii.gz", "c.nii.gz"))

    pairs = {"a.nii.gz": ["a.nii.gz"], "b_0000.nii.gz": ["b.nii.gz"], "b_0001.nii.gz": ["b.nii.gz"]}
    assert shown(found) == (pairs, ["c.nii.gz"], [])


def test_the_same_folder_comes_before_the_same_name():
    found = pair(files("p/ct.nii", "q/ct.nii", "r/ct.nii"), files("p/ct.nii", "q/ct_seg.nii", "q/ct.nii"))

    assert shown(found)[0] == {"p/ct.nii": ["p/ct.nii", "q/ct_seg.nii"], "q/ct.nii": ["q/ct.nii", "q/ct_seg.nii"],
                               "r/ct.nii": ["q/ct_seg.nii"]}  # fmt: skip
    assert shown(found)[2] == ["r/ct.nii"]


def test_several_files_of_one_name():
    assert shown(pair(files("a.nii", "a_seg.nii", "a_seg.nii.gz"), None)) == ({"a.nii": []}, [], ["a.nii"])


def test_patterns():
    """LiTS names masks with another word."""
    found = pair(files("volume-0.nii", "volume-10.nii", "segmentation-0.nii", "segmentation-10.nii"), None,
                 parse_pattern("segmentation-{number}"))  # fmt: skip
    pairs = {"volume-0.nii": ["segmentation-0.nii"], "volume-10.nii": ["segmentation-10.nii"]}
    assert shown(found) == (pairs, [], [])

    found = pair(files("a_x.nii", "b_seg.nii"), files("a-liver.nii"), parse_pattern("{case}-liver, {stem}-liver"))
    assert shown(found) == ({"a_x.nii": ["a-liver.nii"], "b_seg.nii": []}, [], [])


@pytest.mark.parametrize("text", ["mask", "{name}_seg", "{stem}/x", "{stem", "", "{stem}_seg,mask"])
def test_patterns_that_cannot_be_used(text):
    with pytest.raises(UsageError, match="--mask-pattern"):
        parse_pattern(text)
