"""What is no JSON object is refused, with the file, the rule and what to do."""

from pathlib import Path

import pytest

from domainvl.errors import CheckpointError
from domainvl.model.published.json_files import read_object


def test_an_object_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"a": "ä"}', encoding="utf-8")
    assert read_object(path) == {"a": "ä"}


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"{", "it must be JSON"),
        (b"[1]", "it must be a JSON object, got list"),
        (b'{"a": "\xff"}', "it must be UTF-8"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, content: bytes, rule: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"It fails in .*config.json: {rule}.* Do that\."):
        read_object(path, what="It fails", action="Do that")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none.json: the file must be readable: No such file"):
        read_object(tmp_path / "none.json")
