"""Lists of terms: both forms, and what is wrong with a list."""

from __future__ import annotations

import pytest

from domainvl.corpus.translating.terms import read_terms
from domainvl.errors import InputNotFoundError, UsageError


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.txt", "MRI\n\n  ground glass \nA, B\n", {"MRI": None, "ground glass": None, "A, B": None}),
        (
            "t.csv",
            "MRI\nlung,Lunge\n\n kidney , Niere \nliver,\n",
            {"MRI": None, "lung": "Lunge", "kidney": "Niere", "liver": None},
        ),
        ("t.CSV", 'source,target\n"a, b","c, d"\n', {"a, b": "c, d"}),
        ("t.csv", "\ufefflung,肺\nlung,肺\n", {"lung": "肺"}),
        ("t.csv", "", {}),
    ],
)
def test_lists_are_read(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, "utf-8")
    assert read_terms(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,b\nc,d,e\n", r":2: a row must be a term"),
        (b",b\n", r":1: a row must be a term"),
        (b"a,b\na,c\n", r":2: a term must have one translation, 'a' has two"),
        (b"a\na,c\n", r":2: a term must have one translation"),
        (b"\xff\xfe", "it must be UTF-8"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, content, expected):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=expected):
        read_terms(path)


def test_no_such_list(tmp_path):
    with pytest.raises(InputNotFoundError):
        read_terms(tmp_path / "t.csv")
