"""How images were made when a model was trained: taken from the record, agreed on, never contradicted."""

from __future__ import annotations

from typing import Any

import pytest

from domainvl.errors import UsageError
from domainvl.prediction.trained_settings import agree, settings_of_dataset, settings_of_training
from domainvl.schema.operations.merge import merge_datasets
from domainvl.training.identity import training_record
from domainvl.training.recipe_files import load_recipe
from domainvl.training.sources import DatasetSource

FIXED = ("tile_px", "bands")


def found(*values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"tile_px": 512, "bands": None, "edge": "pad"} | value for value in values]


def test_what_training_records_is_what_is_read(squares, tmp_path):
    """The record is written by training itself; data that is mixed in so that nothing is forgotten does not count."""
    recipe = load_recipe("quickstart/remote-sensing")
    sources = [DatasetSource(squares, "a", "domain"), DatasetSource(squares, "b", "general")]
    record = training_record(recipe, sources, {})
    record["sources"]["a"]["command"] = record["sources"]["b"]["command"] = "convert geotiff"
    record["sources"]["b"]["conversion_settings"] = {"groups": 1}
    assert settings_of_training(record, "geotiff") == [{"groups": 24}]
    assert settings_of_training(record, "dicom") == []
    assert settings_of_training({}, "geotiff") == []


def test_settings_are_found_through_a_merge(tmp_path):
    from bright_scenes import write_bright

    from domainvl.conversion import convert
    from domainvl.converters.geotiff import CONVERTER, GeotiffSettings

    for name, tile_px in (("a", 100), ("b", 120)):
        (tmp_path / name).mkdir()
        origin = {"a": 400_000, "b": 600_000}[name]
        from rasterio.transform import from_origin

        write_bright(tmp_path / name / f"{name}.tif", [], transform=from_origin(origin, 5_600_000, 10, 10))
        (tmp_path / f"{name}.csv").write_text(f"scene,label\n{name},field\n")
        settings = GeotiffSettings(labels=tmp_path / f"{name}.csv", tile_px=tile_px)
        convert(CONVERTER, tmp_path / name, tmp_path / f"{name}-data", settings)
    merge_datasets([tmp_path / "a-data", tmp_path / "b-data"], tmp_path / "both")
    assert [settings["tile_px"] for settings in settings_of_dataset(tmp_path / "both", "geotiff")] == [100, 120]
    with pytest.raises(UsageError, match="must be made by domainvl convert dicom, got 'merge'"):
        settings_of_dataset(tmp_path / "both", "dicom")


def test_what_is_on_record_counts_where_nothing_is_given():
    assert agree(found({}), {}, fixed=FIXED, free=("edge",)) == {"tile_px": 512, "bands": None, "edge": "pad"}


def test_what_is_free_is_the_users():
    assert agree(found({}), {"edge": "shift"}, fixed=FIXED, free=("edge",))["edge"] == "shift"


@pytest.mark.parametrize(
    ("records", "given", "message"),
    [
        (found({}), {"tile_px": 256}, "--tile-px must be 512, as the model was trained, got 256"),
        (found({}), {"bands": "1,2,3"}, '--bands must be left out, as the model was trained, got "1,2,3"'),
        (found({}, {"tile_px": 256}), {}, "trained with different values of --tile-px: 512 or 256"),
        (found({}, {"tile_px": 256}), {"tile_px": 64}, "--tile-px must be 512 or 256"),
        ([], {}, "does not say how its images were made"),
        ([], {"edge": "pad"}, "does not say how its images were made"),
    ],
)
def test_contradictions_are_refused(records, given, message):
    with pytest.raises(UsageError, match=message):
        agree(records, given, fixed=FIXED, free=("edge",))


def test_the_user_decides_where_records_disagree_or_say_nothing():
    assert agree(found({}, {"tile_px": 256}), {"tile_px": 256}, fixed=FIXED)["tile_px"] == 256
    assert agree([], {"tile_px": 64}, fixed=FIXED) == {"tile_px": 64}
