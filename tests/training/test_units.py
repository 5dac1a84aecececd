"""What several questions about the same images share, and what each token counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from training.inputs import model_input, unit_of

from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.schema import Split, read_samples
from domainvl.training.sources import DatasetSource
from domainvl.training.units import EncodedUnit


@pytest.fixture(scope="module")
def loaded(untrained: Path) -> LoadedModel:
    return load_model(str(untrained))


def encode(loaded: LoadedModel, squares: Path, *indices: int, rope_border: int | None = None) -> list[EncodedUnit]:
    source = DatasetSource(squares, "squares", "domain")
    return source.encode(indices, model_input(loaded, rope_border), 1)


@pytest.mark.parametrize(("weighting", "exponent"), [("token", 0.0), ("sample", -1.0), ("square", -0.5)])
def test_weights_by_hand(weighting: str, exponent: float) -> None:
    """Two answers of one and four tokens after three shared ones; mini-internvl.md section 3.7."""
    one = unit_of((0, 1), (0, 1, 1, 1, 1), shared=3)
    assert one.weights(weighting) == pytest.approx([0.0] * 4 + [1.0, 0.0] + [4.0**exponent] * 4)


def test_a_sample_without_supervised_tokens_counts_nothing() -> None:
    assert unit_of((0, 0)).weights("sample") == [0.0, 0.0]


def test_positions_go_on_from_what_is_shared() -> None:
    assert unit_of((0, 1), (0, 1, 1), shared=2).positions() == [0, 1, 2, 3, 2, 3, 4]
    assert unit_of((0, 1, 1)).positions() == [0, 1, 2]
    assert unit_of((0, 1), (0, 1, 1), shared=2).longest_sample == 5


def test_questions_share_the_images_and_no_answer(loaded: LoadedModel, squares: Path) -> None:
    samples = list(read_samples(squares, Split.TRAIN))
    (one,) = encode(loaded, squares, 0, 1)
    alone = [encode(loaded, squares, index)[0] for index in (0, 1)]
    assert one.shared > 16  # the visual tokens
    assert sum(one.questions) + one.shared < sum(len(single.input_ids) for single in alone)
    start = one.shared
    for index, (own, single) in enumerate(zip(one.questions, alone, strict=True)):
        assert one.input_ids[: one.shared] + one.input_ids[start : start + own] == single.input_ids
        flags = (False,) * one.shared + one.supervised[start : start + own]
        assert flags == single.supervised
        text = loaded.tokenizer.decode([t for t, f in zip(single.input_ids, flags, strict=True) if f])
        assert text.startswith(samples[index].turns[-1].text)
        start += own
    assert one.names == (samples[0].id, samples[1].id)


def test_other_images_are_not_shared(loaded: LoadedModel, squares: Path) -> None:
    """Index 2 asks about two images."""
    assert [len(unit.images) for unit in encode(loaded, squares, 2)] == [2]


def test_questions_on_both_sides_of_a_rope_border_share_no_pass(loaded: LoadedModel, squares: Path) -> None:
    """Phi-3 chooses its rotary factors by the longest sample of a call."""
    lengths = sorted(len(encode(loaded, squares, index)[0].input_ids) for index in (0, 1))
    assert lengths[0] < lengths[1]
    assert len(encode(loaded, squares, 0, 1)) == len(encode(loaded, squares, 0, 1, rope_border=lengths[1])) == 1
    assert [unit.shared for unit in encode(loaded, squares, 0, 1, rope_border=lengths[0])] == [0, 0]
