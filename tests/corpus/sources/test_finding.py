"""Which files are documents: each once, none from elsewhere, and all that is passed over is counted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from toy_corpora import png

from domainvl.corpus.build import BuildSettings, build_corpus
from domainvl.corpus.folder import Corpus
from domainvl.corpus.sources.finding import find_sources
from domainvl.corpus.sources.reading import ReadSettings
from domainvl.corpus.stage import StageSummary
from domainvl.errors import ExitCode, InputNotFoundError, UsageError
from domainvl.interleaved.documents import image_name

SENTENCES = "The mill stands at the upper lock. Its wheel was replaced twice. Barges unload flour on the south side. "
PAGE = f'<html><body><article><h1>Mill</h1><p>{SENTENCES * 3}</p><img src="i.png"><p>{SENTENCES}</p></article></body>'


def write_page(folder: Path, name: str = "page.html", seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "i.png").write_bytes(png(32, 24, seed=seed))
    (folder / name).write_text(PAGE)
    return folder / name


def drops(summary: StageSummary) -> dict[str, int]:
    return dict(summary.manifest["steps"][-1]["drops"])


def stored(corpus: Corpus) -> list[bytes]:
    return [(corpus.images / image_name(one.images[0].url)).read_bytes() for one in corpus.documents()]


def test_pages_of_different_folders_keep_their_own_images(tmp_path):
    pages = [write_page(tmp_path / name, f"{name}.html", seed) for seed, name in enumerate(("east", "west"))]
    build_corpus(pages, tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    assert stored(corpus) == [png(32, 24, seed=0), png(32, 24, seed=1)]
    assert [one.origin.uri for one in corpus.documents() if one.origin] == ["east/east.html", "west/west.html"]


def test_sources_that_addresses_do_not_tell_apart_are_refused(tmp_path):
    one, other = (write_page(tmp_path / name / "mill", f"{name}.html") for name in ("a", "b"))
    with pytest.raises(UsageError, match="2 folders of sources are called 'mill'"):
        find_sources([one, other])
    with pytest.raises(UsageError, match="named 2 times"):
        find_sources([one, one])


def test_a_file_that_is_named_beside_its_folder_is_one_document(tmp_path):
    page = write_page(tmp_path / "mill")
    assert [one.uri for one in find_sources([page.parent, page]).documents] == ["mill/page.html"]
    assert [one.uri for one in find_sources([page]).documents] == ["page.html"]


def test_what_is_passed_over_is_counted(tmp_path):
    page = write_page(tmp_path / "mill")
    (page.parent / ".hidden.html").write_text(PAGE)
    (page.parent / "dangling.html").symlink_to("nowhere")
    (page.parent / "above").symlink_to("..")
    os.mkfifo(page.parent / "pipe")
    found = find_sources([page.parent])
    assert [one.uri for one in found.documents] == ["mill/page.html"]
    assert found.other_counts.total() == 5  # the four, and the image


def test_the_lists_of_a_corpus_are_no_records(tmp_path):
    write_page(tmp_path / "site")
    build_corpus([tmp_path / "site"], tmp_path / "corpus")
    assert (tmp_path / "corpus" / "rejects.jsonl").is_file()
    again = find_sources([tmp_path / "corpus"])
    assert [one.path.suffix for one in again.documents] == [".parquet"]
    (tmp_path / "site" / "rejects.jsonl").write_text("{}\n")  # beside no manifest it may be anything
    assert "rejects.jsonl" in [one.path.name for one in find_sources([tmp_path / "site"]).documents]


@pytest.mark.parametrize(
    ("name", "content"),
    [("page.html", PAGE.replace("</article>", '<img src="j.png"><p>End.</p><img src="i.png">')), ("page.md", None)],
    ids=["html", "markdown"],
)
def test_images_beyond_the_limit_keep_their_places_switched_off(tmp_path, name, content):
    source = write_page(tmp_path / "site", name)
    source.write_text(content or "# Mill\n\n![](i.png)\n\nText.\n\n![](j.png)\n\nEnd.\n\n![](i.png)\n")
    (tmp_path / "site" / "j.png").write_bytes(png(32, 24, seed=1))
    summary = build_corpus([source], tmp_path / "corpus", BuildSettings(ReadSettings(max_images=1)))
    (document,) = Corpus.open(tmp_path / "corpus").documents()
    assert [image.valid for image in document.images] == [True, False, False]
    (reject,) = map(json.loads, (tmp_path / "corpus" / "rejects.jsonl").read_text().splitlines())
    assert (reject["reason"], reject["severity"]) == ("too-many-images", "skipped")
    assert "the last 2 were switched off" in reject["message"]
    assert drops(summary) == {"image/too-many-images": 1}


def test_a_link_out_of_the_source_is_listed_and_not_read(tmp_path):
    page = write_page(tmp_path / "mill")
    write_page(tmp_path / "private")
    (page.parent / "link.html").symlink_to("../private/page.html")
    (page.parent / "same.html").symlink_to("page.html")
    summary = build_corpus([page.parent], tmp_path / "corpus")
    assert drops(summary) == {"read/outside-source": 1}
    assert summary.exit_code is ExitCode.PARTIAL
    documents = Corpus.open(tmp_path / "corpus").documents()
    assert [one.origin.uri for one in documents if one.origin] == ["mill/page.html", "mill/same.html"]


def test_a_loop_of_links_is_no_source(tmp_path):
    (tmp_path / "loop.html").symlink_to("loop.html")
    with pytest.raises(InputNotFoundError):
        find_sources([tmp_path / "loop.html"])


def test_what_may_not_be_read_is_listed(tmp_path, monkeypatch):
    """Permissions do not stop the user that tests often run as, so the system's refusals are played."""
    page = write_page(tmp_path / "mill")
    write_page(tmp_path / "mill" / "closed")
    write_page(tmp_path / "mill", "locked.html")
    (page.parent / "talk.mp4").write_bytes(b"no video")
    (page.parent / "talk.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nThe lock.\n")
    scan, hashed = os.scandir, build_corpus.__globals__["hash_file"]

    def refuse(path):
        if path.name in ("locked.html", "talk.srt"):
            raise PermissionError(13, "Permission denied", str(path))
        return hashed(path)

    def refuse_folder(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("domainvl.corpus.build.hash_file", refuse)
    monkeypatch.setattr("os.scandir", refuse_folder)
    summary = build_corpus([page.parent], tmp_path / "corpus")
    assert drops(summary) == {"read/decode": 1, "read/unreadable": 2}
    assert summary.exit_code is ExitCode.PARTIAL
    listed = (tmp_path / "corpus/rejects.jsonl").read_text()
    assert '"mill/closed"' in listed and '"mill/locked.html"' in listed and "Permission denied" in listed


def test_images_below_names_that_are_not_utf_8_are_found_by_what_the_record_says(tmp_path):
    for seed, name in enumerate((b"caf\xe8", b"caf\xe9")):
        write_page(tmp_path / "mill" / os.fsdecode(name), seed=seed)
    build_corpus([tmp_path / "mill"], tmp_path / "corpus")
    assert stored(Corpus.open(tmp_path / "corpus")) == [png(32, 24, seed=0), png(32, 24, seed=1)]


def test_archives_below_one_address_keep_their_own_images(tmp_path):
    import zipfile

    (tmp_path / "mill").mkdir()
    for seed, name in enumerate(("a.zip", "b.zip")):
        with zipfile.ZipFile(tmp_path / "mill" / name, "w") as archive:
            archive.writestr("page.html", PAGE)
            archive.writestr("i.png", png(32, 24, seed=seed))
    settings = BuildSettings(ReadSettings(base_url="https://example.org/"))
    build_corpus([tmp_path / "mill"], tmp_path / "corpus", settings)
    corpus = Corpus.open(tmp_path / "corpus")
    assert stored(corpus) == [png(32, 24, seed=0), png(32, 24, seed=1)]
    assert [one.url for one in corpus.documents()] == [f"https://example.org/{name}.zip/page.html" for name in "ab"]
    build_corpus([tmp_path / "mill" / "a.zip"], tmp_path / "alone", settings)
    assert [one.url for one in Corpus.open(tmp_path / "alone").documents()] == ["https://example.org/page.html"]
