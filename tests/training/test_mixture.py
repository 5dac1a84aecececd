"""How many samples of each source, and which: by seed, never a file's head."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domainvl.errors import InputNotFoundError, NothingToDoError, RecipeError, UsageError
from domainvl.schema import DatasetWriter
from domainvl.training.mixture import (
    MixtureSpec,
    SourceSpec,
    check_held_out,
    draw,
    load_mixture,
    mixture_of,
    open_sources,
    samples_per_epoch,
)
from domainvl.training.recipe import Mixture
from domainvl.training.sources import ModelInput


def spec(**sources: dict) -> MixtureSpec:
    return MixtureSpec(sources={name: SourceSpec(path=Path(name), **kind) for name, kind in sources.items()})


GENERAL = {"role": "general"}
MODEL = cast("ModelInput", None)  # data sets are opened without


@pytest.mark.parametrize(
    ("sources", "sizes", "mixture", "expected"),
    [
        ({"a": {}, "b": {}}, [10, 30], {}, [10, 30]),
        ({"a": {"repeat": 2.5}, "b": {"repeat": 0.1}}, [10, 30], {}, [25, 3]),
        ({"a": {"weight": 1}, "b": {"weight": 3}}, [10, 30], {}, [10, 30]),
        ({"a": {"weight": 3}, "b": {"weight": 1}}, [10, 30], {}, [30, 10]),
        ({"a": {}, "g": GENERAL}, [100, 1000], {"general_ratio": 0.25}, [100, 25]),
        ({"a": {}, "g": GENERAL}, [100, 10], {"general_ratio": 0.25}, [100, 25]),
        ({"a": {"repeat": 2}, "g": GENERAL, "h": GENERAL}, [100, 300, 100], {"general_ratio": 1.0}, [200, 150, 50]),
        ({"a": {}, "g": GENERAL}, [100, 1000], {"general_repeat": 0.2}, [100, 200]),
        ({"a": {}, "g": GENERAL}, [100, 1000], {"general_ratio": 0.0}, [100, 0]),
        ({"a": {}, "g": GENERAL}, [100, 1000], {}, [100, 1000]),
    ],
)
def test_counts_by_hand(sources: dict, sizes: list[int], mixture: dict, expected: list[int]) -> None:
    assert samples_per_epoch(spec(**sources), sizes, Mixture(**mixture)) == expected


@pytest.mark.parametrize(
    ("sources", "mixture", "message"),
    [
        ({"a": {}}, {"general_ratio": 0.25}, "general_ratio is 0.25, but no source is general"),
        ({"a": {}}, {"general_repeat": 0.2}, "general_repeat is 0.2, but no source is general"),
        ({"g": GENERAL}, {"general_ratio": 0.25}, "all sources are general"),
        ({"a": {"weight": 1}, "b": {}}, {}, "each source has a weight"),
        ({"a": {"weight": 1, "repeat": 2}}, {}, "each source has a weight"),
        ({"a": {}, "g": GENERAL}, {"general_ratio": 0.01}, "no sample of g would be seen"),
        ({"a": {"repeat": 0.01}}, {}, "no sample of a would be seen"),
        ({"a": {"weight": 1}, "b": {"weight": 1000}}, {}, "no sample of a would be seen"),
        ({"a": {}, "g": GENERAL | {"repeat": 3}}, {"general_repeat": 1}, "a repeat of its own"),
    ],
)
def test_contradictions_are_refused(sources: dict, mixture: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        samples_per_epoch(spec(**sources), [10] * len(sources), Mixture(**mixture))


PASSES = [range(start, start + 3) for start in range(0, 30, 3)]


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 100), seed=st.integers(0, 50))
def test_each_sample_as_often_as_any_other_but_for_the_rest(count: int, seed: int) -> None:
    drawn = draw(PASSES, count, np.random.default_rng(seed))
    seen = np.bincount([index for one in drawn for index in one], minlength=30)
    assert seen.sum() == count
    assert set(seen.tolist()) <= {count // 30, count // 30 + 1}
    # Samples about the same images stay together, but for one pass that is cut.
    assert sum(one not in PASSES for one in drawn) <= 1


def test_the_rest_is_drawn_by_seed_and_not_from_the_head() -> None:
    seeds = [sorted(index for one in draw(PASSES, 10, np.random.default_rng(seed)) for index in one) for seed in (1, 2)]
    assert seeds[0] != seeds[1]
    assert list(range(10)) not in seeds
    assert draw(PASSES, 10, np.random.default_rng(1)) == draw(PASSES, 10, np.random.default_rng(1))


def test_folders_are_named_by_their_last_part(tmp_path: Path) -> None:
    made = mixture_of([tmp_path / "a" / "set", tmp_path / "b" / "set"], [tmp_path / "web"])
    assert {name: source.role for name, source in made.sources.items()} == {
        "set": "domain",
        "set-2": "domain",
        "web": "general",
    }
    with pytest.raises(UsageError, match="named twice"):
        mixture_of([tmp_path / "a", tmp_path / "." / "a"])


def test_a_file_names_sources_relative_to_itself(tmp_path: Path) -> None:
    (tmp_path / "mix.yaml").write_text("sources:\n  chest: {path: data/chest, repeat: 2}\n")
    assert load_mixture(tmp_path / "mix.yaml").sources["chest"] == SourceSpec(path=tmp_path / "data/chest", repeat=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sources: {}", "at least 1"),
        ("sources: {a: {}}", r"sources\.a\.path is missing"),
        ("sources: {a: {path: x, repeat: 0}}", r"sources\.a\.repeat.*greater than 0"),
        ("sources: {a: {path: x, wieght: 1}}", r"unknown key sources\.a\.wieght \(did you mean weight\?\)"),
        ("sources: {a: {path: x}}\nsuorces: {}", r"unknown key suorces \(did you mean sources\?\)"),
        (
            "sources:\n  a: {path: x}\n  a: {path: y}",
            r"mix\.yaml: the key 'a' stands twice .* line 3",
        ),
        ("[", "not YAML"),
        ("3", "must be a mapping"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "mix.yaml").write_text(content)
    with pytest.raises(RecipeError, match=message):
        load_mixture(tmp_path / "mix.yaml")


def test_missing_and_empty_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="no such file"):
        load_mixture(tmp_path / "none.yaml")
    with pytest.raises(InputNotFoundError, match="no such folder"):
        open_sources(mixture_of([tmp_path / "none"]), MODEL, 4096)
    with DatasetWriter(tmp_path / "empty", name="empty") as writer:
        writer.finish(command="none", settings={}, sources=[], versions={})
    with pytest.raises(NothingToDoError, match=r"train\.jsonl is empty"):
        open_sources(mixture_of([tmp_path / "empty"]), MODEL, 4096)


def test_no_source_trains_on_what_another_holds_out(squares: Path, tmp_path: Path) -> None:
    """The same samples with val and train exchanged; a copy holds out the same and is no leak."""
    copy, exchanged = shutil.copytree(squares, tmp_path / "copy"), shutil.copytree(squares, tmp_path / "exchanged")
    check_held_out(mixture_of([squares, copy]))
    val = (exchanged / "val.jsonl").read_text().replace('"split":"val"', '"split":"train"')
    val = val.replace('"fixed_split":"val"', '"fixed_split":"train"')
    (exchanged / "train.jsonl").write_text(val)
    (exchanged / "val.jsonl").write_text("")
    with pytest.raises(
        UsageError, match=r"18 training samples of exchanged show images that \S+ holds out, for example"
    ):
        check_held_out(mixture_of([squares], [exchanged]))
    check_held_out(mixture_of([exchanged]))


def test_texts_alone_are_for_documents_only() -> None:
    assert SourceSpec(path=Path("a"), kind="interleaved", text_only=True).text_only
    with pytest.raises(ValueError, match="text_only is for sources of kind interleaved"):
        SourceSpec(path=Path("a"), text_only=True)
