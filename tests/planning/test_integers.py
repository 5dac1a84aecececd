"""Fake tensors whose integers are known."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from domainvl.planning.integers import KnownIntegers


@pytest.fixture
def known():
    fakes = FakeTensorMode()
    with fakes, KnownIntegers(fakes) as mode:
        yield mode


REAL = torch.tensor([[3, 5, 5], [7, 5, 1]])
OVERWRITTEN = REAL.clone()


def test_a_mask_selects_as_many_as_it_has_true_elements(known):
    ids = known.fake(REAL)
    hidden = torch.empty(2, 3, 8)

    assert hidden[ids == 5].shape == (3, 8)
    assert hidden[:, :-1][ids[:, 1:] != 5].shape == (1, 8)


def test_a_mask_selects_in_the_backward_pass_too(known):
    hidden = torch.empty(2, 3, 8, requires_grad=True)
    hidden[known.fake(REAL) == 5].sum().backward()

    assert hidden.grad.shape == (2, 3, 8)


def test_values_are_answered(known):
    ids = known.fake(REAL)

    assert ids.max().item() == 7
    assert bool((ids > 0).all()) is True
    assert bool((ids > 1).all()) is False
    assert int((ids == 5).sum()) == 3
    assert (ids + 1).float().shape == (2, 3)
    assert torch.cat([ids, torch.zeros(2, 1, dtype=torch.long)], dim=1).min().item() == 0


def test_writing_in_place_changes_the_values(known):
    mask = torch.ones(2, 3, dtype=torch.long)
    mask[0, 0] = 0

    assert mask.sum().item() == 5


def test_numbers_nobody_knows_are_some_number(known):
    loss = torch.empty(4).sum()

    assert isinstance(loss.item(), float)


def test_tensors_stay_fake(known):
    assert isinstance(known.fake(REAL) == 5, FakeTensor)


def test_large_integers_are_not_computed(known):
    mask = torch.ones(2000, 2000, dtype=torch.bool).tril()

    assert isinstance(mask, FakeTensor)
    assert mask not in known._known


def test_writing_something_unknown_makes_values_unknown(known):
    ids = known.fake(OVERWRITTEN)
    ids.copy_(torch.empty(2, 3).argmax(-1, keepdim=True).expand(2, 3))

    assert ids not in known._known
