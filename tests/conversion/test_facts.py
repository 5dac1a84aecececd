"""What a converter finds out about a unit stands in the manifest, whoever did the unit."""

from __future__ import annotations

import pytest
from builders import ToyConverter, write_toys
from faults import DividedConverter

from domainvl.conversion import Division, convert, merge_shards
from domainvl.conversion.shards import convert_shard
from domainvl.engine import Shard


class Describing(DividedConverter):
    """Toys whose size is found out before they fall into pieces."""

    def divide(self, unit, settings):
        division = super().divide(unit, settings)
        return Division(division.units, division.rejects, {"letters": len(unit.read_text())})


class InOnePiece(ToyConverter):
    """Toys that are described and stay whole."""

    def divide(self, unit, settings):
        return Division([unit], facts={"letters": len(unit.read_text())})


@pytest.mark.parametrize("converter", [Describing(), InOnePiece()])
def test_facts_stand_under_the_name_of_the_unit(tmp_path, converter):
    source = write_toys(tmp_path / "in", car="red", ball="blue", bear="brown")
    units = convert(converter, source, tmp_path / "out").manifest["units"]
    assert units == {path.name: {"letters": len(path.read_text())} for path in sorted(source.iterdir())}


def test_facts_survive_resuming_and_shards(tmp_path):
    source = write_toys(tmp_path / "in", car="red", ball="blue", bear="brown")
    whole = convert(Describing(), source, tmp_path / "out").manifest["units"]
    shards = [
        convert_shard(Describing(), source, tmp_path / "sharded" / "out", Shard(number, 2)).folder for number in (1, 2)
    ]
    assert merge_shards(shards, tmp_path / "merged").manifest["units"] == whole


def test_without_facts_the_manifest_has_no_such_key(tmp_path):
    assert "units" not in convert(ToyConverter(), write_toys(tmp_path / "in", car="red"), tmp_path / "out").manifest
