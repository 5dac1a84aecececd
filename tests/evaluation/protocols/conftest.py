"""Keeps what a machine has installed out of the golden numbers."""

from __future__ import annotations

import pytest

from domainvl.evaluation.protocols import rules_generic


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Java and scorers of factuality are not there."""
    monkeypatch.setattr(rules_generic, "meteor_missing", lambda: "METEOR needs Java, which is not installed")
    monkeypatch.setattr(rules_generic, "factuality_scorers", list)
