"""The folder of statistics: what is written into it, and what it may replace."""

from __future__ import annotations

import json

import pytest
from builders import make_sample

from domainvl.errors import UsageError
from domainvl.viewing.output import to_json, write_stats
from domainvl.viewing.stats import collect_stats
from domainvl.viewing.tokens import TokenRules

DEFAULT = TokenRules.load(None, max_tiles=None)


@pytest.fixture(scope="module")
def stats(gallery):
    return collect_stats(gallery, DEFAULT)


def test_numbers_and_pictures(stats, tmp_path):
    written = write_stats(stats, tmp_path / "new" / "stats")

    assert sorted(written) == sorted((tmp_path / "new" / "stats").iterdir())
    assert json.loads((tmp_path / "new" / "stats" / "stats.json").read_text()) == stats.to_dict()


def test_json_is_ascii_whatever_it_holds(tmp_path, save):
    stats = collect_stats(save(tmp_path, [make_sample(images=[], domain="Straße")]), DEFAULT)
    stats.name = "scan-\udcff"

    assert to_json(stats).isascii()
    assert json.loads(to_json(stats)) == stats.to_dict()


def test_pictures_of_an_earlier_run_do_not_stay(stats, tmp_path, save):
    write_stats(stats, tmp_path / "stats")
    other = collect_stats(save(tmp_path / "data", [make_sample(images=[])]), DEFAULT)
    write_stats(other, tmp_path / "stats")

    names = sorted(path.name for path in (tmp_path / "stats").iterdir())
    assert names == ["answers.png", "samples.png", "stats.json", "tokens.png"]


def test_what_is_not_its_own_is_left_alone(stats, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")

    with pytest.raises(UsageError, match="it holds thesis.txt"):
        write_stats(stats, tmp_path)
    with pytest.raises(UsageError, match="it is a file"):
        write_stats(stats, tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
