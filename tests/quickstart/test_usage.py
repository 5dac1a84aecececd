"""Options of the quickstart that contradict each other or the disk."""

from pathlib import Path

import pytest

from domainvl.cli.main import main
from domainvl.errors import ExitCode


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--domain", "medcial"], "must be one of driving, remote-sensing, medical, got medcial"),
        (["--labels", "x"], "--labels and --deid-key belong to --data"),
        (["--data", "."], "--data needs exactly one --domain"),
        (["--data", "nowhere", "--domain", "medical"], "no such file or folder"),
        (["--out", "."], "the folder exists"),
    ],
)
def test_ends_in_one_message(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["quickstart", *arguments]) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
