"""Methods as they are named on the command line."""

from __future__ import annotations

from typing import get_args

import pytest

from domainvl.cli.options import parse_method, parse_plan_method
from domainvl.errors import UsageError
from domainvl.planning.plan import PlanMethod
from domainvl.training.recipe import Method


def test_each_method_is_known_and_none_stays_none():
    assert [parse_method(name) for name in (*get_args(Method), None)] == [*get_args(Method), None]
    assert [parse_plan_method(name) for name in (*get_args(PlanMethod), None)] == [*get_args(PlanMethod), None]


def test_others_are_refused():
    with pytest.raises(UsageError, match="--method must be lora or full, got 'qlora'"):
        parse_method("qlora")
    with pytest.raises(UsageError, match="--method must be lora, full or qlora, got ''"):
        parse_plan_method("")
