"""Bad input of every kind ends in one message of the form "what, where, rule, next action", with its exit code."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from domainvl.cli.main import main
from domainvl.conversion import converter_names
from domainvl.errors import ExitCode

CONVERTERS = tuple(converter_names())
TINY_STEPS = ["--set", "optimisation.max_steps=1", "--set", "validation.answers=0"]


@pytest.fixture
def run(capsys):
    """Run a command; return its exit code and what it wrote to the error stream, which never is a traceback."""

    def run(*arguments: object) -> tuple[int, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, " ".join(captured.err.split())

    return run


def options(converter: str, folder: Path) -> list[str]:
    """Settings without which a converter would refuse for another reason."""
    if converter in ("dicom", "mimic-cxr"):
        key = folder / "deid.key"
        key.write_text("0123456789abcdef" * 4)
        return ["--deid-key", str(key)]
    if converter == "geotiff":
        labels = folder / "labels.csv"
        labels.write_text("scene,label\nscene,field\n")
        return ["--labels", str(labels)]
    return []


@pytest.mark.parametrize("converter", CONVERTERS)
def test_missing_folder(run, tmp_path: Path, converter: str) -> None:
    code, error = run(
        "convert", converter, tmp_path / "nowhere", "--out", tmp_path / "out", *options(converter, tmp_path)
    )
    assert code == ExitCode.USAGE
    assert f"{tmp_path / 'nowhere'}: there is no such file or folder" in error


@pytest.mark.parametrize("converter", CONVERTERS)
def test_empty_folder(run, tmp_path: Path, converter: str) -> None:
    (tmp_path / "empty").mkdir()
    code, error = run(
        "convert", converter, tmp_path / "empty", "--out", tmp_path / "out", *options(converter, tmp_path)
    )
    # A folder without nuScenes tables or the files of a benchmark is not one of their kind; these search for files.
    searching = ("dicom", "geotiff", "nifti")
    assert code == (ExitCode.NOTHING_DONE if converter in searching else ExitCode.USAGE)
    assert "Error: " in error
    assert str(tmp_path / "empty") in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("converter", ["geotiff", "dicom"])
def test_wrong_extension(run, tmp_path: Path, converter: str) -> None:
    """A file is what it holds: text named as imagery is refused, whatever its name."""
    source = tmp_path / "in"
    source.mkdir()
    (source / {"geotiff": "scene.tif", "dicom": "slice.dcm"}[converter]).write_text("not an image")
    code, error = run("convert", converter, source, "--out", tmp_path / "out", *options(converter, tmp_path))
    assert code == ExitCode.NOTHING_DONE
    assert "the first:" in error or "no " in error


def test_truncated_image_costs_itself_only(run, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    generator = np.random.default_rng(0)
    for name in ("whole", "cut"):
        with rasterio.open(
            source / f"{name}.tif", "w", driver="GTiff", width=64, height=64, count=3, dtype="uint8",
            crs="EPSG:32633", transform=from_origin(500_000, 5_000_000, 10, 10), compress="deflate",
        ) as file:  # fmt: skip
            file.write(generator.integers(1, 255, (3, 64, 64), dtype=np.uint8))
    content = (source / "cut.tif").read_bytes()
    (source / "cut.tif").write_bytes(content[: len(content) // 2])
    labels = tmp_path / "labels.csv"
    labels.write_text("scene,label\nwhole,field\ncut,field\n")
    code, _ = run("convert", "geotiff", source, "--labels", labels, "--tile-px", 64, "--out", tmp_path / "out")
    assert code == ExitCode.PARTIAL
    rejects = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    assert {reject["severity"] for reject in rejects} == {"failed"}
    assert all("cut" in reject["input"] for reject in rejects)
    splits = [(tmp_path / "out" / f"{split}.jsonl").read_text() for split in ("train", "val", "test")]
    lines = "".join(splits).splitlines()
    assert lines
    assert all('"id":"whole' in line for line in lines)


def test_misspelt_key_of_a_recipe(run, tmp_path: Path, squares: Path, untrained: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"method: lora\nmodel: {untrained}\noptimisation:\n  lerning_rate: 1.0e-3\n")
    code, error = run("finetune", "--recipe", recipe, "--data", squares, "--out", tmp_path / "run")
    assert code == ExitCode.USAGE
    assert "unknown key optimisation.lerning_rate (did you mean learning_rate?)" in error
    assert str(recipe) in error


def test_wrong_placeholder_count(run, tmp_path: Path, squares: Path, untrained: Path) -> None:
    data = shutil.copytree(squares, tmp_path / "data")
    lines = (data / "train.jsonl").read_text().splitlines()
    lines[4] = lines[4].replace("<image>", "<image><image>", 1)
    (data / "train.jsonl").write_text("\n".join(lines) + "\n")
    code, error = run(
        "finetune", "--recipe", "medical", "--data", data, "--model", untrained, "--out", tmp_path / "run", *TINY_STEPS
    )
    assert code == ExitCode.USAGE
    assert "train.jsonl:5: " in error
    assert "2 placeholders, 1 images" in error
    assert "domainvl convert" in error


@pytest.mark.parametrize("command", ["finetune", "eval"])
def test_checkpoint_of_another_kind(run, tmp_path: Path, squares: Path, untrained: Path, command: str) -> None:
    other = shutil.copytree(untrained, tmp_path / "llava")
    (other / "config.json").write_text(json.dumps({"model_type": "llava"}))
    recipe = ["--recipe", "medical"] if command == "finetune" else []
    code, error = run(command, *recipe, "--model", other, "--data", squares, "--out", tmp_path / "out")
    assert code == ExitCode.USAGE
    assert "model_type must be 'internvl'" in error
    assert "got 'llava'" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["finetune", "eval"])
def test_folder_that_is_no_data_set(run, tmp_path: Path, untrained: Path, command: str) -> None:
    (tmp_path / "data").mkdir()
    recipe = ["--recipe", "medical"] if command == "finetune" else []
    code, error = run(command, *recipe, "--model", untrained, "--data", tmp_path / "data", "--out", tmp_path / "out")
    assert code == ExitCode.USAGE
    assert "is missing" in error
    assert "Make one with: domainvl convert" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["finetune", "--method", "qlora"], "--method must be lora or full, got 'qlora'"),
        (["eval", "--split", "dev"], "--split must be one of train, val, test, got 'dev'"),
        (["eval", "--device", "cuda:7"], "Cannot use the device 'cuda:7'"),
    ],
)
def test_wrong_option(run, tmp_path: Path, squares: Path, untrained: Path, arguments: list[str], message: str) -> None:
    recipe = ["--recipe", "medical"] if arguments[0] == "finetune" else []
    code, error = run(*arguments, *recipe, "--model", untrained, "--data", squares, "--out", tmp_path / "out")
    assert code == ExitCode.USAGE
    assert message in error


def finetune(data: Path, model: Path, out: Path, *changes: str, general: Path | None = None) -> list[object]:
    settings = [text for change in changes for text in ("--set", change)]
    more = ["--general", general] if general else []
    recipe = ["--recipe", "quickstart/medical"]
    return ["finetune", *recipe, "--data", data, *more, "--model", model, "--out", out, *TINY_STEPS, *settings]


def with_preprocessing(model: Path, target: Path, **changes: str) -> Path:
    copy = shutil.copytree(model, target)
    spec = json.loads((copy / "domainvl.json").read_text())
    spec["preprocessing"].update(changes)
    (copy / "domainvl.json").write_text(json.dumps(spec))
    return copy


def without(dataset: Path, split: str, target: Path) -> Path:
    copy = shutil.copytree(dataset, target)
    (copy / f"{split}.jsonl").write_text("")
    return copy


@pytest.fixture
def never_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no weights be read: what contradicts the data is found before."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr("domainvl.model.checkpoint._load_native", refuse)


@pytest.mark.usefixtures("never_loaded")
@pytest.mark.parametrize("dry_run", [False, True], ids=["run", "dry-run"])
@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        (
            {"coordinate_space": "0-1"},
            ["model: the model reads and writes boxes in 0-1, the data set's conversations have them in 0-1000."],
        ),
        ({"wording": "another"}, ["model: the model was trained with wording another, the data set has "]),
    ],
)
def test_a_model_that_contradicts_the_data_set(
    run, squares: Path, untrained: Path, tmp_path: Path, changes: dict[str, str], messages: list[str], dry_run: bool
) -> None:
    other = with_preprocessing(untrained, tmp_path / "other", **changes)
    code, error = run(*finetune(squares, other, tmp_path / "run"), *(["--dry-run"] if dry_run else []))
    assert code == ExitCode.USAGE
    assert error.startswith(f"Error: The recipe contradicts the data set in {squares}: ")
    assert all(message in error for message in messages)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("never_loaded")
def test_more_tiles_than_a_recipe_allows(run, squares: Path, untrained: Path, tmp_path: Path) -> None:
    """Two images are two tiles at least; those that ask for more are named with their numbers."""
    changes = ["packing.max_tiles=1", "preprocessing.max_tiles=1"]
    code, error = run(*finetune(squares, untrained, tmp_path / "run", *changes))
    assert code == ExitCode.USAGE
    assert error.count("Error: ") == 1
    assert "1 tiles (a pack); 12 are longer: " in error
    assert re.search(r"\d\d/count of squares: \d+ tokens, 2 tiles; ", error)
    assert "Raise the limit" in error
    assert "--set packing.over_long=leave-out" in error
    code, _ = run(*finetune(squares, untrained, tmp_path / "run", *changes, "packing.over_long=leave-out"), "--dry-run")
    assert code == ExitCode.DONE


@pytest.mark.usefixtures("never_loaded")
def test_the_best_without_anything_held_out(run, squares: Path, untrained: Path, tmp_path: Path) -> None:
    data = without(squares, "val", tmp_path / "data")
    code, error = run(*finetune(data, untrained, tmp_path / "run", "validation.keep_best=true"))
    assert code == ExitCode.USAGE
    assert "validation.keep_best: validation.keep_best is set, but val.jsonl is empty or missing." in error
    assert "domainvl split" in error
    # Another source that has held-out samples will do.
    changes = ["validation.keep_best=true", "mixture.general_ratio=1"]
    code, _ = run(*finetune(data, untrained, tmp_path / "run", *changes, general=squares), "--dry-run")
    assert code == ExitCode.DONE


@pytest.mark.usefixtures("never_loaded")
def test_a_mixture_with_an_empty_source(run, squares: Path, untrained: Path, tmp_path: Path) -> None:
    data = without(squares, "train", tmp_path / "empty")
    code, error = run(*finetune(squares, untrained, tmp_path / "run", general=data))
    assert code == ExitCode.NOTHING_DONE
    assert error == f"Error: Cannot train in {data}: train.jsonl is empty. Leave it out, or convert it again."


@pytest.mark.usefixtures("never_loaded")
def test_a_mixture_that_lacks_what_its_recipe_wants(run, squares: Path, untrained: Path, tmp_path: Path) -> None:
    code, error = run(*finetune(squares, untrained, tmp_path / "run", "mixture.general_ratio=0.5"))
    assert code == ExitCode.USAGE
    assert "mixture.general_ratio is 0.5, but no source is general data. Name general data sets with" in error
    assert "--set mixture.general_ratio=null" in error
    mixture = tmp_path / "mixture.yaml"
    mixture.write_text(f"sources: {{a: {{path: {squares}, wheight: 2}}, b: {{path: {squares}, repeat: 0}}}}")
    given = finetune(squares, untrained, tmp_path / "run")
    given[given.index("--data") : given.index("--data") + 2] = ["--mixture", mixture]
    code, error = run(*given)
    assert code == ExitCode.USAGE
    assert f"Invalid mixture in {mixture}: unknown key sources.a.wheight (did you mean weight?); " in error
    assert "sources.b.repeat: Input should be greater than 0" in error


def test_an_adapter_is_no_model_to_start_from_and_needs_its_own_base(
    run, squares: Path, untrained: Path, tmp_path: Path
) -> None:
    base, adapter = shutil.copytree(untrained, tmp_path / "base"), tmp_path / "adapter"
    assert run(*finetune(squares, base, adapter))[0] == ExitCode.DONE
    code, error = run(*finetune(squares, adapter, tmp_path / "run"))
    assert code == ExitCode.USAGE
    rule = f"Error: Cannot start from an adapter in {adapter}: model must be a whole model. Merge it first"
    assert error.startswith(rule)
    assert not (tmp_path / "run").exists()
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    commands = (
        ["eval", "--model", adapter, "--data", squares, "--out", tmp_path / "out"],
        ["model", "merge", adapter, "--data", squares, "--out", tmp_path / "out"],
    )
    for command in commands:
        code, error = run(*command)
        assert code == ExitCode.USAGE
        assert re.search(rf"its base {base} must have weights \w{{12}}, got \w{{12}}\. Restore the model", error)
