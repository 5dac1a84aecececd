"""Nothing that names a person comes through: not in a byte, not in a pixel, not on the screen."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pydicom
import pytest
from dicom_annotations import write_measurement, write_segmentation, write_structures
from dicom_series import details_of, make_series, make_slice, numbered, pixels_of, save, write_series
from PIL import Image, ImageDraw
from planted import MARK, UID_ROOT, plant_archive, planted_dataset

from domainvl.cli.main import main
from domainvl.converters.dicom.privacy import pixel_text
from domainvl.converters.dicom.privacy.log import DeidentificationLog
from domainvl.errors import ExitCode, NothingToDoError, UsageError
from domainvl.schema import Split, read_samples

# MED-60: every byte


def chunks_of(content):
    """The chunks of a PNG, those that are compressed unpacked too."""
    place = 8
    while place < len(content):
        (length,) = struct.unpack_from(">I", content, place)
        kind, data = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        yield kind + data
        if kind in (b"IDAT", b"zTXt", b"iCCP", b"iTXt"):
            for start in range(min(len(data), 90)):
                try:
                    yield zlib.decompressobj().decompress(data[start:])
                except zlib.error:
                    continue
        place += 12 + length


def haystacks(folder):
    """All that is written below a folder: names, bytes, and what is packed in them."""
    for path in sorted(folder.rglob("*")):
        yield path.relative_to(folder).as_posix(), path.relative_to(folder).as_posix().encode()
        if path.is_file():
            content = path.read_bytes()
            yield path.name, content
            if path.suffix == ".png":
                yield from ((path.name, chunk) for chunk in chunks_of(content))


def leaks(canaries, places):
    found = []
    for name, content in places:
        folded = content.lower()
        for canary in canaries:
            forms = (canary, canary.replace("\\", "\\\\"), canary[::-1])
            if any(form.lower().encode(encoding) in folded for form in forms for encoding in ("utf-8", "utf-16-le")):
                found.append((name, canary))
    return found


def plant(folder):
    """The planted archive, with annotations and a table whose words are planted too."""
    planted = plant_archive(folder)
    below = next(path for path in planted.source.iterdir() if path.is_dir())
    slices = [planted_dataset(number) for number in range(3)]
    for image in slices:
        image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    masks = np.zeros((3, 64, 64, 1), bool)
    masks[1, 10:40, 10:40] = True
    write_segmentation(below / f"{MARK}SEG", slices, masks, ["Liver"], uid=f"{UID_ROOT}.5")
    ring = np.array([(5, 5, 5), (30, 5, 5), (30, 30, 5), (5, 30, 5)], float)
    names = [f"GTV {slices[0].PatientName.family_name}", "Cord"]
    write_structures(below / f"{MARK}RT", slices[0], [(name, [ring]) for name in names], uid=f"{UID_ROOT}.6")
    write_measurement(below / f"{MARK}SR", slices[1], "Nodule", [(4, 6), (24, 6), (24, 26), (4, 6)], 3)
    labels = folder / f"{MARK}labels.csv"
    labels.write_text(
        "sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px,radiologist,note,density\n"
        f"{UID_ROOT}.1000.0,cyst,1,2,30,40,{MARK} Reader,seen by {slices[0].PatientID},C\n"
        f"{UID_ROOT}.1000.1,{slices[0].PatientID},1,2,30,40,,,\n"
        f"{UID_ROOT}.9999,cyst,1,2,3,4,,,\n"
    )
    return planted, labels


EVERYTHING = ["--forms", "slices,series,montage,mip,video", "--tasks", "all", "--overlays", "--workers", "0"]


@pytest.mark.parametrize("options", [[], ["--dates", "shift", "--burnt-in", "allow", "--pixel-text", "off"]])
def test_med_60_no_planted_identifier_is_in_any_byte_of_what_is_written(tmp_path, capfd, options):
    planted, labels = plant(tmp_path / "planted")
    key, log, out = tmp_path / "key", tmp_path / "log.jsonl", tmp_path / "out"
    key.write_bytes(b"0123456789abcdef0123456789abcdef")
    code = main(["convert", "dicom", str(planted.source), "--out", str(out), "--deid-key", str(key),
                 "--reports", str(planted.reports), "--labels", str(labels), "--log", str(log),
                 "--reid-map", str(tmp_path / "map.csv"), *EVERYTHING, *options])  # fmt: skip
    printed = capfd.readouterr()
    assert code == ExitCode.PARTIAL  # one of the files is broken
    samples = [sample for split in Split for sample in read_samples(out, split)]
    assert len(samples) > 20
    labels_seen = {thing.label for sample in samples for thing in sample.objects}
    assert {"Liver", "Cord", "Nodule", "cyst"} <= labels_seen
    assert any(sample.id.endswith("report-findings") for sample in samples)
    reasons = {json.loads(line)["reason"] for line in (out / "rejects.jsonl").read_text().splitlines()}
    assert {"label-identifies", "label-column", "truncated", "not-dicom"} <= reasons

    places = [*haystacks(out), ("log", log.read_bytes()), ("stdout", printed.out.encode()),
              ("stderr", printed.err.encode())]  # fmt: skip
    # The command line names what it was given: its own arguments are no leak.
    canaries = [canary for canary in planted.canaries if canary != str(tmp_path / "planted")]
    assert leaks(canaries, places) == []
    # The search is able to find: the map, which lies outside, holds what the data set must not.
    assert leaks(canaries, [("map", (tmp_path / "map.csv").read_bytes())])
    assert (tmp_path / "map.csv").stat().st_mode & 0o077 == 0


def test_med_60_validation_finds_nothing_of_the_map_in_the_data_set(tmp_path, capfd):
    planted, labels = plant(tmp_path / "planted")
    (tmp_path / "key").write_bytes(b"0123456789abcdef0123456789abcdef")
    main(["convert", "dicom", str(planted.source), "--out", str(tmp_path / "out"), "--deid-key", str(tmp_path / "key"),
          "--reports", str(planted.reports), "--labels", str(labels), "--reid-map", str(tmp_path / "map.csv"),
          *EVERYTHING])  # fmt: skip
    capfd.readouterr()
    assert main(["validate", str(tmp_path / "out"), "--canary", str(tmp_path / "map.csv")]) == ExitCode.DONE, (
        capfd.readouterr()
    )
    target = tmp_path / "out" / "card.md"
    target.write_text(target.read_text() + f"\n{UID_ROOT}.1000.0\n")
    assert main(["validate", str(tmp_path / "out"), "--canary", str(tmp_path / "map.csv")]) != ExitCode.DONE


def test_med_60_inspection_shows_no_identifier(tmp_path, capfd):
    planted, labels = plant(tmp_path / "planted")
    before = sorted(planted.source.rglob("*"))
    code = main(["convert", "dicom", str(planted.source), "--labels", str(labels), "--inspect", "--contact-sheet",
                 str(tmp_path / "sheets" / "sheet.png")])  # fmt: skip
    assert code == ExitCode.PARTIAL
    printed = capfd.readouterr()
    canaries = [canary for canary in planted.canaries if canary != str(tmp_path / "planted")]
    places = [*haystacks(tmp_path / "sheets"), ("out", printed.out.encode()), ("err", printed.err.encode())]
    assert leaks(canaries, places) == []
    assert "3" in printed.out and "volume" in printed.out
    assert sorted(planted.source.rglob("*")) == before


def test_med_60_key_map_and_videos_inside_of_the_output_are_refused(tmp_path, convert_dicom, key_file):
    write_series(tmp_path / "in", numbered(1))
    out = tmp_path / "out"
    out.mkdir()
    for setting in ("reid_map", "videos"):
        with pytest.raises(UsageError, match="inside"):
            convert_dicom(tmp_path / "in", **{setting: out / "x"})
    (out / "key").write_bytes(key_file.read_bytes())
    with pytest.raises(UsageError, match="inside"):
        convert_dicom(tmp_path / "in", deid_key=out / "key")
    assert (out / "key").exists()


def test_med_60_a_key_is_needed_and_must_be_long(tmp_path, convert_dicom):
    write_series(tmp_path / "in", numbered(1))
    with pytest.raises(UsageError, match="--deid-key"):
        convert_dicom(tmp_path / "in", deid_key=None)
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(UsageError, match="--deid-key"):
        convert_dicom(tmp_path / "in", deid_key=tmp_path / "short")


def test_med_60_dates_are_dropped_or_moved_alike_for_a_patient(tmp_path, convert_dicom):
    for number, date in enumerate(("20210304", "20210311")):
        write_series(tmp_path / "in" / str(number), numbered(1, first=10 + number), StudyDate=date, root=f"1.{number}",
                     StudyInstanceUID=f"1.5.{number}", SeriesInstanceUID=f"1.6.{number}")  # fmt: skip
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="modality")
    assert not any("study_date_shifted" in details_of(sample) for sample in samples)
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="modality", dates="shift")
    dates = sorted(np.datetime64(details_of(sample)["study_date_shifted"]) for sample in samples)
    assert dates[1] - dates[0] == np.timedelta64(7, "D")
    assert dates[0] != np.datetime64("2021-03-04")


# MED-61: text in pixels


def glyphs(size, text="DOE JANE 1931"):
    """Text as a scanner burns it in."""
    image = Image.new("L", size)
    ImageDraw.Draw(image).text((3, 2), text, fill=255)
    return np.asarray(image)


def scan(rows=60, columns=100, frames=None, colour=False):
    """An ultrasound: a banner with a name above row 20, a pattern of greys from 30 to 200 in the region below it."""
    rng = np.random.default_rng(0)
    shape = (frames or 1, rows, columns, *((3,) if colour else ()))
    pixels = rng.integers(30, 200, shape).astype(np.uint8)
    banner = glyphs((columns, 20))
    pixels[:, :20] = banner[..., None] if colour else banner
    pixels[:, :, :8] = 255  # a ruler on the left
    return pixels


def region(x0, y0, x1, y1):
    made = pydicom.Dataset()
    made.RegionLocationMinX0, made.RegionLocationMinY0 = x0, y0
    made.RegionLocationMaxX1, made.RegionLocationMaxY1 = x1, y1
    made.RegionSpatialFormat, made.RegionDataType = 1, 1
    return made


def write_scan(path, pixels, **attributes):
    frames = pixels.shape[0]
    made = make_slice(
        pixels.reshape(-1, *pixels.shape[2:]),
        Modality="US", Rows=pixels.shape[1],
        SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1" if frames > 1 else "1.2.840.10008.5.1.4.1.1.6.1",
        NumberOfFrames=frames if frames > 1 else None, **attributes,
    )  # fmt: skip
    save(made, path)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("colour", [False, True])
def test_med_61_of_ultrasound_nothing_outside_of_its_regions_is_left(tmp_path, convert_dicom, frames, colour):
    pixels = scan(frames=frames, colour=colour)
    regions = [region(8, 20, 49, 59), region(60, 25, 99, 40)]
    write_scan(tmp_path / "in" / "a", pixels, SequenceOfUltrasoundRegions=regions)
    summary, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality", pixel_text="off")
    assert not rejects
    assert len(samples) == frames
    for number, sample in enumerate(samples):
        shown = pixels_of(tmp_path / "out", sample)
        expected = np.zeros_like(pixels[number])
        expected[20:60, 8:50] = pixels[number, 20:60, 8:50]
        expected[25:41, 60:100] = pixels[number, 25:41, 60:100]
        # The smallest box around both regions; what lies between them is black.
        np.testing.assert_array_equal(shown, expected[20:60, 8:100])
        assert shown.max() < 200  # no glyph and no ruler is as bright as the text was
        assert details_of(sample)["cut_px"] == [8, 20, 100, 60]
    (unit,) = summary.manifest["units"].values()
    log = unit["deidentification"]
    assert (log["pixels"]["cropped"], log["pixels"]["blanked"]) == (frames, frames)
    assert log["patient_identity_removed"]


def test_med_61_boxes_go_with_the_crop(tmp_path, convert_dicom):
    write_scan(tmp_path / "in" / "a", scan(), SequenceOfUltrasoundRegions=[region(8, 20, 99, 59)])
    labels = tmp_path / "l.csv"
    labels.write_text("sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px\n1.2.3.4.1,cyst,20,30,40,50\n")
    _, samples, _ = convert_dicom(tmp_path / "in", labels=labels, tasks="presence", pixel_text="off")
    assert samples[0].objects[0].box_px == (12, 10, 32, 30)


SUSPECTS = {
    "burnt-in": {"BurnedInAnnotation": "YES"},
    "secondary-capture": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
    "screen-capture": {"ImageType": ["ORIGINAL", "PRIMARY", "SCREEN SAVE"]},
    "derived-secondary": {"ImageType": ["DERIVED", "SECONDARY"]},
    "ultrasound-without-regions": {"Modality": "US", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"},
}


def test_med_61_suspected_images_are_quarantined_unless_they_are_allowed(tmp_path, convert_dicom):
    write_series(tmp_path / "in", numbered(1))
    for number, attributes in enumerate(SUSPECTS.values()):
        made = make_slice(numbered(1)[0] // 2 + number, SOPInstanceUID=f"1.7.{number}", **attributes)
        save(made, tmp_path / "in" / f"s{number}")
    summary, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality", pixel_text="off")
    assert len(samples) == 1
    assert {reject["reason"] for reject in rejects} == set(SUSPECTS)
    assert {reject["severity"] for reject in rejects} == {"skipped"}
    assert all("--burnt-in allow" in reject["action"] for reject in rejects)
    assert summary.exit_code is ExitCode.DONE
    logs = [unit["deidentification"] for unit in summary.manifest["units"].values()]
    assert sum(log["pixels"]["quarantined"] for log in logs) == len(SUSPECTS)

    summary, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality", pixel_text="off", burnt_in="allow")
    assert (len(samples), rejects) == (1 + len(SUSPECTS), [])
    logs = [unit["deidentification"] for unit in summary.manifest["units"].values()]
    assert sum(log["pixels"]["allowed"] for log in logs) == len(SUSPECTS)
    assert not any(log["patient_identity_removed"] for log in logs)


def test_med_61_text_that_is_found_in_pixels_keeps_an_image_out(tmp_path, convert_dicom):
    pytest.importorskip("rapidocr_onnxruntime", reason="the extra ocr is not installed")
    plain = np.random.default_rng(0).integers(90, 110, (160, 400)).astype(np.int16)
    written = np.maximum(plain, np.asarray(Image.fromarray(glyphs((133, 53))).resize((399, 159)).resize((400, 160))))
    write_series(tmp_path / "in", np.stack([plain, written]))
    summary, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality", pixel_text="all")
    assert len(samples) == 1
    assert [(reject["reason"], reject["severity"]) for reject in rejects] == [("text-in-pixels", "skipped")]
    assert "DOE" not in json.dumps(rejects).upper()
    (unit,) = summary.manifest["units"].values()
    log = unit["deidentification"]
    assert (log["pixels"]["searched"], log["pixels"]["quarantined_by_text"]) == (2, 1)
    assert log["patient_identity_removed"]
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="modality", pixel_text="all", burnt_in="allow")
    assert len(samples) == 2
    with pytest.raises(NothingToDoError, match="lines of text"):
        save(make_series(written[None])[0], tmp_path / "other" / "a")
        convert_dicom(tmp_path / "other", tasks="modality", pixel_text="all")


def test_med_61_all_images_cannot_be_searched_without_the_extra(tmp_path, convert_dicom, monkeypatch):
    write_series(tmp_path / "in", numbered(1))
    monkeypatch.setattr(pixel_text, "is_installed", lambda: False)
    with pytest.raises(UsageError, match="--pixel-text all needs the extra ocr"):
        convert_dicom(tmp_path / "in", pixel_text="all")
    _, samples, _ = convert_dicom(tmp_path / "in", pixel_text="auto")
    assert samples


# MED-62: the log


def test_med_62_each_unit_has_a_log_that_can_be_checked(tmp_path, convert_dicom):
    write_series(tmp_path / "in" / "a", numbered(3))
    write_scan(tmp_path / "in" / "b", scan(), SequenceOfUltrasoundRegions=[region(8, 20, 99, 59)],
               SOPInstanceUID="1.9", SeriesInstanceUID="1.9.1")  # fmt: skip
    summary, _, _ = convert_dicom(tmp_path / "in", dates="shift", blur_faces=True, pixel_text="off")
    units = summary.manifest["units"]
    assert len(units) == 2
    logs = [DeidentificationLog.model_validate(unit["deidentification"]) for unit in units.values()]
    for log in logs:
        assert "moved" in " ".join(log.options) and "blurred" in " ".join(log.options)
        assert log.attributes_kept > 10
    # A header alone is no proof: the slices of the CT were neither searched nor cut.
    claims = {log.pixels.cropped: log.patient_identity_removed for log in logs}
    assert claims == {0: False, 1: True}
    assert [log.pixels.kept for log in sorted(logs, key=lambda log: log.pixels.kept)] == [0, 3]


# MED-70: splits


def test_med_70_patients_are_never_divided(tmp_path, convert_dicom):
    for number in range(30):
        for study in range(2):
            write_series(
                tmp_path / "in" / f"{number}-{study}", numbered(2, first=10 + number), root=f"1.{number}.{study}",
                PatientID=f"P{number}", StudyInstanceUID=f"1.5.{number}.{study}",
                SeriesInstanceUID=f"1.6.{number}.{study}",
            )  # fmt: skip
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="modality", val_fraction=0.3, test_fraction=0.3)
    groups = {split: {sample.group for sample in samples if sample.split is split} for split in Split}
    assert all(groups.values())
    assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 30
    by_group = {}
    for sample in samples:
        by_group.setdefault(sample.group, set()).add(sample.id.split("/")[1])
    assert {len(series) for series in by_group.values()} == {2}


def test_med_70_the_split_does_not_depend_on_what_else_is_there(tmp_path, convert_dicom):
    def splits(out):
        _, samples, _ = convert_dicom(tmp_path / "in", out=out, tasks="modality", val_fraction=0.3, test_fraction=0.3)
        return {sample.group: sample.split for sample in samples}

    def add(number):
        write_series(tmp_path / "in" / str(number), numbered(1), root=f"1.{number}", PatientID=f"P{number}",
                     StudyInstanceUID=f"1.5.{number}", SeriesInstanceUID=f"1.6.{number}")  # fmt: skip

    for number in range(12):
        add(number)
    before = splits(tmp_path / "1" / "data")
    for number in range(12, 20):
        add(number)
    after = splits(tmp_path / "2" / "data")
    assert {group: after[group] for group in before} == before


def test_med_60_a_label_that_names_one_patient_is_asked_of_nobody(tmp_path, write_instance, convert_dicom):
    """The classes of a table are asked of all images that it lists: as absent of those of other patients."""
    for number, name in ((1, "Ortega^Luis"), (2, "Meier^Eva")):
        write_instance(tmp_path / "in" / f"{number}", np.full((32, 32), number, np.int16), PatientName=name,
                       PatientID=f"P-{number}", SOPInstanceUID=f"1.2.9.{number}", SeriesInstanceUID=f"1.2.8.{number}",
                       StudyInstanceUID=f"1.2.7.{number}")  # fmt: skip
    (tmp_path / "labels.csv").write_text(
        "sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px\n"
        "1.2.9.1,tumour of Ortega,2,2,20,20\n1.2.9.2,nodule,4,4,20,20\n"
    )
    _, samples, rejects = convert_dicom(tmp_path / "in", labels=tmp_path / "labels.csv", tasks="all")
    assert any("nodule" in sample.question for sample in samples)
    assert [reject["reason"] for reject in rejects if "asked of nobody" in reject["message"]] == ["label-identifies"]
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or b"ortega" not in path.read_bytes().lower()
