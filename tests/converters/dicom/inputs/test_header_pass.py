from __future__ import annotations

import gzip
import logging
import shutil
import warnings

import pydicom
import pytest
from pydicom.data import get_charset_files
from pydicom.uid import EncapsulatedPDFStorage, RTStructureSetStorage, SegmentationStorage

from domainvl.converters.dicom.inputs.content import HEAD_BYTES as CONTENT_BYTES
from domainvl.converters.dicom.inputs.parsing import HEAD_BYTES, parse_header
from domainvl.converters.dicom.instance import FileRef, Kind
from domainvl.files import hash_file
from domainvl.schema.writer import Severity

WHEEL_NO_META = ("ExplVR_LitEndNoMeta.dcm", "ExplVR_BigEndNoMeta.dcm", "rtplan.dcm", "rtstruct.dcm")


def only(result):
    assert not result.rejects
    (instance,) = result.instances
    return instance


def test_facts_of_an_image(tmp_path, write_instance, look):
    path = write_instance(
        tmp_path / "a", IssuerOfPatientID="I", FrameOfReferenceUID="1.7", AccessionNumber="A1", StudyDate="20200229",
        InstanceNumber=7, BodyPartExamined="CHEST", PixelSpacing=[0.5, 0.75], ImageType=["ORIGINAL", "PRIMARY"],
        WindowCenter=[40, -600.5], WindowWidth=[400, 1500], WindowCenterWidthExplanation=["", "LUNG"],
        ImagePositionPatient=[1, 2, 3], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], ViewPosition="PA", Laterality="L",
        PresentationIntentType="FOR PRESENTATION", FrameTime=33.3,
    )  # fmt: skip
    instance = only(look(path))
    assert (instance.file, instance.kind, instance.size_bytes) == (FileRef(path), Kind.IMAGE, path.stat().st_size)
    assert instance.patient == ("patient", "I", "P1")
    assert (instance.study_uid, instance.series_uid, instance.sop_uid) == ("1.2.3.2", "1.2.3.3", "1.2.3.4.1")
    assert (instance.frame_of_reference_uid, instance.accession_number) == ("1.7", "A1")
    assert (instance.study_date, instance.instance_number) == ("20200229", 7)
    assert instance.frames[0].geometry.position_mm == (1, 2, 3)
    facts = instance.facts
    assert (facts.modality, facts.body_part, facts.rows, facts.columns) == ("CT", "CHEST", 8, 8)
    assert (facts.spacing_mm, facts.image_type) == ((0.5, 0.75), ("ORIGINAL", "PRIMARY"))
    assert facts.windows == ("40/400", "-600.5/1500")
    assert (facts.view_position, facts.laterality, facts.presentation_intent) == ("PA", "L", "FOR PRESENTATION")
    assert (facts.photometric, facts.transfer_syntax) == ("MONOCHROME2", "1.2.840.10008.1.2.1")
    assert facts.frame_time_ms == 33.3


def item(**attributes):
    made = pydicom.Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def test_facts_of_enhanced_images_come_from_functional_groups(tmp_path, write_instance, look):
    """PS3.3 C.7.6.16.2.1 and C.7.6.16.2.10: pixel measures shared, a window a frame."""
    shared = item(PixelMeasuresSequence=[item(PixelSpacing=[0.5, 2])])
    frames = [item(FrameVOILUTSequence=[item(WindowCenter=center, WindowWidth=10)]) for center in (7, 8)]
    path = write_instance(tmp_path / "a", NumberOfFrames=2, Rows=4, SharedFunctionalGroupsSequence=[shared],
                          PerFrameFunctionalGroupsSequence=frames)  # fmt: skip
    instance = only(look(path))
    assert instance.facts.spacing_mm == (0.5, 2)
    assert instance.facts.windows == ("7/10",)
    assert len(instance.frames) == 2


@pytest.mark.parametrize(
    ("attributes", "patient"),
    [
        ({"PatientID": None}, ("study", "1.2.3.2")),
        ({"PatientID": " "}, ("study", "1.2.3.2")),
        ({"PatientID": None, "StudyInstanceUID": None}, ("series", "1.2.3.3")),
        ({"PatientID": None, "StudyInstanceUID": None, "SeriesInstanceUID": None}, ("instance", "1.2.3.4.1")),
    ],
)
def test_the_patient_falls_back_to_what_has_a_name(tmp_path, write_instance, look, attributes, patient):
    assert only(look(write_instance(tmp_path / "a", **attributes))).patient == patient


@pytest.mark.parametrize("packed", [False, True])
def test_objects_without_any_name_go_by_their_bytes(tmp_path, dataset, as_bytes, look, packed):
    made = dataset(PatientID=None, StudyInstanceUID=None, SeriesInstanceUID=None)
    content = as_bytes(made).replace(b"1.2.3.4.1\x00", b"\x00" * 10)
    plain = tmp_path / "plain"
    plain.write_bytes(content)
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a"
    path.write_bytes(gzip.compress(content) if packed else content)
    instance = only(look(path))
    assert instance.sop_uid == f"sha256:{hash_file(plain)}"
    assert instance.patient == ("instance", instance.sop_uid)


@pytest.mark.parametrize(
    ("written", "read"), [("20200229", "20200229"), ("2020.02.29", "20200229"), ("20", ""), (None, "")]
)
def test_dates_are_eight_digits_or_nothing(tmp_path, dataset, look, written, read):
    with pydicom.config.disable_value_validation():
        dataset(StudyDate=written).save_as(tmp_path / "a", enforce_file_format=True)
    assert only(look(tmp_path / "a")).study_date == read


def test_annotations_name_what_they_are_about(tmp_path, write_instance, look):
    reference = pydicom.Dataset()
    reference.SeriesInstanceUID = "1.5.5"
    write_instance(tmp_path / "in/seg", SOPClassUID=SegmentationStorage, ReferencedSeriesSequence=[reference])
    instance = only(look(tmp_path / "in"))
    assert instance.kind is Kind.SEGMENTATION
    assert instance.references.series_uids == {"1.5.5"}
    assert (instance.facts, instance.frames) == (None, ())


def test_med_50_what_is_no_image_is_counted_by_reason(tmp_path, write_instance, look, reasons, wheel):
    folder = tmp_path / "in"
    write_instance(folder / "image")
    write_instance(folder / "copy of image")
    write_instance(folder / "seg", SOPClassUID=SegmentationStorage, SOPInstanceUID="1.5", Modality="SEG")
    write_instance(folder / "pdf", SOPClassUID=EncapsulatedPDFStorage, SOPInstanceUID="1.6")
    for name in ("rtplan.dcm", "rtdose.dcm", "rtstruct.dcm", "waveform_ecg.dcm"):
        shutil.copy(wheel(name), folder / name)
    (folder / "empty").write_bytes(b"")
    (folder / ".hidden").write_text("noise")
    result = look(folder)
    assert reasons(result) == {"duplicate-instance": 1, "document": 1, "no-image": 1, "not-dicom": 2, "waveform": 1}
    assert {reject.severity for reject in result.rejects} == {Severity.SKIPPED}
    assert "RT Plan Storage" in " ".join(reject.message for reject in result.rejects)
    kinds = sorted(instance.kind for instance in result.instances)
    assert kinds == [Kind.IMAGE, Kind.IMAGE, Kind.SEGMENTATION, Kind.STRUCTURE_SET]


def test_med_50_a_data_set_behind_a_stray_byte_is_counted(wheel, look, reasons):
    """no_meta.dcm of the wheel starts with a space, so that pydicom makes one element of 38,863 bytes of it."""
    assert wheel("no_meta.dcm").read_bytes().startswith(b" \x08\x00\x05\x00CS")
    assert reasons(look(wheel("no_meta.dcm"))) == {"not-dicom": 1}


def test_med_50_a_data_set_without_preamble_and_meta_is_an_image(wheel, tmp_path, look):
    (tmp_path / "a").write_bytes(wheel("no_meta.dcm").read_bytes()[1:])
    instance = only(look(tmp_path / "a"))
    assert (instance.kind, instance.facts.modality) == (Kind.IMAGE, "CT")


def test_med_50_the_gzip_file_of_the_wheel_is_read(wheel, look):
    expected = pydicom.dcmread(gzip.open(wheel("zipMR.gz")), stop_before_pixels=True)
    instance = only(look(wheel("zipMR.gz")))
    assert instance.sop_uid == expected.SOPInstanceUID
    assert instance.facts.rows == expected.Rows


@pytest.mark.parametrize("name", WHEEL_NO_META)
def test_med_50_files_without_preamble_are_read(wheel, look, name):
    """Each starts with its data set; with force pydicom reads them too."""
    expected = pydicom.dcmread(wheel(name), force=True, stop_before_pixels=True)
    result = look(wheel(name))
    if "Rows" in expected or expected.SOPClassUID == RTStructureSetStorage:
        assert only(result).sop_uid == expected.SOPInstanceUID
    else:
        assert [reject.reason for reject in result.rejects] == ["no-image"]


@pytest.mark.parametrize("name", ["MR_truncated.dcm", "badVR.dcm", "JPEG2000-embedded-sequence-delimiter.dcm"])
def test_med_51_files_with_broken_pixels_or_values_pass_with_their_header(wheel, look, name):
    """What their pixels lack is for the decoder to say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pydicom.dcmread(wheel(name), stop_before_pixels=True)
    instance = only(look(wheel(name)))
    assert instance.sop_uid == expected.SOPInstanceUID
    assert (instance.facts.rows, instance.facts.columns) == (expected.Rows, expected.Columns)


def test_med_51_no_cut_of_a_header_ends_the_pass(wheel, tmp_path, look):
    content = wheel("CT_small.dcm").read_bytes()
    for length in range(0, 6400, 61):
        (tmp_path / f"{length:04d}").write_bytes(content[:length])
    shutil.copy(wheel("MR_small.dcm"), tmp_path / "whole")
    result = look(tmp_path)
    assert any(instance.file.path.name == "whole" for instance in result.instances)
    assert len(result.instances) + len(result.rejects) == len(list(tmp_path.iterdir()))


def test_med_51_a_header_that_cannot_be_read_costs_its_file(tmp_path, slices, look, reasons):
    (tmp_path / "good").write_bytes(slices["d/0"])
    syntax = b"1.2.840.10008.1.2.1\x00"
    # Deflated data follow, it says now; they do not inflate (PS3.5 A.5).
    broken = slices["d/1"].replace(syntax, b"1.2.840.10008.1.2.1.99")
    at = broken.index(b"1.2.840.10008.1.2.1.99")
    (tmp_path / "broken").write_bytes(broken[: at - 2] + b"\x16\x00" + broken[at:])
    result = look(tmp_path)
    assert [instance.sop_uid for instance in result.instances] == ["1.2.0"]
    assert reasons(result) == {"header": 1}
    assert result.rejects[0].severity is Severity.FAILED


@pytest.mark.parametrize("before_bytes", [0, HEAD_BYTES - 900, HEAD_BYTES, 3 << 20])
@pytest.mark.parametrize("form", ["bytes", "sequence", "fragments"])
def test_headers_of_any_length_are_read_to_their_end(tmp_path, dataset, before_bytes, form):
    """A long value stands before the geometry; pydicom without tricks reads the same."""
    made = dataset(ImagePositionPatient=[1, 2, 3])
    made.add_new(0x00090010, "LO", "MAKER")
    if form == "sequence":
        item = pydicom.Dataset()
        item.add_new(0x00091002, "OB", bytes(before_bytes))
        made.add_new(0x00091001, "SQ", [item])
        made[0x00091001].is_undefined_length = True
    elif form == "fragments":
        # One item of a value of undefined length (PS3.5 A.4): pydicom goes back to its start where its end is missing.
        made.add_new(0x00091001, "OB", b"\xfe\xff\x00\xe0" + before_bytes.to_bytes(4, "little") + bytes(before_bytes))
        made[0x00091001].is_undefined_length = True
    else:
        made.add_new(0x00091001, "OB", bytes(before_bytes))
    made.save_as(tmp_path / "a", enforce_file_format=True)
    with (tmp_path / "a").open("rb") as file:
        read = parse_header(file, file.read(HEAD_BYTES))
        assert read == pydicom.dcmread(tmp_path / "a", stop_before_pixels=True)
    assert read.ImagePositionPatient == [1, 2, 3]


def test_what_pydicom_says_of_a_header_reaches_neither_warnings_nor_log(tmp_path, dataset, look, recwarn, caplog):
    caplog.set_level(logging.DEBUG)
    with pydicom.config.disable_value_validation():
        made = dataset(StudyInstanceUID="1.2.CANARY", BodyPartExamined="canary", SpecificCharacterSet="ISO_CANARY")
        made.save_as(tmp_path / "a", enforce_file_format=True)
    recwarn.clear()
    caplog.clear()
    only(look(tmp_path / "a", identifiers=True))
    assert not [str(entry.message) for entry in recwarn]
    assert not caplog.records
    assert logging.getLogger("pydicom").level != logging.CRITICAL + 1


@pytest.mark.parametrize(
    ("charset", "encoded", "text"),
    [
        ("ISO_IR 100", "THÄL".encode("latin-1"), "THÄL"),
        ("ISO_IR 192", "胸部".encode(), "胸部"),
        ("GB18030", "胸部".encode("gb18030"), "胸部"),
        ("\\ISO 2022 IR 87", b"\x1b$B6;It\x1b(B", "胸部"),  # PS3.5 H.3: JIS X 0208 by escape sequence
        ("\\ISO 2022 IR 149", b"\x1b$)C\xb0\xa1", "가"),  # PS3.5 I.2: KS X 1001
    ],
)
def test_med_53_texts_are_read_in_their_character_set(tmp_path, dataset, as_bytes, look, charset, encoded, text):
    encoded += b" " * (len(encoded) % 2)
    made = dataset(IssuerOfPatientID="@" * len(encoded))
    with pydicom.config.disable_value_validation():
        made.SpecificCharacterSet = charset.split("\\")
        content = as_bytes(made).replace(b"@" * len(encoded), encoded)
    (tmp_path / "a").write_bytes(content)
    assert only(look(tmp_path / "a")).patient == ("patient", text, "P1")


@pytest.mark.parametrize(
    "charset", ["NONSENSE", "ISO_IR 192", "\\ISO 2022 IR 87", "ISO 2022 IR 6\\NONSENSE", "\\\\\\", ""]
)
def test_med_53_no_character_set_costs_a_file(tmp_path, dataset, as_bytes, look, charset):
    made = dataset(IssuerOfPatientID="@@@@", BodyPartExamined="CHEST")
    with pydicom.config.disable_value_validation():
        made.SpecificCharacterSet = charset.split("\\")
        content = as_bytes(made).replace(b"@@@@", b"\xff\x1b$\xfe")
    (tmp_path / "a").write_bytes(content)
    instance = only(look(tmp_path / "a", identifiers=True))
    assert instance.patient[2] == "P1"
    assert instance.facts.body_part == "CHEST"


def test_med_53_all_character_set_files_of_the_wheel_are_read(look, tmp_path):
    for path in get_charset_files("chr*.dcm"):
        shutil.copy(path, tmp_path)
    result = look(tmp_path, identifiers=True)
    assert len(result.instances) + len(result.rejects) == len(list(tmp_path.iterdir())) > 10
    assert {reject.reason for reject in result.rejects} <= {"no-image", "duplicate-instance"}


@pytest.mark.parametrize("hash_of_the_larger_is", ["smaller", "larger"])
def test_of_two_files_of_one_instance_the_larger_is_kept(tmp_path, dataset, look, reasons, hash_of_the_larger_is):
    (tmp_path / "in").mkdir()
    whole, cut = tmp_path / "in" / "b", tmp_path / "in" / "a"
    for number in range(100):
        made = dataset(ImageComments=f"{number:02d}")
        made.save_as(whole, enforce_file_format=True)
        made.PixelData = made.PixelData[:50]
        made.save_as(cut, enforce_file_format=True)
        if (hash_file(whole) < hash_file(cut)) == (hash_of_the_larger_is == "smaller"):
            break
    result = look(tmp_path / "in")
    assert [instance.file.path for instance in result.instances] == [whole]
    assert reasons(result) == {"duplicate-instance": 1}
    assert result.files[result.rejects[0].input] == (FileRef(cut),)


def test_of_equally_large_repeats_the_same_is_kept_whatever_they_are_called(tmp_path, dataset, as_bytes, look):
    contents = [as_bytes(dataset(ImageComments=f"{number}")) for number in range(4)]
    kept = []
    for way, order in enumerate([[0, 1, 2, 3], [3, 1, 0, 2]]):
        (tmp_path / f"{way}").mkdir()
        for place, number in enumerate(order):
            (tmp_path / f"{way}" / f"{place}").write_bytes(contents[number])
        result = look(tmp_path / f"{way}")
        kept.append((result.instances[0].file.path.read_bytes(), sorted(reject.input for reject in result.rejects)))
    assert kept[0] == kept[1]
    assert len(kept[0][1]) == len(set(kept[0][1])) == 3


def test_repeats_are_found_between_folders_and_archives(slices, make_zip, tmp_path, look, reasons):
    make_zip({"a": slices["d/0"]}, "in/a.zip")
    (tmp_path / "in/b.gz").write_bytes(gzip.compress(slices["d/0"]))
    (tmp_path / "in/c").write_bytes(slices["d/0"])
    result = look(tmp_path / "in")
    assert len(result.instances) == 1
    assert reasons(result) == {"duplicate-instance": 2}


def test_one_instance_of_two_patients_is_two(tmp_path, write_instance, look, reasons):
    write_instance(tmp_path / "a", PatientID="A", SeriesInstanceUID="1.1")
    write_instance(tmp_path / "b", PatientID="B", SeriesInstanceUID="1.2")
    result = look(tmp_path)
    assert len(result.instances) == 2
    assert not result.rejects


def test_a_series_of_two_patients_is_divided_and_reported(tmp_path, write_instance, look, pseudonyms):
    for n, patient in enumerate("ABAB"):
        write_instance(tmp_path / f"{n}", PatientID=patient, SOPInstanceUID=f"1.{n // 2}")
    result = look(tmp_path)
    assert len(result.instances) == 4
    patients = {pseudonyms.of("patient", "", patient) for patient in "AB"}
    series = pseudonyms.of("series", "1.2.3.2", "1.2.3.3")
    assert {reject.input for reject in result.rejects} == {f"{patient}/{series}" for patient in patients}
    assert {(reject.reason, reject.severity) for reject in result.rejects} == {
        ("series-of-two-patients", Severity.SKIPPED)
    }


def test_identifiers_are_gathered_by_study_where_asked_for(tmp_path, write_instance, look):
    for n in range(3):
        write_instance(
            tmp_path / f"{n}", StudyInstanceUID=f"1.9.{n // 2}", SOPInstanceUID=f"1.{n}", PatientName=f"Canary{n}"
        )
    assert not look(tmp_path).identifiers
    found = look(tmp_path, identifiers=True).identifiers
    assert sorted(found) == ["1.9.0", "1.9.1"]
    texts = {study: {identifier.text for identifier in identifiers} for study, identifiers in found.items()}
    assert {"Canary0", "Canary1", "1.9.0"} <= texts["1.9.0"]
    assert "Canary2" not in texts["1.9.0"]


def test_rejects_are_named_by_content_and_resolved_by_their_map_alone(tmp_path, look, pseudonyms):
    for folder in ("CANARY1", "CANARY2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.txt").write_text("noise")
    first, second = look(tmp_path / "CANARY1"), look(tmp_path / "CANARY2")
    assert [reject.input for reject in first.rejects] == [reject.input for reject in second.rejects]
    assert first.files[first.rejects[0].input] == (FileRef(tmp_path / "CANARY1/CANARY1.txt"),)
    assert "CANARY" not in str(first.rejects)


def test_a_file_that_cannot_be_read_is_reported(tmp_path, slices, find, pseudonyms):
    from domainvl.converters.dicom.inputs.header_pass import read_headers

    (tmp_path / "a").write_bytes(slices["d/0"])
    refs = find(tmp_path).refs
    (tmp_path / "a").unlink()
    result = read_headers(refs, collect_identifiers=False, pseudonyms=pseudonyms)
    assert [(reject.reason, reject.severity) for reject in result.rejects] == [("read", Severity.FAILED)]


def test_med_50_all_files_of_the_wheel(wheel, look, reasons):
    """Counted by hand from the files' SOP classes and UIDs."""
    folder = wheel("CT_small.dcm").parents[1]
    result = look(folder)
    counts = reasons(result)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(result.instances) + len(result.rejects) == len(files)
    assert set(counts) == {"not-dicom", "no-image", "dicomdir", "waveform", "duplicate-instance"}
    not_dicom = [path for path in files if b"DICM" not in path.read_bytes()[:132][128:]]
    assert counts["not-dicom"] <= len(not_dicom)
    assert counts["dicomdir"] == len([path for path in files if path.name.startswith("DICOMDIR")])


def test_med_50_all_medical_files_of_the_shared_data(real_data, look, reasons):
    folder = real_data / "medical"
    result = look(folder)
    counts = reasons(result)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(result.instances) + len(result.rejects) == len(files)
    assert set(counts) == {"not-dicom", "no-image", "whole-slide", "compression", "duplicate-instance"}
    assert counts["compression"] == len([path for path in files if path.suffix == ".zst"])
    dicom = [path for path in files if path.read_bytes()[128:132] == b"DICM"]
    assert len(result.instances) + counts["no-image"] + counts["whole-slide"] + counts["duplicate-instance"] == len(
        dicom
    )


def test_med_52_headers_are_read_without_pixels(wheel, tmp_path, find, pseudonyms):
    """A file that ends where its pixels would begin is read as well; the benchmark says how quickly."""
    from domainvl.converters.dicom.inputs.header_pass import read_headers

    content = wheel("CT_small.dcm").read_bytes()
    (tmp_path / "a").write_bytes(content[: content.index(b"\xe0\x7f\x10\x00OW") + 12])
    result = read_headers(find(tmp_path).refs, collect_identifiers=False, pseudonyms=pseudonyms)
    assert [(instance.facts.rows, instance.facts.columns) for instance in result.instances] == [(128, 128)]


def test_the_head_that_is_read_shows_the_content_too():
    assert HEAD_BYTES >= CONTENT_BYTES
