"""Images that must not be in a data set are left out, wherever they come from, and counted."""

from __future__ import annotations

import json

import pytest
from builders import ToyConverter, ToySettings, bytes_of, write_toys

from domainvl.conversion import convert
from domainvl.conversion.exclusion import MADE_OF, excluded_image, read_excluded
from domainvl.conversion.shards import convert_shard, merge_shards
from domainvl.engine import Shard
from domainvl.errors import InputNotFoundError, UsageError
from domainvl.schema import Split, read_samples
from domainvl.schema.operations.few_shot import FewShotSettings, few_shot_dataset


class Coloured(ToyConverter):
    """Each file has a grey of its own."""

    def convert(self, unit, settings, images, provenance):
        return super().convert(unit, settings.model_copy(update={"grey": ord(unit.stem)}), images, provenance)


def samples_of(out):
    return [sample for split in Split for sample in read_samples(out, split)]


@pytest.fixture
def toys(tmp_path):
    return write_toys(tmp_path / "toys", a="ok", b="ok", c="ok")


def test_med_71_images_of_a_list_are_left_out_and_counted(tmp_path, toys):
    convert(Coloured(), toys, tmp_path / "all")
    first, *others = samples_of(tmp_path / "all")
    (tmp_path / "hashes.txt").write_text(f"{first.images[0].pixel_sha256.upper()}\n\n")

    settings = ToySettings(exclude_hashes=tmp_path / "hashes.txt")
    summary = convert(Coloured(), toys, tmp_path / "out", settings)

    assert [sample.id for sample in samples_of(tmp_path / "out")] == [sample.id for sample in others]
    (reject,) = (json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines())
    assert (reject["input"], reject["reason"], reject["severity"]) == (first.id, "excluded-image", "skipped")
    assert summary.manifest["settings"]["exclude_hashes"] == "hashes.txt"
    assert not (tmp_path / "out" / first.images[0].path).exists()


def test_med_71_held_out_images_of_a_data_set_are_left_out(tmp_path, toys):
    for seed in range(99):
        convert(Coloured(), toys, tmp_path / "b", ToySettings(split_seed=seed, test_fraction=0.5), overwrite=True)
        held_out = {sample.images[0].pixel_sha256 for sample in read_samples(tmp_path / "b", Split.TEST)}
        if 0 < len(held_out) < 3:
            break

    assert read_excluded(tmp_path / "b") == held_out
    convert(Coloured(), toys, tmp_path / "out", ToySettings(exclude_hashes=tmp_path / "b"))
    assert held_out.isdisjoint(sample.images[0].pixel_sha256 for sample in samples_of(tmp_path / "out"))


def test_shards_leave_out_the_same(tmp_path, toys):
    convert(Coloured(), toys, tmp_path / "all")
    (tmp_path / "hashes.txt").write_text(samples_of(tmp_path / "all")[1].images[0].pixel_sha256)
    settings = ToySettings(exclude_hashes=tmp_path / "hashes.txt")
    convert(Coloured(), toys, tmp_path / "one" / "out", settings)

    shards = [convert_shard(Coloured(), toys, tmp_path / "two" / "out", Shard(n, 2), settings).folder for n in (1, 2)]
    merge_shards(shards, tmp_path / "two" / "out")

    assert bytes_of(tmp_path / "two" / "out") == bytes_of(tmp_path / "one" / "out")


@pytest.mark.parametrize(
    ("content", "rule"), [("", "names no image"), ("ab\n", "line 1 must be a hash"), (None, "it has no manifest.json")]
)
def test_what_names_no_images_is_refused(tmp_path, content, rule):
    path = tmp_path / "list"
    path.mkdir() if content is None else path.write_text(content)
    with pytest.raises(UsageError, match=rule):
        read_excluded(path)


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(InputNotFoundError, match="--exclude-hashes"):
        read_excluded(tmp_path / "none")


def test_med_71_an_image_made_of_one_that_is_left_out_goes_too():
    def record(pixels, **details):
        return {"domainvl": {"images": [{"pixel_sha256": pixels, "source": {"uri": "a", "details": details}}]}}

    excluded = frozenset({"a" * 64})
    assert excluded_image(record("a" * 64), excluded)
    assert excluded_image(record("b" * 64, **{MADE_OF: ["c" * 64, "a" * 64]}), excluded)
    assert not excluded_image(record("b" * 64, **{MADE_OF: ["c" * 64]}), excluded)
    assert not excluded_image(record("b" * 64), excluded)


def test_what_a_solved_example_shows_is_no_held_out_image(squares, tmp_path):
    few_shot_dataset(squares, tmp_path / "shots", FewShotSettings(shots=1, held_out_too=True))
    training = {image.pixel_sha256 for sample in read_samples(squares, Split.TRAIN) for image in sample.images}
    shown = {image.pixel_sha256 for sample in read_samples(tmp_path / "shots", Split.TEST) for image in sample.images}
    assert shown & training
    assert read_excluded(tmp_path / "shots") == read_excluded(squares)
