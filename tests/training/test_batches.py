"""The plan of batches and the tensors they become."""

from pathlib import Path

import pytest
import torch

from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.preprocessing import TileReader
from domainvl.schema import SampleFile, Split
from domainvl.training.batches import (
    IGNORED,
    BatchPlan,
    EncodedPass,
    collate,
    encode_pass,
    group_into_passes,
    micro_batches,
)

PASSES = [range(start, start + 3) for start in range(0, 600, 3)]


@pytest.fixture(scope="module")
def loaded(untrained: Path) -> LoadedModel:
    return load_model(str(untrained))


def encode(loaded: LoadedModel, squares: Path, *indices: int) -> list[EncodedPass]:
    samples = SampleFile(squares, Split.TRAIN)
    reader = TileReader(squares, loaded.spec.preprocessing)
    return encode_pass([samples[index] for index in indices], loaded.encoder(), reader, loaded.spec.preprocessing)


def test_each_epoch_is_each_pass_once() -> None:
    plan = BatchPlan(PASSES, batch_size=16, seed=4)
    assert plan.passes_per_step == 5  # 16 samples are 5.33 passes of three
    for number in range(3):
        batches = plan.epoch(number)
        assert sorted((one for batch in batches for one in batch), key=lambda one: one.start) == PASSES
        assert len(batches) == plan.steps_per_epoch == 40


def test_order_depends_on_seed_and_epoch_alone() -> None:
    plan = BatchPlan(PASSES, batch_size=16, seed=4)
    assert plan.epoch(1) == BatchPlan(PASSES, batch_size=16, seed=4).epoch(1)
    assert plan.epoch(1) != plan.epoch(0)
    assert plan.epoch(1) != BatchPlan(PASSES, batch_size=16, seed=5).epoch(1)


@pytest.mark.parametrize(("size", "steps"), [(1, 200), (10_000, 1)])
def test_extreme_batch_sizes(size: int, steps: int) -> None:
    assert BatchPlan(PASSES, batch_size=size, seed=0).steps_per_epoch == steps


def test_passes_are_neighbours_with_the_same_images(squares: Path) -> None:
    samples = SampleFile(squares, Split.TRAIN)  # of each group: two about one image, one about two
    passes = group_into_passes(samples, 8)
    assert [len(indices) for indices in passes] == [2, 1] * 12
    assert [index for indices in passes for index in indices] == list(range(36))
    for indices in passes:
        assert len({tuple(image.path for image in samples[index].images) for index in indices}) == 1
    assert [len(indices) for indices in group_into_passes(samples, 1)] == [1] * 36


def test_a_question_sees_the_images_and_itself_alone(loaded: LoadedModel, squares: Path) -> None:
    (one,) = encode(loaded, squares, 0, 1)
    mask = collate([one], 0).attention_mask(torch.float32)[0, 0]
    seen = mask == 0
    for row, row_segment in enumerate(one.segments):
        for column, column_segment in enumerate(one.segments):
            expected = column <= row and column_segment in (0, row_segment)
            assert bool(seen[row, column]) is expected
    shared = one.segments.count(0)
    assert one.positions[:shared] == tuple(range(shared))
    for number in (1, 2):
        own = [position for position, segment in zip(one.positions, one.segments, strict=True) if segment == number]
        assert own == list(range(shared, shared + len(own)))


def test_padding_is_neither_seen_nor_trained_on(loaded: LoadedModel, squares: Path) -> None:
    encoded = encode(loaded, squares, 0) + encode(loaded, squares, 2)  # one image, two images
    batch = collate(encoded, padding_id=0)
    mask = batch.attention_mask(torch.float32)
    short, long = len(encoded[0].input_ids), len(encoded[1].input_ids)
    assert short < long == batch.input_ids.shape[1]
    assert (batch.labels[0, short:] == IGNORED).all()
    assert (mask[0, 0, :short, short:] < 0).all()
    for row, one in enumerate(encoded):
        supervised = torch.tensor(one.supervised)
        labels = batch.labels[row, : len(one.input_ids)]
        assert torch.equal(labels != IGNORED, supervised)
        assert torch.equal(labels[supervised], batch.input_ids[row, : len(one.input_ids)][supervised])
    assert sum(len(tiles) for tiles in batch.tiles) == 3


def test_micro_batches_keep_passes_whole_and_similar_lengths_together() -> None:
    def one(length: int, questions: int) -> EncodedPass:
        segments = (0, *[1 + index * questions // length for index in range(length)])
        return EncodedPass((0,) * (length + 1), (False,) * (length + 1), (0,) * (length + 1), segments, ())

    passes = [one(50, 2), one(10, 1), one(40, 2), one(12, 1), one(90, 5)]
    parts = micro_batches(passes, 4)
    assert [[len(part.input_ids) - 1 for part in parts_of] for parts_of in parts] == [[10, 12, 40], [50], [90]]


def test_passes_on_both_sides_of_a_rope_border_are_computed_apart() -> None:
    """Phi-3 chooses its rotary factors by the longest row of a batch."""

    def one(length: int) -> EncodedPass:
        return EncodedPass((0,) * length, (False,) * length, tuple(range(length)), (1,) * length, ())

    passes = [one(9), one(11), one(10), one(12)]
    assert [[len(part.input_ids) for part in parts] for parts in micro_batches(passes, 4, 10)] == [[9, 10], [11, 12]]
    assert len(micro_batches(passes, 4)) == 1


def test_questions_on_both_sides_of_a_rope_border_share_no_pass(squares: Path, loaded: LoadedModel) -> None:
    samples = SampleFile(squares, Split.TRAIN)
    pair = [samples[index] for index in group_into_passes(samples, 8)[0]]
    reader = TileReader(squares, loaded.spec.preprocessing)
    arguments = (pair, loaded.encoder(), reader, loaded.spec.preprocessing)
    lengths = sorted(len(loaded.encoder().encode(sample.turns, [1]).input_ids) for sample in pair)
    assert len(pair) > 1
    assert lengths[0] < lengths[-1]
    assert len(encode_pass(*arguments)) == len(encode_pass(*arguments, lengths[-1])) == 1
    assert len(encode_pass(*arguments, lengths[0])) == len(pair)


@pytest.mark.parametrize(("weighting", "exponent"), [("token", 0.0), ("sample", -1.0), ("square", -0.5)])
def test_weights_by_hand(weighting: str, exponent: float) -> None:
    """Two answers of one and four tokens after three shared ones."""
    one = EncodedPass(
        input_ids=tuple(range(10)),
        supervised=(False, False, False, False, True, False, True, True, True, True),
        positions=(0, 1, 2, 3, 4, 3, 4, 5, 6, 7),
        segments=(0, 0, 0, 1, 1, 2, 2, 2, 2, 2),
        tiles=(),
    )
    expected = [0.0] * 4 + [1.0, 0.0] + [4.0**exponent] * 4
    assert one.weights(weighting) == pytest.approx(expected)
    assert collate([one], 0, weighting).weights[0].tolist() == pytest.approx(expected)
