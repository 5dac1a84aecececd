"""Data sets and interleaved documents behind one face."""

from __future__ import annotations

from pathlib import Path

import pytest
from interleaved_documents import record_of, write_documents
from training.inputs import model_input

from domainvl.errors import NothingToDoError
from domainvl.interleaved import WindowLimits
from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.trained_on import trained_on
from domainvl.schema import SampleFile, Split
from domainvl.training.sources import DatasetSource, InterleavedSource

A, B = ("a", 64, 64), ("b", 128, 64)


@pytest.fixture(scope="module")
def loaded(untrained: Path) -> LoadedModel:
    return load_model(str(untrained))


def test_passes_are_neighbours_with_the_same_images(squares: Path) -> None:
    source = DatasetSource(squares, "squares", "domain")  # of each group: two about one image, one about two
    samples = SampleFile(squares, Split.TRAIN)
    passes = source.passes(8)
    assert [len(indices) for indices in passes] == [2, 1] * 12
    assert [index for indices in passes for index in indices] == list(range(36))
    for indices in passes:
        assert len({tuple(image.path for image in samples[index].images) for index in indices}) == 1
    assert [len(indices) for indices in source.passes(1)] == [1] * 36


def test_a_part_is_spread_over_the_file(squares: Path) -> None:
    some = DatasetSource(squares, "squares", "domain", Split.VAL, at_most=6)
    everything = SampleFile(squares, Split.VAL)
    assert [sample.id for sample in some.samples()] == [everything[index].id for index in range(0, 18, 3)]
    assert [sample.id for sample in some.samples(2)] == [everything[0].id, everything[9].id]


def test_what_a_part_was_trained_on_is_of_that_part_alone(squares: Path) -> None:
    everything = SampleFile(squares, Split.TRAIN)
    some = DatasetSource(squares, "squares", "domain", at_most=4).trained_on()
    picked = [everything[index] for index in (0, 9, 18, 27)]
    assert some.groups.tolist() == trained_on(picked).groups.tolist()
    assert some.images.tolist() == trained_on(picked).images.tolist()
    other = next(one for one in everything if one.group not in {sample.group for sample in picked})
    assert not some.has_group(other)


def test_images_of_documents_were_trained_on(loaded: LoadedModel, tmp_path: Path) -> None:
    path = write_documents(tmp_path / "web", [record_of(f"d{n}", "Red.", A, "Blue.", B) for n in range(9)], [A, B])
    source = InterleavedSource(path, "web", "general", model_input(loaded), WindowLimits(max_tokens=512))
    (unit,) = source.encode(range(1), model_input(loaded), 2)
    found = source.trained_on()
    assert len(found.images) == 2
    assert all(found.has_image(image) for image in unit.images)
    assert len(found.groups) == 0


def test_windows_of_documents_are_units(loaded: LoadedModel, tmp_path: Path) -> None:
    path = write_documents(
        tmp_path / "web", [record_of(f"d{n}", "What red is.", A, "Blue.", B) for n in range(60)], [A, B]
    )
    source = InterleavedSource(path, "web", "general", model_input(loaded), WindowLimits(max_tokens=512))
    held_out = InterleavedSource(path, "web", "general", model_input(loaded), WindowLimits(max_tokens=512), Split.VAL)
    assert len(source) + len(held_out) == 60
    assert source.passes(8) == [range(index, index + 1) for index in range(len(source))]
    (unit,) = source.encode(range(1), model_input(loaded), 2)
    assert [image.width_px for image in unit.images] == [64, 128]
    assert unit.tile_counts == (1, 1)  # two tiles are shared by two images
    text = loaded.tokenizer.decode([t for t, flag in zip(unit.input_ids, unit.supervised, strict=True) if flag])
    assert "red is." in text
    assert "Blue." in text
    assert "<img>" not in text
    assert unit.names == ("d0#0",)
    assert source.record["windows"] == len(source)


def test_documents_without_a_window_are_nothing_to_do(loaded: LoadedModel, tmp_path: Path) -> None:
    path = write_documents(tmp_path / "web", [record_of("d1", "No image.")], [A])
    with pytest.raises(NothingToDoError, match="no window"):
        InterleavedSource(path, "web", "general", model_input(loaded), WindowLimits(max_tokens=512))


def test_what_is_left_out_is_counted_and_listed(loaded: LoadedModel, tmp_path: Path) -> None:
    gone = ("gone", 8, 8)
    path = write_documents(tmp_path / "web", [record_of("d1", "Two.", A, "Three.", gone, "Four.")], [A])
    source = InterleavedSource(path, "web", "general", model_input(loaded), WindowLimits(max_tokens=512))
    assert sum(source.left_out.values()) == 1
    (listed,) = source.listed
    assert listed["reason"] in source.left_out
    assert "gone" in listed["where"]


def test_texts_alone_are_a_source_where_that_is_asked_for(loaded: LoadedModel, tmp_path: Path) -> None:
    path = write_documents(tmp_path / "web", [record_of(f"d{n}", "A text without images.") for n in range(20)])
    limits = WindowLimits(max_tokens=512, text_only=True)
    source = InterleavedSource(path, "web", "general", model_input(loaded), limits)
    (unit,) = source.encode(range(1), model_input(loaded), 2)
    assert unit.images == ()
    assert unit.supervised == (False, *[True] * (len(unit.input_ids) - 1))  # nothing stands before the first token
