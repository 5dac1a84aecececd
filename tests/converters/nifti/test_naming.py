from pathlib import Path

import pytest

from domainvl.converters.dicom.privacy.pseudonyms import Pseudonyms
from domainvl.converters.nifti.files import NiftiFile
from domainvl.converters.nifti.naming import Patient, name_files, parse_expression, patient_of
from domainvl.errors import UsageError

KEY = b"0123456789abcdef"


def file(name):
    return NiftiFile(name, Path("/in") / name)


@pytest.mark.parametrize(
    ("path", "patient"),
    [
        ("sub-07/ses-1/anat/sub-07_T1w.nii.gz", "07"),
        ("derivatives/fmriprep/sub-07/x.nii", "07"),
        ("sub-07_T1w.nii.gz", "07"),
        ("anna/t1.nii", "anna"),
        ("imagesTr/anna/t1.nii", "anna"),
        ("imagesTr/case_0000.nii.gz", "case"),
        ("train/x_12.nii", "x_12"),
        ("x_t1.nii", "x"),
        ("subject-1/a.nii", "subject-1"),
    ],
)
def test_med_70_patients_by_their_paths(path, patient):
    assert patient_of(file(path), None).identifier == patient


def test_med_70_an_expression_decides():
    expression = parse_expression(r"^(?:[^/]+/)?([A-Z]+)-")

    assert patient_of(file("x/AB-1.nii"), expression) == Patient("AB", "--patient-from")
    assert patient_of(file("x/1.nii"), expression) is None


@pytest.mark.parametrize("text", ["(", "abc", "(a)(b)"])
def test_expressions_that_cannot_be_used(text):
    with pytest.raises(UsageError, match="--patient-from"):
        parse_expression(text)


def test_numbers_follow_the_order_of_names():
    names = [("q/b.nii", "q"), ("p/x.nii", "p"), ("q/a.nii", "q")]
    found = name_files([(file(path), Patient(who, "")) for path, who in names], None)

    assert {thing.relative: named.source for thing, named in found.items()} == {
        "p/x.nii": "patient-0001/file-0001",
        "q/a.nii": "patient-0002/file-0001",
        "q/b.nii": "patient-0002/file-0002",
    }
    assert found[file("q/b.nii")].patient == "patient-0002"


def test_med_60_with_a_key_names_are_hashes_that_do_not_depend_on_the_other_files():
    anna, bert = (file("anna/x.nii"), Patient("anna", "")), (file("bert/x.nii"), Patient("bert", ""))
    both, alone = name_files([anna, bert], Pseudonyms(KEY)), name_files([bert], Pseudonyms(KEY))

    assert both[bert[0]] == alone[bert[0]]
    assert both[bert[0]] != name_files([bert], Pseudonyms(KEY[::-1]))[bert[0]]
    assert both[bert[0]].source == f"{Pseudonyms(KEY).of('patient', 'bert')}/{Pseudonyms(KEY).of('file', 'bert/x.nii')}"
