"""Checking a data set on disk against every rule of the format; finds all faults, not only the first."""

from domainvl.schema.validation.canaries import Canary, read_canaries
from domainvl.schema.validation.findings import KEPT_PER_RULE, Finding
from domainvl.schema.validation.rules import RULES, Rule, Severity
from domainvl.schema.validation.run import ValidationOptions, ValidationReport, validate

__all__ = [
    "KEPT_PER_RULE",
    "RULES",
    "Canary",
    "Finding",
    "Rule",
    "Severity",
    "ValidationOptions",
    "ValidationReport",
    "read_canaries",
    "validate",
]
