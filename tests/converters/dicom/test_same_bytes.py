"""The same files and the same key give the same bytes, however the work is shared out; another key only other names."""

from __future__ import annotations

import numpy as np
import pytest
from builders import bytes_of, differences
from dicom_annotations import write_segmentation
from dicom_series import CORONAL, make_series, numbered, save, write_series

from domainvl.conversion import RunSettings, convert, merge_shards
from domainvl.conversion.shards import convert_shard
from domainvl.converters.dicom import CONVERTER, DicomSettings
from domainvl.engine import Shard
from domainvl.schema import Split, read_samples


@pytest.fixture
def archive(tmp_path):
    """Five patients with two stacks each, one with a segmentation, and things that are left out."""
    folder = tmp_path / "in"
    for number in range(5):
        series = {"PatientID": f"P{number}", "StudyInstanceUID": f"1.5.{number}", "SeriesInstanceUID": f"1.6.{number}"}
        write_series(folder / f"{number}", numbered(4, 32, 32, first=10 + number), root=f"1.1.{number}", **series)
        write_series(folder / f"{number}" / "c", numbered(2, first=60 + number), root=f"1.2.{number}", cosines=CORONAL,
                     **series)  # fmt: skip
    images = make_series(numbered(4, 32, 32, first=10), root="1.1.0", PatientID="P0", StudyInstanceUID="1.5.0",
                         SeriesInstanceUID="1.6.0")  # fmt: skip
    masks = np.zeros((4, 32, 32, 2), bool)
    masks[1, 4:20, 4:20, 0], masks[1:3, 8:28, 20:31, 1] = True, True
    write_segmentation(folder / "seg", images, masks, ["Liver", "Spleen"])
    broken = make_series(numbered(1), root="1.9", SeriesInstanceUID="1.9.9")[0]
    broken.PixelData = broken.PixelData[:7]
    save(broken, folder / "broken")
    (folder / "note.txt").write_text("noise")
    return folder


def settings_of(tmp_path, key=b"0123456789abcdef", **settings):
    (tmp_path / key.hex()).write_bytes(key)
    return DicomSettings(
        deid_key=tmp_path / key.hex(), forms="slices,series,montage,mip", tasks="all", phrasing="varied", dates="shift",
        pixel_text="off", **settings,
    )  # fmt: skip


@pytest.mark.slow
def test_workers_and_shards_give_the_same_bytes(archive, tmp_path):
    settings = settings_of(tmp_path)
    convert(CONVERTER, archive, tmp_path / "none" / "data", settings, run=RunSettings(workers=0))
    expected = bytes_of(tmp_path / "none" / "data")
    assert len(expected) > 40
    for count in (1, 2):
        out = tmp_path / str(count) / "data"
        convert(CONVERTER, archive, out, settings, run=RunSettings(workers=count))
        assert differences(out, expected) == []
    staging = tmp_path / "sharded" / "data"
    shards = [convert_shard(CONVERTER, archive, staging, Shard(number, 3), settings).folder for number in (1, 2, 3)]
    merge_shards(shards[::-1], tmp_path / "merged" / "data")
    assert differences(tmp_path / "merged" / "data", expected) == []


def test_med_60_another_key_gives_other_names_and_the_same_pixels(archive, tmp_path):
    keys = (b"0123456789abcdef", b"fedcba9876543210")
    names, pixels = [], []
    for number, key in enumerate(keys):
        out = tmp_path / str(number) / "data"
        convert(CONVERTER, archive, out, settings_of(tmp_path, key), run=RunSettings())
        samples = [sample for split in Split for sample in read_samples(out, split)]
        names.append({part for sample in samples for part in sample.id.split("/")[:2]})
        # Which thing is marked is drawn by its name, so that marked images are left aside.
        seen = {image.pixel_sha256 for sample in samples for image in sample.images
                if "mark" not in image.source.details}  # fmt: skip
        pixels.append(seen)
    assert not names[0] & names[1]
    assert pixels[0] == pixels[1]


def test_med_60_the_same_key_gives_the_same_pseudonyms_in_another_run(tmp_path):
    seen = []
    for name, first in (("a", 10), ("b", 70)):
        write_series(tmp_path / name, numbered(1, first=first), root=f"1.{first}", SeriesInstanceUID=f"1.7.{first}")
        convert(CONVERTER, tmp_path / name, tmp_path / "out" / name, settings_of(tmp_path), run=RunSettings())
        samples = [sample for split in Split for sample in read_samples(tmp_path / "out" / name, split)]
        seen.append((samples[0].group, samples[0].id.split("/")[1]))
    assert seen[0][0] == seen[1][0]  # the patient
    assert seen[0][1] != seen[1][1]  # two series
