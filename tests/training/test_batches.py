"""The tensors of packs and of padded rows."""

from __future__ import annotations

import pytest
import torch
from training.inputs import unit_of

from domainvl.model.packed_attention import UnitPlace
from domainvl.training.batches import IGNORED, ReadUnit, collate

UNITS = [ReadUnit(unit_of((0, 0, 1, 1)), 0, ()), ReadUnit(unit_of((0, 1), (0, 1, 1), shared=2), 1, ())]


def test_a_pack_has_no_padding_and_positions_restart() -> None:
    batch = collate(UNITS, padding_id=9, arrangement="packed", weighting="sample")
    assert batch.input_ids.tolist() == [[0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 0, 1, 2, 3, 2, 3, 4]]
    no = IGNORED
    assert batch.labels.tolist() == [[no, no, 2, 3, no, no, no, 3, no, 5, 6]]
    assert batch.weights.tolist() == [[0, 0, 0.5, 0.5, 0, 0, 0, 1, 0, 0.5, 0.5]]
    assert batch.sources.tolist() == [[0] * 4 + [1] * 7]
    assert batch.layout.units == (UnitPlace(0, 0, 0, (4,)), UnitPlace(0, 4, 2, (2, 3)))
    assert (batch.layout.rows, batch.layout.tokens) == (1, 11)


def test_no_label_stands_where_another_unit_would_predict_it() -> None:
    """Labels are shifted by one over the whole row: the first of a unit, and of a question, must not be one."""
    batch = collate(UNITS, padding_id=9, arrangement="packed")
    for place in batch.layout.units:
        starts = [place.start, *(place.start + place.shared + sum(place.questions[:n]) for n in (0, 1))]
        assert all(batch.labels[0, start] == IGNORED for start in starts if start < 11)


def test_rows_are_padded_to_the_longest_and_padding_counts_nothing() -> None:
    batch = collate(UNITS, padding_id=9, arrangement="grouped")
    assert batch.input_ids.shape == (2, 7)
    assert batch.input_ids[0].tolist() == [0, 1, 2, 3, 9, 9, 9]
    assert (batch.labels[0, 4:] == IGNORED).all()
    assert batch.weights[0, 4:].sum() == 0
    assert [unit.row for unit in batch.layout.units] == [0, 1]
    assert torch.equal(batch.sources[1], torch.ones(7, dtype=torch.long))


@pytest.mark.parametrize("arrangement", ["packed", "grouped"])
def test_nothing_at_all_is_one_token_that_counts_nothing(arrangement: str) -> None:
    batch = collate([], padding_id=9, arrangement=arrangement)
    assert batch.input_ids.tolist() == [[9]]
    assert batch.labels.tolist() == [[IGNORED]]
    assert batch.layout.units == (UnitPlace(0, 0, 0, (1,)),)
