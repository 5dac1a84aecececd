"""What the wheel will hold, what importing costs, and that modules stay small."""

from __future__ import annotations

import fnmatch
import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from domainvl.conversion import ConverterSettings, load_converter

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
CONVERTERS = PROJECT["project"]["entry-points"]["domainvl.converters"]
# The folder at the top of the repository, and the package as which it is installed.
TREES = {"domainvl": "domainvl", "converters": "domainvl.converters", "recipes": "domainvl.recipes"}

HEAVY = ["torch", "transformers", "peft", "rasterio", "pyogrio", "shapely", "pydicom"]


def sources():
    return sorted(path for tree in TREES for path in (ROOT / tree).rglob("*.py"))


def package_of(folder):
    tree, *rest = folder.relative_to(ROOT).parts
    return ".".join([TREES[tree], *rest])


def modules_after(statement):
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_every_folder_with_code_is_a_package_of_the_wheel():
    folders = {path.parent for path in sources()}

    assert {package_of(folder) for folder in folders} == set(SETUPTOOLS["packages"])
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_folders_at_the_top_are_mapped_into_the_namespace():
    assert SETUPTOOLS["package-dir"] == {package: tree for tree, package in TREES.items()}


def test_every_data_file_is_taken_along():
    """A recipe or weight that no pattern names would be missing from the wheel only."""
    missing = []
    for tree in TREES:
        for path in (ROOT / tree).rglob("*"):
            if not path.is_file() or path.suffix in (".py", ".pyc") or "__pycache__" in path.parts:
                continue
            held = False
            for package, patterns in SETUPTOOLS["package-data"].items():
                home = next((ROOT / top for top, name in TREES.items() if name == package), None)
                home = home or ROOT.joinpath(*package.split("."))
                if path.is_relative_to(home):
                    relative = path.relative_to(home)
                    held |= any(
                        len(Path(pattern).parts) == len(relative.parts) and fnmatch.fnmatch(str(relative), pattern)
                        for pattern in patterns
                    )
            if not held:
                missing.append(str(path.relative_to(ROOT)))

    assert missing == []


@pytest.mark.parametrize("package", SETUPTOOLS["packages"])
def test_every_package_can_be_imported(package):
    assert importlib.import_module(package).__name__ == package


def test_the_command_resolves():
    module, function = PROJECT["project"]["scripts"]["domainvl"].split(":")

    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("name", sorted(CONVERTERS))
def test_every_converter_resolves_and_keeps_the_protocol(name):
    module, attribute = CONVERTERS[name].split(":")

    converter = load_converter(name)

    assert converter is getattr(importlib.import_module(module), attribute)
    assert converter.name == name
    assert converter.summary
    assert issubclass(converter.settings_type, ConverterSettings)
    assert all(field.description for field in converter.settings_type.model_fields.values())
    assert {"licence", "plan", "convert", "unit_name"} <= set(dir(converter))


@pytest.mark.parametrize("name", sorted(CONVERTERS))
def test_importing_a_converter_imports_nothing_heavy(name):
    module, _ = CONVERTERS[name].split(":")

    assert sorted(modules_after(f"import {module}") & set(HEAVY)) == []


@pytest.mark.parametrize("module", ["schema", "engine", "tiling", "errors", "conversion"])
def test_what_lies_below_imports_nothing_heavy_and_nothing_above(module):
    loaded = modules_after(f"import domainvl.{module}")

    assert sorted(loaded & set(HEAVY)) == []
    above = [f"domainvl.{name}" for name in ("cli", "model", "training", "evaluation", "quickstart", "converters")]
    assert sorted(loaded & set(above)) == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 600


def test_the_version_is_said_once():
    import domainvl

    assert PROJECT["project"]["version"] == domainvl.__version__
