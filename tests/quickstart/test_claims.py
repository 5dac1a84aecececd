"""What the full quickstart must show; needs the folder of a run: ``pytest --quickstart DIR``."""

import json
from pathlib import Path

import pytest

from domainvl.evaluation.results import read_results

DOMAINS = ("remote-sensing", "medical", "driving")
MIN_GROUPS = 100


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest) -> Path:
    folder = request.config.getoption("--quickstart")
    if folder is None:
        pytest.skip("needs --quickstart DIR, the folder of a full run")
    return folder


@pytest.mark.parametrize("domain", DOMAINS)
def test_adapted_is_above_all_others_at_every_task(folder: Path, domain: str) -> None:
    results = read_results(folder / domain / "scores")
    judged = [one for one in results.comparisons if one.name.endswith(" accuracy")]
    assert {one.b for one in judged} == {"base", "majority", "blank images"}
    assert len({one.name for one in judged}) >= 3
    assert min(line.groups for line in results.lines if line.average is None) >= MIN_GROUPS
    assert [(one.name, one.b, one.verdict) for one in judged if one.verdict != "better"] == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_held_out_groups_and_pixels_are_not_trained_on(folder: Path, domain: str) -> None:
    groups: dict[str, set[str]] = {}
    pixels: dict[str, set[str]] = {}
    for split in ("train", "test"):
        for line in (folder / domain / "dataset" / f"{split}.jsonl").read_text().splitlines():
            truth = json.loads(line)["domainvl"]
            groups.setdefault(split, set()).add(truth["group"])
            pixels.setdefault(split, set()).update(image["pixel_sha256"] for image in truth["images"])
    assert not groups["train"] & groups["test"]
    assert not pixels["train"] & pixels["test"]


def test_table_says_which_rows_are_generated_and_which_real(folder: Path) -> None:
    table = (folder / "quickstart.md").read_text()
    kinds = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert set(kinds) == {"generated", "real"}
