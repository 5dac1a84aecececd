"""A look before converting: a row a series, no key, nothing written."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_annotations import write_segmentation
from dicom_series import CORONAL, make_series, make_slice, numbered, save, write_series
from PIL import Image
from pydicom.uid import JPEGExtended12Bit

from domainvl.cli.main import main
from domainvl.converters.dicom import CONVERTER, DicomSettings
from domainvl.converters.dicom.inspection import COLUMNS
from domainvl.errors import ExitCode, NothingToDoError, UsageError


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "in"
    slices = make_series(numbered(4, 32, 32), heights_mm=[0, 5, 10, 20], spacing_mm=(0.5, 0.75), WindowCenter=[40, 50],
                         WindowWidth=[400, 350], WindowCenterWidthExplanation=["SMITH", "B"])  # fmt: skip
    for dataset in slices:
        save(dataset, folder / f"{dataset.InstanceNumber}")
    masks = np.zeros((4, 32, 32, 1), bool)
    masks[2, 8:20, 8:24] = True
    write_segmentation(folder / "seg", slices, masks, ["Liver"])
    write_series(folder / "mr", numbered(2), Modality="MR", root="1.7", SeriesInstanceUID="1.7", cosines=CORONAL,
                 BodyPartExamined="HEAD")  # fmt: skip
    save(make_slice(numbered(1)[0], SOPInstanceUID="1.8", SeriesInstanceUID="1.8", BurnedInAnnotation="YES"),
         folder / "burnt")  # fmt: skip
    return folder


def look(folder, **settings):
    inspection = CONVERTER.inspect(folder, DicomSettings(pixel_text="off", **settings))
    assert inspection.columns == COLUMNS
    rows = {}
    for row in inspection.rows:
        cells = dict(zip(COLUMNS, row, strict=True))
        rows[cells["modality"], cells["images"]] = cells
    return inspection, rows


def test_each_series_has_a_row_with_what_it_is(archive):
    inspection, rows = look(archive)
    assert set(rows) == {("CT", "4"), ("MR", "2"), ("CT", "1")}
    ct = rows["CT", "4"]
    assert ct["stacks: slices"] == "volume: 4"
    assert ct["geometry"] == "missing-slices; 1 missing"
    assert ct["spacing mm"] == "0.5 x 0.75, 5 apart"
    assert ct["size px"] == "32 x 32"
    assert ct["windows of the file"] == "40/400, 50/350"  # and not what they are called, which is free text
    assert ct["transfer syntax"] == "Explicit VR Little Endian"
    assert ct["privacy"] == "none found in headers"
    assert "face can be recognised" in rows["MR", "2"]["privacy"]
    burnt = rows["CT", "1"]
    assert burnt["privacy"] == "1 x burnt-in, left out"
    assert burnt["stacks: slices"] == "none"
    assert "6 slices in 2 stacks of 1 patients would be converted" in " ".join(inspection.notes)
    assert "annotations: 1 segmentation" in inspection.notes
    assert [reject.reason for reject in inspection.rejects] == ["burnt-in"]


def test_med_60_what_is_no_code_of_the_standard_is_not_shown(tmp_path):
    made = make_slice(numbered(1)[0], Modality="SMITH", WindowCenterWidthExplanation="DOE/JANE",
                      ImageType=["ORIGINAL", "PRIMARY", "MILLER"], BodyPartExamined="BAKER")  # fmt: skip
    save(made, tmp_path / "in" / "a")
    inspection = CONVERTER.inspect(tmp_path / "in", DicomSettings(pixel_text="off"))
    assert inspection.rows[0][COLUMNS.index("modality")] == "other"
    shown = f"{inspection.rows} {inspection.notes} {inspection.rejects}".upper()
    assert not any(name in shown for name in ("SMITH", "DOE", "JANE", "MILLER", "BAKER"))


def test_the_sheet_shows_slices_and_their_boxes(archive):
    inspection, _ = look(archive)
    sheet = inspection.contact_sheet
    assert sheet.dtype == np.uint8 and sheet.ndim == 3
    plain = CONVERTER.inspect(archive / "mr", DicomSettings(pixel_text="off")).contact_sheet
    assert (plain[..., 0] == plain[..., 2]).mean() > (sheet[..., 0] == sheet[..., 2]).mean()  # boxes are coloured


def test_what_cannot_be_decoded_is_said(tmp_path):
    made = make_slice(numbered(1)[0].astype(np.uint16), BitsStored=12, HighBit=11)
    made.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00\xff\xd8\xff\xd9"
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    save(made, tmp_path / "in" / "a")
    private = make_slice(numbered(1)[0], SOPInstanceUID="1.7", SeriesInstanceUID="1.7")
    path = save(private, tmp_path / "in" / "b")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.826.0.1.3680043\0", 1))
    inspection, _ = look(tmp_path / "in")
    shown = {row[COLUMNS.index("transfer syntax")] for row in inspection.rows}
    assert any(text.startswith("private: cannot be decoded") for text in shown)
    assert not any("3680043" in text for text in shown)
    assert {reject.reason for reject in inspection.rejects} <= {"no-decoder", "decode", "truncated"}


def test_no_key_is_needed_and_names_are_drawn_anew(archive):
    names = [look(archive)[0].rows[0][0] for _ in range(2)]
    assert names[0] != names[1]


def test_a_key_gives_the_names_of_the_conversion(archive, key_file, convert_dicom):
    inspection, _ = look(archive, deid_key=key_file)
    _, samples, _ = convert_dicom(archive, pixel_text="off")
    names = {row[0].replace("\n", "/") for row in inspection.rows}
    assert {sample.id.rpartition("/0")[0] for sample in samples} <= names


def test_inspection_and_dry_run_write_nothing_but_the_sheet(archive, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    before.append(tmp_path / "key")
    given = ["convert", "dicom", str(archive), "--deid-key", "key", "--reid-map", "map.csv", "--out", "out",
             "--videos", "videos", "--pixel-text", "off"]  # fmt: skip
    assert main([*given, "--dry-run"]) == ExitCode.DONE
    assert "missing-slices" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == sorted(before)
    assert main([*given, "--inspect"]) == ExitCode.DONE
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "contact-sheet.png"])
    with Image.open(tmp_path / "contact-sheet.png") as sheet:
        assert np.asarray(sheet).std() > 0
        assert not sheet.info


def test_mistakes_in_settings_are_found_before_a_file_is_opened(archive):
    for setting in ({"forms": "cube"}, {"select": "some"}, {"windows": "lungs"}, {"tasks": "guess"}, {"marks": "cross"},
                    {"report_sections": "gossip"}, {"percentiles": "9"}):  # fmt: skip
        with pytest.raises(UsageError):
            CONVERTER.inspect(archive, DicomSettings(**setting))


def test_a_folder_without_images_is_said(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(NothingToDoError, match="0 files"):
        CONVERTER.inspect(tmp_path / "in", DicomSettings())
