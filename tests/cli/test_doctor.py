"""``domainvl doctor``: the table, the same as JSON, and the exit codes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from importlib import metadata

import pytest

from domainvl import doctor
from domainvl.cli.main import main
from domainvl.doctor import Check, Status

CHECKS = [
    Check("Python", "Python", Status.OK, "3.11.7", required=True),
    Check("Extras", "fast", Status.MISSING, "zlib-ng not installed", "Install it with: pip install 'domainvl[fast]'"),
    Check("Extras", "ray", Status.OK, "ray 2.60.0", "Enables clusters"),
    Check("Machine", "memory", Status.PROBLEM, "1.0 GiB", "End other programs"),
]
BROKEN = Check("Devices", "torch", Status.PROBLEM, "OSError: libcudart.so.12", "Repair it", required=True)


@pytest.fixture(autouse=True)
def no_forced_colour(monkeypatch):
    """Some services set what makes rich believe in a terminal."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def found(monkeypatch):
    """Let the checks come to what is given, whatever this machine is like."""
    folders = []

    def set_checks(checks):
        monkeypatch.setattr(doctor, "examine", lambda folder: folders.append(folder) or checks)
        return folders

    return set_checks


def test_the_table(found, capsys):
    found(CHECKS)

    assert main(["doctor"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line] == [
        ["Python"],
        ["Python", "ok", "3.11.7"],
        ["Extras"],
        ["fast", "missing", "zlib-ng", "not", "installed"],
        ["Install", "it", "with:", "pip", "install", "'domainvl[fast]'"],
        ["ray", "ok", "ray", "2.60.0"],
        ["Enables", "clusters"],
        ["Machine"],
        ["memory", "problem", "1.0", "GiB"],
        ["End", "other", "programs"],
        "Everything required works; of what is optional, 2 of 4 checks say more.".split(),
    ]
    assert all(line == line.rstrip() for line in lines)


def test_something_required_is_broken(found, capsys):
    found([*CHECKS, BROKEN])

    assert main(["doctor"]) == 8

    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert ["torch", "problem,", "required", "OSError:", "libcudart.so.12"] in rows
    assert out.endswith("\n1 required of 5 checks failed: torch.\n")


@pytest.mark.parametrize(("checks", "code"), [(CHECKS, 0), ([BROKEN, *CHECKS], 8)], ids=["works", "broken"])
def test_as_json(found, capsys, checks, code):
    found(checks)

    assert main(["doctor", "--json"]) == code

    said = json.loads(capsys.readouterr().out)
    assert said["works"] is (code == 0)
    assert said["checks"] == [
        {
            "group": check.group,
            "name": check.name,
            "status": check.status.value,
            "found": check.found,
            "advice": check.advice,
            "required": check.required,
        }
        for check in checks
    ]


def test_the_folder_that_is_named_is_looked_at(found, tmp_path, capsys):
    folders = found(CHECKS)

    assert main(["doctor", "--path", str(tmp_path)]) == 0

    assert folders == [tmp_path]


def test_a_folder_that_cannot_be_written_to_is_eight(tmp_path, capsys):
    (tmp_path / "file").touch()

    assert main(["doctor", "--path", str(tmp_path / "file"), "--json"]) == 8

    said = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in said["checks"] if check["required"] and check["status"] != "ok"] == ["folder"]


def test_a_required_package_that_is_missing_is_eight(monkeypatch, capsys):
    real = metadata.version

    def version(name):
        if name == "shapely":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)

    assert main(["doctor"]) == 8

    out = capsys.readouterr().out
    assert "checks failed: shapely.\n" in out
    assert "pip install 'shapely" in out


def test_table_and_json_of_this_machine_agree(tmp_path, capsys):
    code = main(["doctor", "--path", str(tmp_path), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert main(["doctor", "--path", str(tmp_path)]) == code == 0

    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    steady = [check for check in said["checks"] if "free" not in check["found"] and "available" not in check["found"]]
    assert len(steady) > 30
    for check in steady:
        row = f"{check['name']} {check['status']} {check['found']}"
        assert row in rows
        assert check["advice"] is None or rows[rows.index(row) + 1] == check["advice"]


def test_piped_output_has_no_control_codes_and_no_cut_lines(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "domainvl", "doctor", "--path", str(tmp_path)],
        capture_output=True,
        check=False,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "40"},
    )

    assert done.returncode == 0, done.stderr
    assert [byte for byte in done.stdout if byte < 32 and byte != 10] == []
    assert f"  {tmp_path} can be written to\n" in done.stdout.decode()


def test_it_opens_no_connection(monkeypatch, tmp_path, capsys):
    def refuse(*args, **kwargs):
        raise AssertionError("a check used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    assert main(["doctor", "--path", str(tmp_path)]) == 0


def test_help_names_what_it_ends_with(capsys):
    assert main(["doctor", "--help"]) == 0

    text = " ".join(capsys.readouterr().out.split())
    assert "--path" in text
    assert "--json" in text
    assert "Ends with 8" in text
