from __future__ import annotations

import pytest

from domainvl.converters.nuscenes.tables.links import faults_in_time
from domainvl.converters.nuscenes.tables.rows import SampleRow


def rows(**links: tuple[int, str]) -> dict[str, SampleRow]:
    """Return key frames by token, of which each has a time and the token of the next."""
    return {token: SampleRow(token, time_us, "scene", None, after) for token, (time_us, after) in links.items()}


@pytest.mark.parametrize(
    ("links", "found"),
    [
        ({"a": (1, "b"), "b": (2, "c"), "c": (3, "")}, set()),
        ({"a": (1, "b"), "b": (1, "")}, {("a", "b", "backwards-timestamp")}),
        ({"a": (1, "a")}, {("a", "a", "link-loop")}),
        ({"a": (1, "b"), "b": (2, "a")}, {("b", "a", "link-loop")}),
        # Only b and c lie on the loop, to which a leads.
        ({"a": (5, "b"), "b": (1, "c"), "c": (2, "b")}, {("a", "b", "backwards-timestamp"), ("c", "b", "link-loop")}),
        # What is not among the rows is passed over.
        ({"a": (1, "gone")}, set()),
    ],
)
def test_drv_04_links_must_lead_to_later_rows(
    links: dict[str, tuple[int, str]], found: set[tuple[str, str, str]]
) -> None:
    assert {(*ends, fault.reason) for ends, fault in faults_in_time(rows(**links))} == found
    backwards = dict(reversed(links.items()))
    assert {(*ends, fault.reason) for ends, fault in faults_in_time(rows(**backwards))} == found
