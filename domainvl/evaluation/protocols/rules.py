"""The names by which protocols call rules and formulas; each field's rules stand in a module of their own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from domainvl.evaluation.protocols import (
    rules_drivelm,
    rules_driving,
    rules_generic,
    rules_medical,
    rules_remote_sensing,
    rules_text,
)
from domainvl.evaluation.protocols.items import Formula, Item, Rule, RuleResult

__all__ = ["FORMULAS", "RULES", "Formula", "Item", "Rule", "RuleResult"]

MODULES = (rules_generic, rules_medical, rules_text, rules_remote_sensing, rules_driving, rules_drivelm)
"""Each has the rules of a field, under names that no other has."""

RULES: Mapping[str, Rule] = MappingProxyType({name: rule for module in MODULES for name, rule in module.RULES.items()})

FORMULAS: Mapping[str, Formula] = MappingProxyType(dict(rules_drivelm.FORMULAS))
