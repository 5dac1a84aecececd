"""``domainvl validate``: what it prints, as text and as JSON, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import make_sample

from domainvl.cli.main import main
from domainvl.schema import DatasetWriter, Source, Split
from domainvl.schema.validation import KEPT_PER_RULE, RULES
from domainvl.schema.validation import findings as findings_module

HEAVY = ["torch", "transformers", "peft", "rasterio", "pyogrio", "shapely", "pydicom", "matplotlib"]
LINES = 60


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    with DatasetWriter(folder, name="data") as writer:
        pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
        image = writer.images.put_pixels(pixels).to_image(Source(uri="a.tif"))
        for number in range(LINES):
            writer.add(make_sample(f"s{number}", images=[image]))
        writer.add(make_sample("held-out", images=[], split=Split.TEST, group="other"))
        writer.finish(command="convert toy", settings={}, sources=[], versions={}, licence="CC0-1.0")
    return folder


def edit(dataset: Path, name: str, change: Any) -> None:
    """Change each record of a file."""
    path = dataset / name
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    for record in records:
        change(record)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    croissant = dataset / "croissant.json"
    content = json.loads(croissant.read_bytes())
    from domainvl.files import hash_file

    for file in content["distribution"]:
        if file.get("contentUrl") == name:
            file["sha256"] = hash_file(path)
    croissant.write_text(json.dumps(content))


def lose_licence(dataset: Path) -> None:
    manifest = json.loads((dataset / "manifest.json").read_bytes())
    (dataset / "manifest.json").write_text(json.dumps(manifest | {"licence": None}))
    card = dataset / "card.md"
    card.write_text(card.read_text().replace("license: cc0-1.0", "license: unknown"))


def read_json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_without_faults(dataset, capsys):
    assert main(["validate", str(dataset)]) == 0

    assert capsys.readouterr().out == "61 samples: 0 errors, 0 warnings\n"


def test_without_pixels_it_says_so(dataset, capsys):
    assert main(["validate", str(dataset), "--no-pixels"]) == 0

    assert capsys.readouterr().out == "61 samples: 0 errors, 0 warnings, images not decoded\n"


def test_a_fault_has_its_file_line_rule_and_fix(dataset, capsys):
    edit(dataset, "test.jsonl", lambda record: record["domainvl"].update(split="val"))

    assert main(["validate", str(dataset)]) == 8

    assert capsys.readouterr().out.splitlines() == [
        f"{dataset / 'test.jsonl'}:1: error split-mismatch: split is val, but the line stands in test.jsonl. "
        "Move the line to the file of its split.",
        "61 samples: 1 error, 0 warnings",
        "  split-mismatch                     1",
    ]


def test_warnings_pass_unless_strict(dataset, capsys):
    lose_licence(dataset)

    assert main(["validate", str(dataset)]) == 0
    assert f"{dataset / 'manifest.json'}: warning licence-missing: licence is None." in capsys.readouterr().out
    assert main(["validate", str(dataset), "--strict"]) == 8


@pytest.mark.parametrize(
    ("arguments", "printed"), [([], 20), (["--max-per-rule", "3"], 3), (["--max-per-rule", "0"], 60)]
)
def test_so_many_of_a_rule_are_printed_and_all_counted(dataset, capsys, arguments, printed):
    edit(dataset, "train.jsonl", lambda record: record["domainvl"].update(schema_version=7))

    assert main(["validate", str(dataset), *arguments]) == 8

    lines = capsys.readouterr().out.splitlines()
    assert sum("error schema-version" in line for line in lines) == printed
    hidden = f"  ({LINES - printed} not printed)" if printed < LINES else ""
    assert lines[-1] == f"  schema-version                    60{hidden}"


def test_as_json(dataset, capsys):
    edit(dataset, "test.jsonl", lambda record: record["domainvl"].update(split="val"))
    lose_licence(dataset)

    assert main(["validate", str(dataset), "--json", "--max-per-rule", "1"]) == 8

    assert read_json(capsys) == {
        "dataset": str(dataset),
        "samples": 61,
        "errors": 1,
        "warnings": 1,
        "checked": {"pixels": True, "identifiers": False, "canaries": 0},
        "kept_per_rule": KEPT_PER_RULE,
        "not_listed": 0,
        "counts": {"split-mismatch": 1, "licence-missing": 1},
        "unchecked": {},
        "findings": [
            {
                "rule": "licence-missing",
                "severity": "warning",
                "file": "manifest.json",
                "line": None,
                "message": "licence is None",
                "fix": RULES["licence-missing"].fix,
            },
            {
                "rule": "split-mismatch",
                "severity": "error",
                "file": "test.jsonl",
                "line": 1,
                "message": "split is val, but the line stands in test.jsonl",
                "fix": RULES["split-mismatch"].fix,
            },
        ],
    }


def test_json_lists_what_is_kept_and_says_how_many_are_not(dataset, capsys, monkeypatch):
    monkeypatch.setattr(findings_module.Findings.__init__, "__defaults__", (25,))
    edit(dataset, "train.jsonl", lambda record: record["domainvl"].update(schema_version=7))

    assert main(["validate", str(dataset), "--json", "--max-per-rule", "1"]) == 8

    content = read_json(capsys)
    assert (len(content["findings"]), content["not_listed"], content["counts"]) == (25, 35, {"schema-version": 60})


def test_identifiers_and_canaries(dataset, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("Ashdown\n")
    edit(dataset, "test.jsonl", lambda record: record["domainvl"].update(warnings=["Ashdown^Avelina"]))

    assert main(["validate", str(dataset)]) == 0
    assert main(["validate", str(dataset), "--phi"]) == 8
    assert main(["validate", str(dataset), "--canary", str(tmp_path / "names.txt"), "--json"]) == 8

    output = capsys.readouterr().out
    assert "Ashdown" not in output
    content = json.loads(output[output.index("\n{") :])
    assert content["counts"] == {"phi-person-name": 1, "phi-canary": 1}
    assert content["checked"] == {"pixels": True, "identifiers": True, "canaries": 1}


def test_med_60_a_map_is_hunted_for_and_not_quoted(dataset, tmp_path, capsys):
    (tmp_path / "map.csv").write_text(
        "pseudonym,kind,identifier,file\n0011223344556677,key,,\n8899aabbccddeeff,patient,Ashdown^Avelina,\n"
        "8899aabbccddeeff,patient,P1,\n"
    )
    (dataset / ".notes").write_text("avelina ashdown came\n")

    assert main(["validate", str(dataset), "--canary", str(tmp_path / "map.csv")]) == 8

    output = capsys.readouterr().out
    assert f"{dataset / '.notes'}:1: error phi-canary: identifier of row 2 of map.csv is left" in output
    assert "shdown" not in output
    assert "not checked: 1 identifiers of the map that are too short to be looked for" in output
    (dataset / ".notes").unlink()
    assert main(["validate", str(dataset), "--canary", str(tmp_path / "map.csv")]) == 0


def test_a_name_that_is_not_utf8_is_printed_escaped(dataset, capsys):
    try:
        (dataset / "images" / "\udcff.png").write_bytes(b"x")
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")

    assert main(["validate", str(dataset)]) == 0
    assert "\\udcff.png: warning image-unreferenced" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no such folder"),
        (["."], "none of train.jsonl"),
        (["data", "--canary", "none.txt"], "none.txt: there is no such file"),
        (["data", "--canary", "short.txt"], "short.txt:1"),
        (["data", "--max-per-rule", "-1"], "got -1"),
    ],
)
def test_wrong_usage_is_two(dataset, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.txt").write_text("ab\n")

    assert main(["validate", *arguments]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "Traceback" not in captured.err


def test_without_a_data_set_it_is_wrong_usage(capsys):
    assert main(["validate"]) == 2
    assert "Usage" in capsys.readouterr().err


def test_the_rules_are_listed_with_severity_demand_and_fix(capsys):
    assert main(["validate", "--rules"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 * len(RULES)
    assert lines[:3] == ["line-blank (error)", "    no line is blank", "    Fix: Remove the blank line"]
    assert "near-duplicate (warning)" in lines


@pytest.mark.parametrize("arguments", [["validate", "--help"], ["validate", "--rules"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import json, sys\n"
        "from domainvl.cli.main import main\n"
        f"code = main({arguments!r})\n"
        f"print(json.dumps([code, sorted(set(sys.modules) & set({HEAVY!r}))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


def test_what_could_not_be_checked_is_said(tmp_path, capsys):
    """A picture of one grey has no texture by which a near duplicate would be known."""
    import numpy as np
    from builders import make_sample

    from domainvl.schema import DatasetWriter, Source

    with DatasetWriter(tmp_path / "flat", name="flat") as writer:
        stored = writer.images.put_pixels(np.full((32, 32), 90, np.uint8))
        writer.add(make_sample(images=[stored.to_image(Source(uri="flat.png"))]))
        writer.finish(command="test", settings={}, sources=[], versions={}, licence="CC0-1.0")
    main(["validate", str(tmp_path / "flat")])
    assert "not checked: 1 " in capsys.readouterr().out
    main(["validate", str(tmp_path / "flat"), "--json"])
    assert list(read_json(capsys)["unchecked"].values()) == [1]
