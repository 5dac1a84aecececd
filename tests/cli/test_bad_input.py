"""Bad input of every kind ends in one message of the form "what, where, rule, next action", with its exit code."""

from __future__ import annotations

import json
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
        (["eval", "--split", "dev"], "--split must be train, val or test, got 'dev'"),
        (["eval", "--device", "cuda:7"], "Cannot use the device 'cuda:7'"),
    ],
)
def test_wrong_option(run, tmp_path: Path, squares: Path, untrained: Path, arguments: list[str], message: str) -> None:
    recipe = ["--recipe", "medical"] if arguments[0] == "finetune" else []
    code, error = run(*arguments, *recipe, "--model", untrained, "--data", squares, "--out", tmp_path / "out")
    assert code == ExitCode.USAGE
    assert message in error
