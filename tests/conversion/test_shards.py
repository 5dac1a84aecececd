"""However the work is shared out, the same data set comes out, byte for byte."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from builders import ToyConverter, ToySettings, bytes_of, differences, write_toys
from faults import DividedConverter, FaultyConverter

from domainvl.conversion import Plan, RunSettings, convert, load_converter, merge_shards
from domainvl.conversion.shards import convert_shard
from domainvl.engine import Shard
from domainvl.errors import DatasetError, ExitCode, NothingToDoError, UsageError
from domainvl.schema.writer import Reject


def convert_in_shards(converter, source, out, count, settings=None):
    """Convert into OUT through shards that are merged in the wrong order."""
    staging = out.with_name("sharded") / out.name
    summaries = [convert_shard(converter, source, staging, Shard(n, count), settings) for n in range(1, count + 1)]
    return merge_shards([summary.folder for summary in reversed(summaries)], out)


def generated(name: str, folder: Path):
    """Generate an input of several units in the format of a converter."""
    source = folder / "inputs"
    settings: dict[str, object] = {}
    if name == "geotiff":
        from domainvl.converters.geotiff.generate import generate_scenes

        generate_scenes(source, scene_count=5, seed=0)
        settings = {"labels": source / "labels.geojson", "label_field": "class", "tile_px": 32}
    elif name == "dicom":
        from domainvl.converters.dicom.generate import generate_series

        generate_series(source, patient_count=6, seed=0)
        (folder / "key").write_text(secrets.token_hex(32))
        settings = {"deid_key": folder / "key", "labels": source / "labels.csv", "header_slices_per_stack": 2}
    else:
        from domainvl.converters.nuscenes.generate import generate_dataroot

        generate_dataroot(source, scene_count=6, frames_per_scene=1, seed=0)
    (source / "broken.tif").write_bytes(b"II*\0 and no more")
    converter = load_converter(name)
    return converter, source, converter.settings_type(**settings)


@pytest.fixture(scope="module")
def cluster():
    """A Ray on this machine for all of these tests; a conversion that finds one running uses it."""
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Ray ends tasks when its machine has little memory left, whoever took it; that is not what is tested here.
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dicom", "geotiff", "nuscenes"])
def test_workers_shards_and_ray_give_the_same_bytes(tmp_path, name, cluster):
    converter, source, settings = generated(name, tmp_path)
    out = tmp_path / "one" / "data"
    convert(converter, source, out, settings, run=RunSettings(workers=1))
    expected = bytes_of(out)
    assert len(expected) > 20

    convert(converter, source, tmp_path / "two" / "data", settings, run=RunSettings(workers=2))
    assert differences(tmp_path / "two" / "data", expected) == []
    convert(converter, source, tmp_path / "none" / "data", settings, run=RunSettings(workers=0))
    assert differences(tmp_path / "none" / "data", expected) == []
    convert_in_shards(converter, source, tmp_path / "four" / "data", 4, settings)
    assert differences(tmp_path / "four" / "data", expected) == []
    convert(converter, source, tmp_path / "ray" / "data", settings, run=RunSettings(ray="local"))
    assert differences(tmp_path / "ray" / "data", expected) == []


WORDS = {"a": "ok", "b": "boom", "c": "bad", "d": "skip", "e": "ok", "f": "twin", "g": "ok"}


@pytest.mark.parametrize("count", [1, 2, 3, 7, 9])
def test_any_number_of_shards_gives_the_same_bytes(tmp_path, count):
    """Failures, skipped inputs and the duplicate of a sample in another shard too; some of nine shards are empty."""
    toys = write_toys(tmp_path / "toys", **WORDS)
    summary = convert(FaultyConverter(), toys, tmp_path / "one" / "out")

    merged = convert_in_shards(FaultyConverter(), toys, tmp_path / "merged" / "out", count)

    assert bytes_of(tmp_path / "merged" / "out") == bytes_of(tmp_path / "one" / "out")
    assert (merged.sample_count, merged.failed_count) == (summary.sample_count, summary.failed_count) == (3, 3)


def test_divided_units_stay_whole(tmp_path):
    toys = write_toys(tmp_path / "toys", a="ok", b="boom2", c="ok", d="bad")
    convert(DividedConverter(), toys, tmp_path / "one" / "out", run=RunSettings(workers=2))

    convert_in_shards(DividedConverter(), toys, tmp_path / "merged" / "out", 3)

    assert bytes_of(tmp_path / "merged" / "out") == bytes_of(tmp_path / "one" / "out")


def test_a_shard_reads_its_own_share_only(tmp_path):
    toys = write_toys(tmp_path / "toys", a="ok", b="bad", c="ok", d="ok")

    summary = convert_shard(ToyConverter(), toys, tmp_path / "out", Shard(2, 2))

    assert summary.folder == tmp_path / "out.shard-2-of-2"
    assert (summary.unit_count, summary.progress.samples, summary.exit_code) == (2, 1, ExitCode.PARTIAL)
    record = json.loads((summary.folder / "shard.json").read_text())
    assert [source["uri"] for source in record["sources"]] == ["b.toy", "d.toy"]
    assert {path.name for path in summary.folder.iterdir()} == {"shard.json", "parts", "dataset"}
    assert {path.name for path in tmp_path.iterdir()} == {"toys", "out.shard-2-of-2"}


@pytest.mark.parametrize("more", [{}, {"b": "skip"}, {"b": "bad"}, {"b": "boom"}])
def test_a_shard_ends_as_the_whole_would(tmp_path, more):
    toys = write_toys(tmp_path / "toys", a="ok", **more)

    shard = convert_shard(ToyConverter(), toys, tmp_path / "out", Shard(1, 1))

    assert shard.exit_code is convert(ToyConverter(), toys, tmp_path / "out").exit_code


def test_a_shard_that_is_done_is_not_done_again(tmp_path):
    toys = write_toys(tmp_path / "toys", a="ok")
    convert_shard(ToyConverter(), toys, tmp_path / "out", Shard(1, 1))

    with pytest.raises(UsageError, match="it is done already. Remove it to make it again"):
        convert_shard(ToyConverter(), toys, tmp_path / "out", Shard(1, 1))


class TestWhatCannotBeMerged:
    @pytest.fixture
    def shards(self, tmp_path):
        toys = write_toys(tmp_path / "toys", a="ok", b="ok", c="ok")
        return [convert_shard(ToyConverter(), toys, tmp_path / "out", Shard(n, 3)).folder for n in (1, 2, 3)]

    @pytest.mark.parametrize("chosen", [[0, 1], [0, 1, 1], [0, 1, 2, 2], [2]])
    def test_missing_and_repeated_shards(self, tmp_path, shards, chosen):
        with pytest.raises(UsageError, match="each of 3 shards once, got"):
            merge_shards([shards[n] for n in chosen], tmp_path / "out")

        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("what", ["settings", "plan_sha256", "count"])
    def test_shards_of_different_conversions(self, tmp_path, shards, what):
        toys = write_toys(tmp_path / "other" / "toys", a="ok", b="ok", c="ok")
        settings = ToySettings(split_seed=5) if what == "settings" else ToySettings()
        if what == "plan_sha256":
            write_toys(toys, d="ok")
        other = convert_shard(
            ToyConverter(), toys, tmp_path / "other" / "out", Shard(3, 4 if what == "count" else 3), settings
        )

        with pytest.raises(UsageError, match=f"must be of one conversion, but {what} differs"):
            merge_shards([*shards[:2], other.folder], tmp_path / "out")

    @pytest.mark.parametrize(
        ("field", "value"),
        [("notes", ["3 files of Ashdown"]), ("plan_rejects", []), ("unit_count", 7), ("licence", "CC-BY-NC-4.0")],
    )
    def test_shards_whose_plans_say_different_things(self, tmp_path, field, value):
        """What the data set has from the first shard must stand in all of them."""
        toys = write_toys(tmp_path / "toys", a="ok", b="ok")

        class Noting(ToyConverter):
            def plan(self, source, settings):
                reject = Reject("c.toy", "plan", "no-use", "it is of no use", None)
                return replace(super().plan(source, settings), notes=("2 files",), rejects=(reject,))

        shards = [convert_shard(Noting(), toys, tmp_path / "out", Shard(n, 2)).folder for n in (1, 2)]
        record = json.loads((shards[1] / "shard.json").read_text())
        (shards[1] / "shard.json").write_text(json.dumps(record | {field: value}))

        with pytest.raises(UsageError, match=f"must be of one conversion, but {field} differs") as caught:
            merge_shards(shards, tmp_path / "out")
        assert "Ashdown" not in str(caught.value)

        (shards[1] / "shard.json").write_text(json.dumps(record))
        assert merge_shards(shards, tmp_path / "out").sample_count == 2

    def test_a_shard_that_was_not_finished(self, tmp_path, shards):
        (shards[1] / "shard.json").unlink()

        with pytest.raises(UsageError, match=r"shard-2-of-3: it has no shard\.json"):
            merge_shards(shards, tmp_path / "out")

    def test_a_shard_that_lost_a_part(self, tmp_path, shards):
        (part,) = (shards[1] / "parts").rglob("*.jsonl")
        part.write_bytes(part.read_bytes()[:-1])

        with pytest.raises(DatasetError, match=r"the part of b\.toy is missing or damaged"):
            merge_shards(shards, tmp_path / "out")

        assert not (tmp_path / "out").exists()

    def test_a_shard_that_lost_an_image(self, tmp_path, shards):
        for shard in shards:
            shutil.rmtree(shard / "dataset")

        with pytest.raises(DatasetError, match="the images of a.toy are missing or damaged"):
            merge_shards(shards, tmp_path / "out")

    def test_a_shard_with_an_image_that_was_cut_short(self, tmp_path, shards):
        (image,) = (shards[1] / "dataset" / "images").rglob("*.png")
        image.write_bytes(image.read_bytes()[:10])

        with pytest.raises(DatasetError, match=r"the images of b\.toy are missing or damaged"):
            merge_shards(shards, tmp_path / "out")

    def test_shards_that_read_different_labels(self, tmp_path):
        class Labelled(ToyConverter):
            def plan(self, source, settings):
                plan = super().plan(source, settings)
                return Plan(plan.units, {**plan.sources, "labels": source / "labels"})

        toys = write_toys(tmp_path / "other" / "toys", a="ok", b="ok")
        folders = []
        for number in (1, 2):
            (toys / "labels").write_text(str(number))
            folders.append(convert_shard(Labelled(), toys, tmp_path / "other" / "out", Shard(number, 2)).folder)

        with pytest.raises(UsageError, match="shard-2-of-2: it has read another labels than a shard before it"):
            merge_shards(folders, tmp_path / "out")

    def test_unreadable_records(self, tmp_path, shards):
        (shards[1] / "shard.json").write_text("{}")

        with pytest.raises(DatasetError, match="Unreadable shard"):
            merge_shards(shards, tmp_path / "out")

    def test_shards_without_a_sample(self, tmp_path):
        toys = write_toys(tmp_path / "toys", a="bad", b="skip")
        folders = [convert_shard(ToyConverter(), toys, tmp_path / "out", Shard(n, 2)).folder for n in (1, 2)]

        with pytest.raises(NothingToDoError, match="no shard has a sample"):
            merge_shards(folders, tmp_path / "out")


def test_a_stopped_shard_goes_on(tmp_path):
    toys = write_toys(tmp_path / "toys", **{name: "ok" for name in "abcdef"})

    def stop(progress):
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(Exception, match="2 of 3 units are done"):
        convert_shard(ToyConverter(), toys, tmp_path / "out", Shard(1, 2), on_progress=stop)
    summary = convert_shard(ToyConverter(), toys, tmp_path / "out", Shard(1, 2))

    assert (summary.progress.resumed, summary.progress.samples) == (2, 3)


def test_merging_takes_no_second_copy_of_the_pixels(tmp_path):
    toys = write_toys(tmp_path / "toys", a="ok")
    shard = convert_shard(ToyConverter(), toys, tmp_path / "out", Shard(1, 1)).folder
    merge_shards([shard], tmp_path / "out")

    (ours,), (theirs,) = ((folder / "images").rglob("*.png") for folder in (tmp_path / "out", shard / "dataset"))
    assert os.path.samefile(ours, theirs)
