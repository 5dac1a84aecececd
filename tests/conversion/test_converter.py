"""Converters are found by name; of their settings, units see only what shapes their result."""

from __future__ import annotations

import pytest
from builders import ToySettings

from domainvl.conversion import ConverterSettings, converter_names, load_converter
from domainvl.errors import UsageError


def test_shares_must_leave_something_to_train_on(tmp_path):
    with pytest.raises(UsageError, match=r"--val-fraction and --test-fraction .* below 1, got 1\.1"):
        ConverterSettings(val_fraction=0.6, test_fraction=0.5).split_fractions()

    fractions = ConverterSettings(val_fraction=0.3, test_fraction=0.2, split_seed=5).split_fractions()
    assert (fractions.val, fractions.test, fractions.seed) == (0.3, 0.2, 5)


def test_the_shipped_converters_are_found():
    assert {"dicom", "geotiff", "nuscenes", "vqa-rad"} <= set(converter_names())
    assert converter_names() == sorted(converter_names())


def test_an_unknown_converter_is_named_beside_those_there_are():
    with pytest.raises(UsageError, match="There is no converter 'geotif'. Installed are: .*geotiff") as caught:
        load_converter("geotif")

    assert caught.value.exit_code == 2


class PlannedSettings(ToySettings):
    plan_fields = frozenset({"labels"})

    labels: str | None = None


def test_units_see_the_defaults_of_what_acts_on_the_plan_or_the_whole():
    settings = PlannedSettings(grey=9, labels="x", val_fraction=0.3, test_fraction=0.2, split_seed=4, licence="MIT")

    assert settings.for_units() == PlannedSettings(grey=9)


@pytest.mark.parametrize("name", converter_names())
def test_the_fields_that_act_on_a_plan_exist(name):
    settings_type = load_converter(name).settings_type

    assert settings_type.plan_fields <= settings_type.model_fields.keys()
