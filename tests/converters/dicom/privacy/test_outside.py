"""What a run writes beside a data set does not lie in what it reads."""

from __future__ import annotations

import pytest

from domainvl.converters.dicom.privacy.outside import check_outside
from domainvl.converters.dicom.settings import DicomSettings
from domainvl.errors import UsageError


@pytest.mark.parametrize("setting", ["reid_map", "videos"])
def test_med_60_map_and_videos_inside_of_the_input_are_refused(tmp_path, setting):
    source = tmp_path / "in"
    (source / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(source)
    for inside in (source / "x", source / "below" / "x", tmp_path / "link" / "x", source):
        with pytest.raises(UsageError, match=f"--{setting.replace('_', '-')}.*inside the input") as caught:
            check_outside(source, DicomSettings(**{setting: inside}))
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(UsageError):
        check_outside(tmp_path / "link", DicomSettings(**{setting: source / "x"}))
    check_outside(source, DicomSettings(**{setting: tmp_path / "x"}))
    check_outside(source, DicomSettings(**{setting: tmp_path / "in2" / "x"}))
    check_outside(source, DicomSettings())


def test_med_60_beside_a_single_file_anything_may_lie(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"")
    check_outside(tmp_path / "a.zip", DicomSettings(reid_map=tmp_path / "map.csv", videos=tmp_path / "videos"))
