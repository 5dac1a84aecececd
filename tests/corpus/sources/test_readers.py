"""A library that is missing is told once, before anything is read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from domainvl.corpus.build import BuildSettings, build_corpus
from domainvl.corpus.sources.readers import check_libraries
from domainvl.corpus.sources.reading import ReadSettings
from domainvl.errors import UsageError


@pytest.mark.parametrize(
    ("formats", "module", "extra"),
    [
        (("html",), "trafilatura", "corpus"),
        (("html",), "lxml.html", "corpus"),
        (("html", "warc"), "fastwarc.warc", "corpus"),
        (("pdf",), "pypdfium2", "corpus"),
        (("docx",), "docx", "corpus"),
        (("video",), "pysubs2", "corpus"),
        (("video",), "av", "video"),
        (("records",), "imagehash", "corpus"),
    ],
)
def test_what_is_missing_and_needed_is_named_with_its_extra(monkeypatch, formats, module, extra):
    check_libraries(formats, ReadSettings())
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"{module} cannot be imported.*domainvl\[{extra}\]"):
        check_libraries(formats, ReadSettings())


def test_what_is_not_needed_is_not_asked_for(monkeypatch):
    for module in ("trafilatura", "pypdfium2", "av", "fastwarc.warc"):
        monkeypatch.setitem(sys.modules, module, None)
    check_libraries(["markdown", "docx"], ReadSettings())


def test_another_extractor_is_asked_for_by_its_own_extra(tmp_path: Path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a.html").write_text("<p>Text</p><img src=a.png>")
    with pytest.raises(UsageError, match=r"magic_html cannot be imported.*domainvl\[magic-html\]"):
        build_corpus([tmp_path / "site"], tmp_path / "corpus", BuildSettings(ReadSettings(extractor="magic-html")))
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
