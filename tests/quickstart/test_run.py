"""The quickstart in a reduced form: everything happens, little is learned."""

import json
from pathlib import Path

import pytest

from domainvl.cli.main import main
from domainvl.errors import ExitCode
from domainvl.evaluation.results import RESULTS_NAME, Results, read_results
from domainvl.training.log import read_log
from domainvl.training.rates import without_measured

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of the same command."""
    folders = tuple(tmp_path_factory.mktemp("quickstart") / name for name in ("a", "b"))
    for folder in folders:
        assert main(["quickstart", "--size", "0.01", "--out", str(folder)]) == ExitCode.DONE
    return folders


def without_place_and_costs(results: Results) -> Results:
    """What must be equal: all but where it was made and what it took."""
    systems = [
        system.model_copy(
            update={"cost": None, "about": {key: system.about[key] for key in {"weights"} & set(system.about)}}
        )
        for system in results.systems
    ]
    data = results.data.model_copy(update={"folder": ""})
    return results.model_copy(update={"systems": tuple(systems), "data": data})


@pytest.mark.parametrize("domain", ["remote-sensing", "medical", "driving"])
def test_same_command_twice_gives_the_same_data_and_answers(finished: tuple[Path, Path], domain: str) -> None:
    a, b = (folder / domain for folder in finished)
    names = [file.relative_to(a) for part in ("dataset", "scores") for file in (a / part).rglob("*") if file.is_file()]
    assert len(names) > 40
    for name in names:
        if name.name != RESULTS_NAME:
            assert (a / name).read_bytes() == (b / name).read_bytes(), name
    found = [without_place_and_costs(read_results(folder / "scores")) for folder in (a, b)]
    assert found[0] == found[1]
    logs = [[without_measured(row) for row in read_log(folder / "run" / "log.jsonl")] for folder in (a, b)]
    assert logs[0] == logs[1]


def test_the_table_has_all_domains_and_says_what_is_real(finished: tuple[Path, Path]) -> None:
    lines = (finished[0] / "quickstart.md").read_text().splitlines()
    head = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert head == ["input", "domain", "line", "metric", "n", "groups", "adapted", "base", "blank images", "majority"]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert {(row[0], row[1]) for row in rows} == {
        ("generated", "remote-sensing"),
        ("generated", "medical"),
        ("generated", "driving"),
        ("real", "medical"),
    }


def test_own_folder_is_used_instead_of_generated_files(finished: tuple[Path, Path], tmp_path: Path) -> None:
    inputs = finished[0] / "remote-sensing" / "inputs"
    out = tmp_path / "own"
    arguments = ["--domain", "remote-sensing", "--data", str(inputs), "--labels", str(inputs / "labels.geojson")]
    assert main(["quickstart", *arguments, "--size", "0.01", "--out", str(out)]) == ExitCode.DONE
    assert not (out / "remote-sensing" / "inputs").exists()
    manifest = json.loads((out / "remote-sensing" / "dataset" / "manifest.json").read_text())
    assert len(manifest["sources"]) == len(list(inputs.glob("*.tif"))) + 1
    assert all(line.startswith("| own") for line in (out / "quickstart.md").read_text().splitlines()[2:])
