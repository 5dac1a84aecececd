"""The frame of all converters: failures are isolated and counted, nothing is written where nothing came out."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path

import pytest
from builders import ToyConverter, ToySettings, bytes_of, write_toys
from faults import NoisyConverter

from domainvl import __version__
from domainvl.conversion import Plan, UnitResult, convert
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import Reject, Severity, Split, read_manifest, read_samples


@pytest.fixture
def toys(tmp_path):
    return write_toys(tmp_path / "toys", a="ok", b="boom", c="bad", d="skip", e="ok")


def rejects_of(out):
    return [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]


def ids_of(out):
    return sorted(sample.id for split in Split for sample in read_samples(out, split))


def line_of_the_break():
    """Where the toy converter breaks."""
    lines, first = inspect.getsourcelines(ToyConverter.convert)
    return first + next(number for number, line in enumerate(lines) if "raise ZeroDivisionError" in line)


def test_all_well_is_done(tmp_path):
    folder = write_toys(tmp_path / "toys", a="ok", b="ok")

    summary = convert(ToyConverter(), folder, tmp_path / "out")

    assert (summary.exit_code, summary.sample_count, summary.failed_count) == (ExitCode.DONE, 2, 0)
    assert summary.out == tmp_path / "out"
    assert summary.manifest == read_manifest(tmp_path / "out")
    assert ids_of(tmp_path / "out") == ["a/colour", "b/colour"]
    assert rejects_of(tmp_path / "out") == []


def test_what_fails_becomes_a_reject_and_the_others_go_on(tmp_path, toys):
    summary = convert(ToyConverter(), toys, tmp_path / "out")

    assert (summary.exit_code, summary.sample_count, summary.failed_count) == (ExitCode.PARTIAL, 2, 2)
    assert ids_of(tmp_path / "out") == ["a/colour", "e/colour"]
    assert rejects_of(tmp_path / "out") == [
        {
            "input": "b.toy",
            "stage": "convert",
            "reason": "internal-error",
            "message": f"ZeroDivisionError at builders.py:{line_of_the_break()}",
            "action": "Run the command again with --debug to see what happened",
            "severity": "failed",
        },
        {
            "input": "c.toy",
            "stage": "convert",
            "reason": "bad-toy",
            "message": "Cannot play in c.toy: it says bad. Mend it.",
            "action": "Mend it",
            "severity": "failed",
        },
        {
            "input": "d.toy",
            "stage": "label",
            "reason": "unwanted",
            "message": "not wanted",
            "action": None,
            "severity": "skipped",
        },
    ]
    assert {(row["reason"], row["count"]) for row in summary.manifest["rejects"]} == {
        ("internal-error", 1),
        ("bad-toy", 1),
        ("unwanted", 1),
    }


def test_what_is_skipped_does_not_make_a_run_partial(tmp_path):
    summary = convert(ToyConverter(), write_toys(tmp_path / "toys", a="ok", b="skip"), tmp_path / "out")

    assert (summary.exit_code, summary.failed_count) == (ExitCode.DONE, 0)
    assert len(rejects_of(tmp_path / "out")) == 1


@pytest.mark.parametrize(
    ("severity", "exit_code"), [(Severity.FAILED, ExitCode.PARTIAL), (Severity.SKIPPED, ExitCode.DONE)]
)
def test_rejects_of_the_plan_count_too(tmp_path, severity, exit_code):
    class Planned(ToyConverter):
        def plan(self, source, settings):
            plan = super().plan(source, settings)
            return Plan(plan.units, plan.sources, [Reject("z", "plan", "odd", "it is odd", severity=severity)])

    summary = convert(Planned(), write_toys(tmp_path / "toys", a="ok"), tmp_path / "out")

    assert summary.exit_code == exit_code
    assert [(row["input"], row["stage"]) for row in rejects_of(tmp_path / "out")] == [("z", "plan")]


@pytest.mark.parametrize("words", [{"a": "boom", "b": "bad"}, {"a": "skip"}])
def test_nothing_converted_is_an_error_and_leaves_nothing(tmp_path, words):
    folder = write_toys(tmp_path / "toys", **words)

    with pytest.raises(NothingToDoError) as caught:
        convert(ToyConverter(), folder, tmp_path / "out")

    failed = len([word for word in words.values() if word != "skip"])
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert f"none of {len(words)} planned units gave a sample, {failed} inputs failed" in message
    assert ("ZeroDivisionError" if failed else "not wanted") in message
    assert [path.name for path in tmp_path.iterdir()] == ["toys"]


def test_an_empty_folder_is_nothing_to_do(tmp_path):
    with pytest.raises(NothingToDoError):
        convert(ToyConverter(), write_toys(tmp_path / "toys"), tmp_path / "out")

    assert [path.name for path in tmp_path.iterdir()] == ["toys"]


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(InputNotFoundError, match="Cannot convert toy input in .*nowhere: there is no such") as caught:
        convert(ToyConverter(), tmp_path / "nowhere", tmp_path / "out")

    assert caught.value.exit_code == 2


def test_an_existing_target_is_refused_unless_overwritten(tmp_path):
    folder = write_toys(tmp_path / "toys", a="ok")
    convert(ToyConverter(), folder, tmp_path / "out")

    with pytest.raises(UsageError, match="it exists"):
        convert(ToyConverter(), folder, tmp_path / "out")
    write_toys(folder, b="ok")
    convert(ToyConverter(), folder, tmp_path / "out", overwrite=True)

    assert ids_of(tmp_path / "out") == ["a/colour", "b/colour"]


def test_equal_input_gives_equal_bytes_wherever_it_lies(tmp_path, toys):
    elsewhere = write_toys(tmp_path / "elsewhere" / "toys", e="ok", d="skip", c="bad", b="boom", a="ok")

    convert(ToyConverter(), toys, tmp_path / "1" / "out")
    convert(ToyConverter(), elsewhere, tmp_path / "2" / "out")

    assert bytes_of(tmp_path / "1" / "out") == bytes_of(tmp_path / "2" / "out")
    assert not any(str(tmp_path).encode() in content for content in bytes_of(tmp_path / "1" / "out").values())


def test_samples_come_in_the_order_of_the_plan(tmp_path):
    folder = write_toys(tmp_path / "toys", **{name: "ok" for name in "gfedcba"})
    settings = ToySettings(val_fraction=0, test_fraction=0)

    convert(ToyConverter(), folder, tmp_path / "out", settings)

    assert [sample.group for sample in read_samples(tmp_path / "out", Split.TRAIN)] == list("abcdefg")


def test_progress_counts_every_unit(tmp_path, toys):
    seen = []

    convert(ToyConverter(), toys, tmp_path / "out", on_progress=lambda now: seen.append((now.done, now.planned)))

    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_the_manifest_says_what_went_in(tmp_path, toys):
    convert(ToyConverter(), toys, tmp_path / "out", ToySettings(grey=9, split_seed=4))

    manifest = read_manifest(tmp_path / "out")
    assert (manifest["name"], manifest["command"], manifest["licence"]) == ("out", "convert toy", "CC0-1.0")
    assert manifest["settings"] == {
        "val_fraction": 0.1,
        "test_fraction": 0.1,
        "split_seed": 4,
        "grey": 9,
        "licence": None,
        "exclude_hashes": None,
    }
    assert manifest["sources"][0] == {"uri": "a.toy", "sha256": hashlib.sha256(b"ok").hexdigest(), "size_bytes": 2}
    assert [source["uri"] for source in manifest["sources"]] == [f"{name}.toy" for name in "abcde"]
    assert manifest["versions"]["domainvl"] == __version__
    assert {"numpy", "pillow"} <= set(manifest["versions"])


def test_the_provenance_of_a_sample_changes_with_the_settings(tmp_path):
    folder = write_toys(tmp_path / "toys", a="ok")
    hashes = []
    for grey in (1, 1, 2):
        out = tmp_path / f"out{len(hashes)}"
        convert(ToyConverter(), folder, out, ToySettings(grey=grey, val_fraction=0, test_fraction=0))
        (sample,) = read_samples(out, Split.TRAIN)
        assert (sample.provenance.converter, sample.provenance.version) == ("toy", __version__)
        hashes.append(sample.provenance.settings_sha256)

    assert hashes[0] == hashes[1] != hashes[2]


def test_what_a_converter_keeps_secret_is_not_written(tmp_path):
    class SecretSettings(ToySettings):
        key: str = "hunter2"

        def public(self):
            return self.model_dump(mode="json", exclude={"key"})

    class Secret(ToyConverter):
        settings_type = SecretSettings

    convert(Secret(), write_toys(tmp_path / "toys", a="ok"), tmp_path / "out")

    assert not any(b"hunter2" in content for content in bytes_of(tmp_path / "out").values())


def test_a_converter_that_divides_a_group_is_stopped(tmp_path):
    class Dividing(ToyConverter):
        def convert(self, unit, settings, images, provenance):
            (sample,) = super().convert(unit, settings, images, provenance).samples
            split = Split.TRAIN if unit.stem == "a" else Split.TEST
            fixed = {"group": "same", "split": split, "fixed_split": split}
            return UnitResult(samples=[sample.model_copy(update=fixed)])

    with pytest.raises(DatasetError, match="group 'same' is in train, not also in test"):
        convert(Dividing(), write_toys(tmp_path / "toys", a="ok", b="ok"), tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_holds_an_input_is_refused(tmp_path):
    """With --overwrite the input would be deleted."""
    toys = write_toys(tmp_path / "out" / "toys", a="ok")
    with pytest.raises(UsageError, match="lies inside it"):
        convert(ToyConverter(), toys, tmp_path / "out", overwrite=True)
    assert toys.is_dir()


def test_licence_of_the_user_wins(tmp_path, toys):
    convert(ToyConverter(), toys, tmp_path / "out", ToySettings(licence="CC-BY-4.0"))
    assert read_manifest(tmp_path / "out")["licence"] == "CC-BY-4.0"


def test_an_output_below_the_input_is_refused(tmp_path):
    """What is written there would be read: by this run, or by the next."""
    toys = write_toys(tmp_path / "toys", a="ok")

    for out in (toys / "out", toys / "deep" / "out"):
        with pytest.raises(UsageError, match="it lies inside the input"):
            convert(ToyConverter(), toys, out)
    assert [path.name for path in toys.iterdir()] == ["a.toy"]


def test_a_file_that_appears_while_a_unit_is_done_does_not_stop_the_run(tmp_path):
    """A viewer writes statistics beside a scene when it opens it."""

    class Watching(ToyConverter):
        def unit_files(self, unit):
            return [path for path in (unit, unit.with_suffix(".aux")) if path.exists()]

        def convert(self, unit, settings, images, provenance):
            unit.with_suffix(".aux").write_text("")
            return super().convert(unit, settings, images, provenance)

    toys = write_toys(tmp_path / "toys", a="ok", b="ok")
    assert convert(Watching(), toys, tmp_path / "out").sample_count == 2


def test_the_input_may_be_named_from_where_one_is(tmp_path, monkeypatch):
    write_toys(tmp_path / "toys", a="ok")
    monkeypatch.chdir(tmp_path)

    convert(ToyConverter(), Path("toys"), Path("out"))
    convert(ToyConverter(), tmp_path / "toys", tmp_path / "there" / "out")

    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "there" / "out")


def test_no_empty_folder_is_left_of_images_that_nobody_uses(tmp_path):
    summary = convert(NoisyConverter(), write_toys(tmp_path / "toys", a="ok"), tmp_path / "out")

    assert all(any(folder.iterdir()) for folder in summary.out.rglob("*") if folder.is_dir())
