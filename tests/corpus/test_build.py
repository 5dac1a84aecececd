"""From files to a corpus: what is in it, what is counted, and the same bytes whoever did which part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toy_corpora import png

from domainvl.corpus.build import BuildSettings, build_corpus
from domainvl.corpus.folder import Corpus
from domainvl.corpus.sources.reading import ReadSettings
from domainvl.corpus.stage import StageRun
from domainvl.engine import Execution, Shard
from domainvl.errors import ExitCode, InputNotFoundError, NothingToDoError, UsageError
from domainvl.interleaved.documents import ImageSlot, TextSlot, image_name

SENTENCES = "The harbour lies north of the town. Two cranes stand beside the longest quay. Ships wait outside. "


def page(number: int, *images: str) -> str:
    figures = "".join(f'<figure><img src="{src}" alt="Quay {number}"></figure><p>{SENTENCES}</p>' for src in images)
    return (
        f"<html lang=en><head><title>Harbour {number}</title></head><body><nav><a href=/>Home</a></nav><article>"
        f"<h1>Harbour {number}</h1><p>{SENTENCES * 3} Number {number}.</p>{figures}</article></body></html>"
    )


@pytest.fixture(scope="module")
def harbour(tmp_path_factory) -> Path:
    """Forty pages, in two units, and one file of each kind of trouble."""
    folder = tmp_path_factory.mktemp("sources") / "harbour"
    (folder / "images").mkdir(parents=True)
    for number in range(3):
        (folder / "images" / f"{number}.png").write_bytes(png(32, 24, seed=number))
    for number in range(40):
        (folder / f"page-{number:02d}.html").write_text(page(number, f"images/{number % 3}.png"))
    (folder / "broken-image.html").write_text(page(90, "images/broken.png", "images/0.png"))
    (folder / "images" / "broken.png").write_bytes(png(32, 24)[:60])
    (folder / "elsewhere.html").write_text(page(91, "https://example.org/a.png", "../../secret.png", "images/none.png"))
    (folder / "notes.md").write_text(f"# Notes\n\n{SENTENCES}\n\n![A crane](images/1.png)\n")
    (folder / "plain.html").write_text(page(92))
    (folder / "huge.html").write_text(page(93) + " " * 300_000)
    (folder / "table.csv").write_text("a,b")
    (folder.parent / "secret.png").write_bytes(png(32, 24, seed=9))
    return folder


SETTINGS = BuildSettings(ReadSettings(max_source_bytes=200_000))


@pytest.fixture(scope="module")
def built(harbour, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "corpus"
    summary = build_corpus([harbour], out, SETTINGS)
    assert summary.exit_code is ExitCode.PARTIAL
    return out


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_page_becomes_texts_and_images_in_place(built):
    documents = {one.origin.uri: one for one in Corpus.open(built).documents() if one.origin}
    one = documents["harbour/page-07.html"]
    kinds = ["image" if isinstance(slot, ImageSlot) else slot.kind.value for slot in one.slots]
    assert kinds == ["header", "text", "image", "text"]
    assert one.texts[1].text.endswith("Number 7.")
    (image,) = one.images
    assert (image.url, image.alt, image.width_px, image.height_px) == ("harbour/images/1.png", "Quay 7", 32, 24)
    assert image.byte_count == len((built / "images" / image_name(image.url)).read_bytes())
    assert (built / "images" / image_name(image.url)).read_bytes() == png(32, 24, seed=1)
    assert one.origin is not None
    assert (one.origin.format, one.origin.language) == ("html", "en")
    notes = documents["harbour/notes.md"]
    assert [slot.text for slot in notes.slots if isinstance(slot, TextSlot)] == ["Notes", SENTENCES.strip()]
    assert notes.images[0].alt == "A crane"


def test_what_is_not_there_is_counted_and_its_place_is_kept(built):
    corpus = Corpus.open(built)
    documents = {one.origin.uri: one for one in corpus.documents() if one.origin}
    assert "harbour/plain.html" not in documents
    assert [image.valid for image in documents["harbour/broken-image.html"].images] == [False, True]
    assert [image.valid for image in documents["harbour/elsewhere.html"].images] == [False, False, False]
    drops = corpus.manifest["steps"][-1]["drops"]
    assert drops == {
        "image/image-decode": 1,
        "image/missing": 1,
        "image/outside-source": 1,
        "image/remote": 1,
        "read/no-image": 1,
        "read/too-large": 1,
    }
    lines = [json.loads(line) for line in (built / "rejects.jsonl").read_text().splitlines()]
    assert len(lines) == sum(drops.values())
    assert all(line["message"] for line in lines)
    counts = corpus.manifest["steps"][-1]["counts"]
    assert counts["sources"] == 45
    assert counts["files that are no document (.png)"] == 4
    assert counts["files that are no document (.csv)"] == 1
    assert corpus.manifest["documents"] == 43
    assert {source["uri"] for source in corpus.manifest["sources"]} >= {"harbour/page-00.html", "harbour/notes.md"}
    secret = image_name("secret.png")
    assert secret not in {path.name for path in corpus.images.iterdir()}


def test_documents_without_an_image_are_kept_on_request(harbour, tmp_path):
    build_corpus([harbour / "plain.html"], tmp_path / "corpus", BuildSettings(keep_text_only=True))
    (one,) = Corpus.open(tmp_path / "corpus").documents()
    assert one.images == ()
    with pytest.raises(NothingToDoError, match="no-image"):
        build_corpus([harbour / "plain.html"], tmp_path / "none")


@pytest.mark.slow
@pytest.mark.parametrize("execution", [Execution(workers=2), Execution(ray="local", workers=2)], ids=["pool", "ray"])
def test_processes_and_ray_give_the_same_bytes(harbour, built, tmp_path, execution):
    build_corpus([harbour], tmp_path / "corpus", SETTINGS, run=StageRun(execution))
    assert bytes_below(tmp_path / "corpus") == bytes_below(built)


def test_shards_give_the_same_bytes(harbour, built, tmp_path):
    for index in (1, 2):
        build_corpus([harbour], tmp_path / "corpus", SETTINGS, run=StageRun(shard=Shard(index, 2)))
    build_corpus([harbour], tmp_path / "corpus", SETTINGS)
    assert bytes_below(tmp_path / "corpus") == bytes_below(built)


def test_a_reader_that_crashes_costs_its_own_file_alone(harbour, tmp_path, monkeypatch):
    """A unit of many files that takes its process with it is done again file by file."""
    from domainvl.corpus import build
    from domainvl.engine import UnitFailure
    from domainvl.engine.work import Outcome

    def fake(work, execution):
        class Executor:
            capacity = 1

            def submit(self, unit, *, alone):
                self.unit = unit

            def next_outcome(self):
                if any("page-05" in source.uri for source in self.unit.unit.sources):
                    return Outcome(self.unit, None, UnitFailure("crash", "its process ended"))
                return Outcome(self.unit, work(self.unit), None)

            def close(self):
                pass

        return Executor()

    monkeypatch.setattr("domainvl.corpus.stage.make_executor", fake)
    summary = build.build_corpus([harbour], tmp_path / "corpus", SETTINGS)
    assert summary.manifest["documents"] == 42
    assert summary.manifest["steps"][-1]["drops"]["read-alone/crash"] == 1
    lines = [json.loads(line) for line in (tmp_path / "corpus/rejects.jsonl").read_text().splitlines()]
    assert [line["input"] for line in lines if line["reason"] == "crash"] == ["harbour/page-05.html"]


def test_sources_that_do_not_fit_are_refused(harbour, tmp_path):
    with pytest.raises(InputNotFoundError):
        build_corpus([tmp_path / "none"], tmp_path / "corpus")
    with pytest.raises(UsageError, match="inside the source"):
        build_corpus([harbour], harbour / "corpus")
    with pytest.raises(UsageError, match="would be replaced"):
        build_corpus([harbour / "images", harbour / "notes.md"], harbour.parent, run=StageRun(overwrite=True))
    with pytest.raises(UsageError, match="'harbour'"):
        build_corpus([harbour, harbour], tmp_path / "corpus")
    with pytest.raises(UsageError, match="one source"):
        settings = BuildSettings(ReadSettings(base_url="https://example.org/"))
        build_corpus([harbour, harbour / "notes.md"], tmp_path / "corpus", settings)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToDoError, match="no document among 0 files"):
        build_corpus([tmp_path / "empty"], tmp_path / "corpus")


def test_the_book_is_one_document_with_every_picture_of_its_page(real_data, tmp_path):
    book = next(real_data.glob("general/GITenberg__Ancient-art*"))
    build_corpus([book], tmp_path / "corpus")
    (one,) = Corpus.open(tmp_path / "corpus").documents()
    assert len(one.images) == 365
    assert all(image.valid and image.width_px for image in one.images)


def test_files_that_are_no_document_are_told_by_extension_with_what_is_read(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("a.png", "b.PNG", "c.pptx", ".hidden", "README"):
        (folder / name).touch()
    with pytest.raises(NothingToDoError) as raised:
        build_corpus([folder], tmp_path / "corpus")
    for told in ("among 5 files", "2 .png", "1 .pptx", "1 hidden", "1 no extension", ".pdf", ".docx"):
        assert told in str(raised.value)


def test_the_licence_is_in_the_manifest(harbour, tmp_path):
    summary = build_corpus([harbour / "page-01.html"], tmp_path / "corpus", licence="CC-BY-4.0")
    assert summary.manifest["licence"] == "CC-BY-4.0"


def test_of_records_with_one_id_the_first_is_kept(tmp_path):
    """Splits, reports and removals go by the id."""
    for name, ids in (("a", "rsr"), ("b", "rt")):
        (tmp_path / name).mkdir()
        lines = [
            json.dumps(
                {"general_metadata": {"id": one}, "images": [None], "texts": [f"{name}{at}"], "metadata": [None]}
            )
            for at, one in enumerate(ids)
        ]
        (tmp_path / name / "records.jsonl").write_text("\n".join(lines))
    settings = BuildSettings(keep_text_only=True)
    summary = build_corpus([tmp_path / "a", tmp_path / "b"], tmp_path / "corpus", settings)
    assert summary.exit_code is ExitCode.PARTIAL
    assert summary.manifest["steps"][-1]["drops"] == {"read/repeated-id": 2}
    documents = list(Corpus.open(tmp_path / "corpus").documents())
    assert [(one.id, one.texts[0].text) for one in documents] == [("r", "a0"), ("s", "a1"), ("t", "b1")]
