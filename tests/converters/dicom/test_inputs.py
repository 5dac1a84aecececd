"""However files come in, the same comes out; what is broken, foreign or hostile is listed and the rest converted."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import shutil
import tarfile
import zipfile

import numpy as np
import pydicom
import pytest
from dicom_annotations import write_structures
from dicom_series import details_of, make_series, numbered, pixels_of, save, write_series
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from domainvl.converters.dicom import CONVERTER, DicomSettings
from domainvl.converters.dicom.privacy.pseudonyms import SOURCE_HASHES, Pseudonyms
from domainvl.errors import ExitCode, UsageError
from domainvl.files import hash_file


def data_of(out):
    """The records and images of a data set, without the manifest, which names the archive."""
    names = [*sorted(out.glob("*.jsonl")), *sorted((out / "images").rglob("*.png"))]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in names}


def zipped(folder, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"export/{file.name}")
    return path


def tarred(folder, path):
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "export")
    return path


def compressed(folder, path):
    path.mkdir()
    for file in folder.iterdir():
        (path / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    return path


def without_suffix(folder, path):
    (path / "deep").mkdir(parents=True)
    for number, file in enumerate(sorted(folder.iterdir(), reverse=True)):
        shutil.copy(file, path / "deep" / f"IM{number}")
    return path


def without_preamble(folder, path):
    """The data set alone, in little endian with explicit value representations, as some nodes store it."""
    path.mkdir()
    for file in folder.iterdir():
        content = file.read_bytes()
        length = int.from_bytes(content[140:144], "little")  # of the file meta information (PS3.10 7.1)
        (path / file.name).write_bytes(content[144 + length :])
    return path


def on_a_disc(folder, path):
    """A file set (PS3.10 8) whose directory names the files."""
    records = []
    for number, file in enumerate(sorted(folder.iterdir())):
        (path / "IMAGES").mkdir(parents=True, exist_ok=True)
        shutil.copy(file, path / "IMAGES" / f"IM{number}")
        record = pydicom.Dataset()
        record.DirectoryRecordType, record.RecordInUseFlag = "IMAGE", 0xFFFF
        record.ReferencedFileID = ["IMAGES", f"IM{number}"]
        records.append(record)
    directory = pydicom.Dataset()
    directory.FileSetID, directory.DirectoryRecordSequence = "DISC", records
    directory.file_meta = pydicom.dataset.FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    (path / "IMAGES" / "not on the list").write_bytes((path / "IMAGES" / "IM0").read_bytes())
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.9"
    directory.save_as(path / "DICOMDIR", enforce_file_format=True)
    return path / "DICOMDIR"


@pytest.mark.parametrize("pack", [zipped, tarred, compressed, without_suffix, on_a_disc])
def test_med_50_every_way_of_packing_gives_the_same_data_set(tmp_path, convert_dicom, pack):
    folder = write_series(tmp_path / "in", numbered(3))
    convert_dicom(folder, out=tmp_path / "1" / "data")
    source = pack(folder, tmp_path / "packed")
    summary, samples, _ = convert_dicom(source, out=tmp_path / "2" / "data")
    assert len(samples) == 6
    assert summary.exit_code is ExitCode.DONE
    assert data_of(tmp_path / "2" / "data") == data_of(tmp_path / "1" / "data")


def test_med_50_a_file_without_preamble_is_converted(tmp_path, convert_dicom):
    folder = write_series(tmp_path / "in", numbered(2))
    _, samples, _ = convert_dicom(without_preamble(folder, tmp_path / "bare"), tasks="modality")
    assert [pixels_of(tmp_path / "out", sample)[9, 9] for sample in samples] == [10, 20]
    assert details_of(samples[0])["transfer_syntax"] == "Explicit VR Little Endian"


def test_med_50_compressed_pixels_without_a_transfer_syntax_are_not_guessed(tmp_path, convert_dicom, wheel):
    folder = write_series(tmp_path / "in", numbered(1))
    content = wheel("MR_small_RLE.dcm").read_bytes()
    length = int.from_bytes(content[140:144], "little")
    (folder / "bare").write_bytes(content[144 + length :])
    _, samples, rejects = convert_dicom(folder, tasks="modality", burnt_in="allow", pixel_text="off")
    assert len(samples) == 1
    assert [reject["reason"] for reject in rejects] == ["no-transfer-syntax"]


def test_med_50_archives_of_one_name_in_several_folders_are_several_sources(tmp_path, convert_dicom):
    names = []
    for place in ("here", "there"):
        folder = tmp_path / place / "in"
        for number in range(2):
            write_series(tmp_path / f"{place}{number}", numbered(1, first=10 + 30 * number), root=f"1.{number}")
            (folder / str(number)).mkdir(parents=True)
            zipped(tmp_path / f"{place}{number}", folder / str(number) / "Doe.zip")
        summary, samples, _ = convert_dicom(folder, out=tmp_path / place / "data", tasks="modality")
        assert len(samples) == 2
        names.append([source["uri"] for source in summary.manifest["sources"]])
    assert len(set(names[0])) == 2
    assert names[0] == names[1]
    assert "Doe" not in str(names)


def test_med_50_noise_is_counted_and_the_rest_converted(tmp_path, convert_dicom):
    folder = write_series(tmp_path / "in", numbered(2))
    (folder / "README.txt").write_text("nothing")
    (folder / "Thumbs.db").write_bytes(bytes(3000))
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    shutil.move(zipped(folder, tmp_path / "more.zip"), folder)
    summary, samples, rejects = convert_dicom(folder, tasks="modality")
    assert len(samples) == 2
    assert summary.exit_code is ExitCode.DONE
    counts = {reason: sum(reject["reason"] == reason for reject in rejects)
              for reason in {reject["reason"] for reject in rejects}}  # fmt: skip
    assert counts == {"not-dicom": 6, "duplicate-instance": 2}  # three files, and in the archive all of it again


def test_med_50_members_that_point_outside_are_refused_and_the_rest_is_converted(tmp_path, convert_dicom):
    folder = write_series(tmp_path / "in", numbered(3))
    files = sorted(folder.iterdir())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(files[0], "../../escaped.dcm")
        archive.writestr("/absolute.dcm", files[1].read_bytes())
        archive.write(files[2], "fine.dcm")
    summary, samples, rejects = convert_dicom(tmp_path / "a.zip", tasks="modality")
    assert [pixels_of(tmp_path / "out", sample)[9, 9] for sample in samples] == [30]
    assert summary.exit_code is ExitCode.PARTIAL
    assert [reject["severity"] for reject in rejects] == ["failed", "failed"]
    assert "escaped" not in json.dumps(rejects)
    assert not list(tmp_path.rglob("escaped.dcm"))


def test_med_50_an_archive_beyond_the_limit_is_refused(tmp_path, convert_dicom):
    folder = write_series(tmp_path / "in", numbered(2))
    shutil.move(zipped(folder, tmp_path / "a.zip"), folder / "a.zip")
    with zipfile.ZipFile(folder / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("large.dcm", bytes(3_000_000))
    _, samples, rejects = convert_dicom(folder, tasks="modality", unpack_limit_gb=0.001)
    assert len(samples) == 2
    (refused,) = [reject for reject in rejects if reject["severity"] == "failed"]
    assert "--unpack-limit-gb" in refused["action"]


def test_med_51_corrupt_files_of_the_wheel_leave_the_others(tmp_path, convert_dicom, wheel):
    folder = write_series(tmp_path / "in", numbered(2))
    names = ("MR_truncated.dcm", "badVR.dcm", "rtplan_truncated.dcm")
    for name in names:
        shutil.copy(wheel(name), folder / name)
    (folder / "random").write_bytes(bytes(128) + b"DICM" + np.random.default_rng(0).bytes(2000))
    (folder / "cut").write_bytes((folder / "000.dcm").read_bytes()[:300])
    summary, samples, rejects = convert_dicom(folder, tasks="modality", burnt_in="allow", pixel_text="off")
    assert len(samples) >= 2
    assert summary.exit_code is ExitCode.PARTIAL
    reasons = [reject["reason"] for reject in rejects]
    assert "truncated" in reasons
    truncated = next(reject for reject in rejects if reject["reason"] == "truncated")
    assert "8192 bytes" in truncated["message"] and "8130" in truncated["message"]
    assert len(rejects) >= 4


def test_med_52_the_plan_stands_on_headers_alone(tmp_path, key_file):
    """Files that are cut off within their pixels are planned like whole ones."""
    folder = write_series(tmp_path / "in", numbered(3))
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    (unit,) = CONVERTER.plan(folder, DicomSettings(deid_key=key_file)).units
    assert len(unit.slices) == 3


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Lésion à gauche"),
        ("ISO_IR 144", "Печень"),
        ("ISO_IR 192", "肝臓 Лево é"),
        (["", "ISO 2022 IR 87"], "肝臓"),
        (["", "ISO 2022 IR 149"], "간"),
        ("GB18030", "肝脏"),
    ],
)
def test_med_53_labels_are_read_in_the_character_set_of_their_file(tmp_path, convert_dicom, charset, name):
    slices = make_series(numbered(1))
    save(slices[0], tmp_path / "in" / "a")
    contour = np.array([(3, 3, 0), (12, 3, 0), (12, 12, 0), (3, 12, 0)], float)
    path = write_structures(tmp_path / "in" / "rt", slices[0], [(name, [contour])], charset=charset)
    assert name.encode("utf-8") not in path.read_bytes() or charset == "ISO_IR 192"
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="presence")
    assert {thing.label for thing in samples[0].objects} == {name}
    assert name in samples[0].question


def test_two_patients_in_one_folder_are_two_groups(tmp_path, convert_dicom):
    write_series(tmp_path / "in" / "a", numbered(2), PatientID="P1")
    write_series(tmp_path / "in" / "b", numbered(2, first=50), PatientID="P2", root="1.7", StudyInstanceUID="1.8",
                 SeriesInstanceUID="1.9")  # fmt: skip
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality")
    assert not rejects
    assert len({sample.group for sample in samples}) == 2


def test_a_series_that_names_two_patients_is_said_and_divided(tmp_path, convert_dicom):
    for number, dataset in enumerate(make_series(numbered(4))):
        dataset.PatientID = f"P{number % 2}"
        save(dataset, tmp_path / "in" / f"{number}")
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality")
    assert len({sample.group for sample in samples}) == 2
    assert {reject["reason"] for reject in rejects} == {"series-of-two-patients"}


def test_med_07_a_syntax_that_nothing_decodes_is_listed_with_the_way_out(tmp_path, convert_dicom):
    folder = write_series(tmp_path / "in", numbered(2))
    content = (folder / "001.dcm").read_bytes()
    # Explicit VR Little Endian becomes a private transfer syntax of equal length.
    private = content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.826.0.1.3680043\0"[:20].ljust(20, b"\0"), 1)
    assert private != content
    (folder / "001.dcm").write_bytes(private)
    summary, samples, rejects = convert_dicom(folder, tasks="modality")
    assert [pixels_of(tmp_path / "out", sample)[9, 9] for sample in samples] == [10]
    assert summary.exit_code is ExitCode.PARTIAL
    (reject,) = rejects
    assert reject["severity"] == "failed"
    assert reject["action"]
    assert "3680043" not in json.dumps(rejects)


def test_a_label_table_in_excel_gives_what_the_csv_gives(tmp_path, convert_dicom):
    import openpyxl

    write_series(tmp_path / "in", numbered(2))
    rows = [["sop_instance_uid", "label", "x_min_px", "y_min_px", "x_max_px", "y_max_px", "side"],
            ["1.2.3.4.1", "cyst", 1, 2, 9, 9, "left"], ["1.2.3.4.2", "", "", "", "", "", ""]]  # fmt: skip
    (tmp_path / "l.csv").write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "l.xlsx")
    seen = []
    for name in ("l.csv", "l.xlsx"):
        convert_dicom(tmp_path / "in", labels=tmp_path / name, out=tmp_path / name.replace(".", "-") / "data")
        seen.append(data_of(tmp_path / name.replace(".", "-") / "data"))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("key", "value", "slices"),
    [("sop_instance_uid", "1.2.3.4.2", 1), ("series_instance_uid", "1.2.3.3", 2), ("study_instance_uid", "1.2.3.2", 2),
     ("accession_number", "A-7", 2), ("patient_id", "P1", 2)],
)  # fmt: skip
def test_a_label_table_is_joined_by_any_of_its_keys(tmp_path, convert_dicom, key, value, slices):
    write_series(tmp_path / "in", numbered(2), AccessionNumber="A-7")
    (tmp_path / "l.csv").write_text(f"{key},label,present\n{value},effusion,yes\n")
    _, samples, rejects = convert_dicom(tmp_path / "in", labels=tmp_path / "l.csv", tasks="label,modality")
    assert not rejects
    assert sum(sample.id.endswith("/label-yes") for sample in samples) == slices
    with pytest.raises(UsageError, match="--labels"):
        convert_dicom(tmp_path / "in", labels=tmp_path / "in" / "000.dcm")


def test_med_60_the_slice_of_a_record_is_that_of_its_file_for_who_has_the_key(tmp_path, convert_dicom, key_file):
    source_key = Pseudonyms(key_file.read_bytes()).subkey(SOURCE_HASHES)
    folder = write_series(tmp_path / "in", numbered(3))
    _, samples, _ = convert_dicom(folder, tasks="modality")
    for sample, file in zip(samples, sorted(folder.iterdir()), strict=True):
        source = sample.images[0].source
        plain = hash_file(file)
        assert source.sha256 == hmac.new(source_key, plain.encode(), hashlib.sha256).hexdigest()
        for written in (tmp_path / "out").rglob("*.json*"):
            assert plain not in written.read_text()
        assert source.size_bytes == file.stat().st_size
        assert details_of(sample)["slice_index"] == int(file.stem)
