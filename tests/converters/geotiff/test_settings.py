"""What the settings refuse before anything is read, and what of them the manifest says."""

from pathlib import Path

import pytest

from domainvl.converters.geotiff import GeotiffSettings
from domainvl.errors import InputNotFoundError, UsageError


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"tile_px": 64, "overlap_px": 64}, "--overlap-px must be below --tile-px 64, got 64"),
        ({"bands": "1", "view": ["ndvi"]}, "--bands and --view are both given"),
        ({"split_by": "area"}, "--split-by area needs --split-areas"),
        ({"split_by": "date"}, "--split-by date needs --val-from or --test-from"),
        ({"split_by": "block", "val_from": "2020"}, "--val-from is for --split-by date, not block"),
        ({"split_block_m": 100.0}, "--split-block-m is for --split-by block, not scene"),
        ({"split_by": "date", "val_from": "20200101"}, "it must be YYYY-MM-DD, YYYY-MM or YYYY, got '20200101'"),
        ({"label_date": "2020"}, "--label-date is for --series"),
        ({"stretch": "fixed:1"}, "got 'fixed:1'"),
        ({"nodata": "black"}, "got 'black'"),
        ({"tasks": "guess"}, "got 'guess'"),
        ({"view": ["ndiv"]}, "'ndiv': known are true-colour.*ndvi.*hillshade"),
        ({"crs": "EPSG:99999"}, "--crs.*got 'EPSG:99999'"),
        ({"crs": "EPSG:4326", "gsd_m": 10.0}, "EPSG:4326 has degrees"),
        ({"split_by": "date", "val_from": "2021", "test_from": "2020"}, "--val-from must be before --test-from 2020"),
        ({"phrasing_seed": 3}, "--phrasing-seed is for --phrasing varied"),
        ({"sar_values": "db", "view": ["ndvi"]}, "--sar-values db is for --view sar-db"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, rule):
    with pytest.raises(UsageError, match=rule):
        GeotiffSettings(**settings).check()


@pytest.mark.parametrize("name", ["labels", "class_names"])
def test_a_named_file_must_be_there(tmp_path, name):
    with pytest.raises(InputNotFoundError, match=rf"--{name.replace('_', '-')} in .*gone\.csv"):
        GeotiffSettings(**{name: tmp_path / "gone.csv"}).check()


def test_the_manifest_does_not_name_the_local_folder_of_the_labels():
    public = GeotiffSettings(labels=Path("some/where/labels.gpkg"), class_names=Path("some/where/n.csv")).public()
    assert (public["labels"], public["class_names"]) == ("labels.gpkg", "n.csv")


def test_every_setting_is_described():
    assert [name for name, field in GeotiffSettings.model_fields.items() if not field.description] == []
