"""A step over units: the same rows whoever did them, nothing done twice, nothing lost in silence."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from toy_corpora import document, image, png, write_corpus

from domainvl.conversion.run import convert
from domainvl.corpus.deduplicating.settings import DedupSettings
from domainvl.corpus.deduplicating.step import dedup_corpus
from domainvl.corpus.degrading.few_shot import degrade_to_few_shot
from domainvl.corpus.degrading.pairs import CorpusPairs, PairSettings
from domainvl.corpus.degrading.texts import TextSettings, degrade_to_text
from domainvl.corpus.degrading.windows import WindowSettings, degrade_to_windows
from domainvl.corpus.exchange import RecordFormat
from domainvl.corpus.exporting import export_corpus
from domainvl.corpus.filtering.profiles import load_profile, with_settings
from domainvl.corpus.filtering.rules import RULES
from domainvl.corpus.filtering.step import filter_corpus
from domainvl.corpus.folder import Corpus
from domainvl.corpus.stage import DOCUMENTS, StageRun, UnitOutput, adopt_images, open_stage, put_image
from domainvl.corpus.tables import to_table
from domainvl.engine import Execution, Shard
from domainvl.errors import ExitCode, ItemError, NothingToDoError, StoppedError, UsageError
from domainvl.interleaved.documents import image_name
from domainvl.schema.operations.few_shot import FewShotSettings
from domainvl.schema.writer import Reject, Severity

DOCUMENTS_GIVEN = [document(f"d{n}", f"Text {n}.", image(f"i{n % 3}"), "After.") for n in range(7)]


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "corpus"
    write_corpus(out, DOCUMENTS_GIVEN)
    return out


def test_what_was_written_is_read_back(whole):
    corpus = Corpus.open(whole)
    assert list(corpus.documents()) == DOCUMENTS_GIVEN
    assert corpus.document_count == 7
    assert sorted(path.name for path in corpus.images.iterdir()) == sorted(
        {image_name(f"https://example.org/i{n}.png") for n in range(3)}
    )
    assert corpus.manifest["steps"][-1]["counts"] == {"documents read": 7}
    assert [one for group in corpus.groups() for one in corpus.read_group(group)] == DOCUMENTS_GIVEN


@pytest.mark.slow
def test_processes_give_the_same_bytes_as_this_process(whole, tmp_path):
    write_corpus(tmp_path / "corpus", DOCUMENTS_GIVEN, run=StageRun(Execution(workers=2)))
    assert bytes_below(tmp_path / "corpus") == bytes_below(whole)


def test_shards_are_joined_to_the_same_bytes_and_not_done_again(whole, tmp_path):
    out = tmp_path / "corpus"
    for index in (2, 1, 3):
        summary = write_corpus(out, DOCUMENTS_GIVEN, run=StageRun(shard=Shard(index, 3)))
        assert summary.out == tmp_path / f"corpus.shard-{index}-of-3"
    assert not out.exists()
    ledgers = {path.stem for path in tmp_path.glob("corpus.shard-*/parts/*/*.jsonl")}
    assert len(ledgers) == 4  # four units of at most two documents, each in one shard
    seen: list[tuple[int, int]] = []
    write_corpus(out, DOCUMENTS_GIVEN, run=StageRun(on_progress=lambda done, planned: seen.append((done, planned))))
    assert seen == []
    assert bytes_below(out) == bytes_below(whole)
    with pytest.raises(UsageError, match="done already"):
        write_corpus(out, DOCUMENTS_GIVEN, run=StageRun(shard=Shard(1, 3)))


def test_a_shard_whose_image_was_cut_short_is_done_again(whole, tmp_path):
    out = tmp_path / "corpus"
    for index in (1, 2):
        write_corpus(out, DOCUMENTS_GIVEN, run=StageRun(shard=Shard(index, 2)))
    for path in tmp_path.glob(f"corpus.shard-*/dataset/images/{image_name('https://example.org/i1.png')}"):
        path.write_bytes(b"cut")
    seen = []
    write_corpus(out, DOCUMENTS_GIVEN, run=StageRun(on_progress=lambda done, planned: seen.append(done)))
    assert seen
    assert bytes_below(out) == bytes_below(whole)


@dataclass(frozen=True)
class Faulty:
    """Writes a document a unit; at some it fails in the named way."""

    fails_at: int | None = None
    stops_at: int | None = None

    def __call__(self, unit: int, images: Path) -> UnitOutput:
        if unit == self.fails_at:
            raise ItemError("Cannot read it", reason="decode", where=f"unit {unit}", rule="it must not be broken")
        if unit == self.stops_at:
            raise StoppedError("Stopped")
        (images.parent / f"did-{unit}").touch()
        put_image(images, "a", png())
        reject = Reject(f"part of {unit}", "read", "small", "too small", severity=Severity.SKIPPED)
        return UnitOutput({DOCUMENTS: to_table([document(f"d{unit}", "x", image("a"))])}, [reject], {"read": 1})


def do(out: Path, work: Faulty, count: int = 4, settings: dict[str, int] | None = None):
    with open_stage(out, "corpus test", settings or {}, StageRun()) as stage:
        done = stage.map("read", [(f"unit {n}", n) for n in range(count)], work, root=Path("/"))
        return stage.finish(done)


def test_a_unit_that_fails_is_listed_and_the_others_go_on(tmp_path):
    summary = do(tmp_path / "corpus", Faulty(fails_at=2))
    assert summary.exit_code is ExitCode.PARTIAL
    assert [one.id for one in Corpus.open(summary.out).documents()] == ["d0", "d1", "d3"]
    assert summary.manifest["steps"][-1]["drops"] == {"read/decode": 1, "read/small": 3}
    lines = [json.loads(line) for line in (summary.out / "rejects.jsonl").read_text().splitlines()]
    assert [line["input"] for line in lines] == ["part of 0", "part of 1", "unit 2", "part of 3"]
    assert "it must not be broken" in lines[2]["message"]


def test_a_stopped_step_goes_on_where_it_was(tmp_path):
    out = tmp_path / "corpus"
    with pytest.raises(StoppedError):
        do(out, Faulty(stops_at=2))
    assert not out.exists()
    staged = next(tmp_path.glob(".corpus.*"))
    for number in (0, 1):
        (staged / "dataset" / f"did-{number}").unlink()
    summary = do(out, Faulty())
    assert sorted(path.name for path in out.glob("did-*")) == ["did-2", "did-3"]
    assert summary.manifest["documents"] == 4
    do(tmp_path / "other", Faulty())
    assert (out / "documents-00000.parquet").read_bytes() == (tmp_path / "other/documents-00000.parquet").read_bytes()


@dataclass(frozen=True)
class OwnImage:
    """Writes a document with an image of its own a unit; the last unit stops the run, or is a failure afterwards."""

    stops: bool = False
    fails: bool = False

    def __call__(self, unit: tuple[str, int], images: Path) -> UnitOutput:
        name, seed = unit
        put_image(images, image(name).url, png(seed=seed))
        if name == "last" and self.stops:
            raise StoppedError("Stopped")
        if name == "last" and self.fails:
            raise ItemError("Cannot read it", reason="decode")
        return UnitOutput({DOCUMENTS: to_table([document(name, "x", image(name))])})


def build(out: Path, work: OwnImage, names: str, seed: int = 0):
    units = [(name, (name, seed)) for name in [*names, "last"]]
    with open_stage(out, "corpus test", {}, StageRun()) as stage:
        return stage.finish(stage.map("read", units, work, root=Path("/")))


def test_nothing_that_a_stopped_run_left_stays_unless_a_document_has_it(tmp_path):
    out = tmp_path / "corpus"
    with pytest.raises(StoppedError):
        build(out, OwnImage(stops=True), "abc")
    staged = next(tmp_path.glob(".corpus.*")) / "dataset"
    (staged / "images" / ".half-written").write_bytes(b"x")
    (staged / "documents-00007.parquet").write_bytes(b"x")
    (staged / "kept.txt").write_bytes(b"x")
    build(out, OwnImage(fails=True), "bc")
    build(tmp_path / "other", OwnImage(), "bc")
    found = {name: content for name, content in bytes_below(out).items() if name.startswith(("images/", "documents"))}
    assert sorted(found) == sorted(["documents-00000.parquet", *(f"images/{image_name(image(n).url)}" for n in "bc")])
    assert (out / "kept.txt").is_file()
    assert all(content == (tmp_path / "other" / name).read_bytes() for name, content in found.items() if "/" in name)


def test_an_image_that_changed_between_runs_is_stored_anew(tmp_path):
    url = image("a").url
    images = tmp_path / "images"
    put_image(images, url, b"first")
    put_image(images, url, b"other")
    assert (images / image_name(url)).read_bytes() == b"other"


def test_other_settings_do_every_unit_again(tmp_path):
    with pytest.raises(StoppedError):
        do(tmp_path / "corpus", Faulty(stops_at=3), settings={"min": 1})
    do(tmp_path / "corpus", Faulty(), settings={"min": 2})
    assert sorted(path.name for path in (tmp_path / "corpus").glob("did-*")) == ["did-0", "did-1", "did-2", "did-3"]


def test_a_corpus_of_nothing_says_why(tmp_path):
    with pytest.raises(NothingToDoError, match="1 decode"):
        do(tmp_path / "corpus", Faulty(fails_at=0), count=1)
    assert list(tmp_path.iterdir()) == []


def test_documents_are_spread_over_files_by_count_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("domainvl.corpus.stage._DOCUMENTS_PER_FILE", 3)
    for per_unit in (1, 2, 7):
        write_corpus(tmp_path / str(per_unit) / "corpus", DOCUMENTS_GIVEN, per_unit=per_unit)
        corpus = Corpus.open(tmp_path / str(per_unit) / "corpus")
        assert [file["documents"] for file in corpus.manifest["files"]] == [3, 3, 1]
        assert list(corpus.documents()) == DOCUMENTS_GIVEN
    assert bytes_below(tmp_path / "1") == bytes_below(tmp_path / "7")


def test_only_a_corpus_is_overwritten_or_opened(tmp_path, whole):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(UsageError, match="not of the kind"):
        write_corpus(tmp_path / "photos", DOCUMENTS_GIVEN, run=StageRun(overwrite=True))
    with pytest.raises(UsageError, match="not made by domainvl corpus"):
        Corpus.open(tmp_path / "photos")
    shutil.copytree(whole, tmp_path / "corpus")
    with pytest.raises(UsageError, match="it exists"):
        write_corpus(tmp_path / "corpus", DOCUMENTS_GIVEN)
    write_corpus(tmp_path / "corpus", DOCUMENTS_GIVEN[:1], run=StageRun(overwrite=True))
    assert Corpus.open(tmp_path / "corpus").document_count == 1


def test_images_of_another_corpus_are_taken_over_by_name(whole, tmp_path):
    urls = ["https://example.org/i0.png", "https://example.org/none.png"]
    assert adopt_images(whole / "images", tmp_path / "images", urls) == 1
    assert [path.name for path in (tmp_path / "images").iterdir()] == [image_name(urls[0])]


@pytest.mark.parametrize("place", [".", "inside", ".."], ids=["the input", "inside it", "around it"])
@pytest.mark.parametrize("shard", [None, Shard(1, 2)], ids=["whole", "shard"])
def test_no_target_is_the_input_or_lies_in_it_or_around_it(whole, tmp_path, place, shard):
    source = tmp_path / "around" / "corpus"
    shutil.copytree(whole, source)
    before = bytes_below(source)
    out = (source / place).resolve()
    run = StageRun(shard=shard, overwrite=True)
    with (
        pytest.raises(UsageError, match="must not be the input"),
        open_stage(out, "corpus test", {}, run, inputs=[source]),
    ):
        pytest.fail("it began")
    assert bytes_below(source) == before


STEPS = {
    "dedup": lambda source, out: dedup_corpus(source, out, DedupSettings(), StageRun(overwrite=True)),
    "filter": lambda source, out: filter_corpus(source, out, load_profile("general"), run=StageRun(overwrite=True)),
    "text": lambda source, out: degrade_to_text(source, out, TextSettings(), run=StageRun(overwrite=True)),
    "windows": lambda source, out: degrade_to_windows(source, out, WindowSettings(), run=StageRun(overwrite=True)),
    "export": lambda source, out: export_corpus(Corpus.open(source), out, RecordFormat("mmc4"), overwrite=True),
    "pairs": lambda source, out: convert(CorpusPairs(), source, out, overwrite=True),
    "fewshot-sft": lambda source, out: degrade_to_few_shot(
        source, out, PairSettings(), FewShotSettings(), overwrite=True
    ),
}


@pytest.mark.parametrize("step", list(STEPS))
def test_no_step_replaces_its_input(whole, tmp_path, step):
    source = tmp_path / "corpus"
    shutil.copytree(whole, source)
    before = bytes_below(source)
    (tmp_path / "link").symlink_to(source)
    for out in (source, tmp_path / "link", source / "images", source / "new"):
        with pytest.raises(UsageError):
            STEPS[step](source, out)
    assert bytes_below(source) == before


@pytest.mark.parametrize("step", ["dedup", "text", "fewshot-sft"])
def test_a_corpus_replaces_no_data_set_and_no_data_set_a_corpus(whole, tmp_path, step):
    out = tmp_path / "out"
    if step == "fewshot-sft":
        shutil.copytree(whole, out)
    else:
        out.mkdir()
        (out / "manifest.json").write_text('{"name": "a data set"}')
    before = bytes_below(out)
    with pytest.raises(UsageError, match="must not replace one"):
        STEPS[step](whole, out)
    assert bytes_below(out) == before


def test_images_without_a_file_are_counted_once_whatever_the_step(whole, tmp_path):
    """Of i0, i1 and i2, shown by seven documents of three units, two are gone; one of another document is off."""
    gone = document("off", "Text that is off.", replace(image("off"), valid=False))
    write_corpus(tmp_path / "corpus", [*DOCUMENTS_GIVEN, gone])
    for name in ("i0", "i1", "off"):
        (tmp_path / "corpus" / "images" / image_name(image(name).url)).unlink()
    off = with_settings(load_profile("general"), [f"{code}=off" for code in RULES])
    filtered = filter_corpus(tmp_path / "corpus", tmp_path / "filtered", off)
    windows = degrade_to_windows(tmp_path / "filtered", tmp_path / "windows", WindowSettings())
    deduplicated = dedup_corpus(tmp_path / "filtered", tmp_path / "unique", DedupSettings(), StageRun())
    counts = [one.manifest["steps"][-1]["counts"].get("images without a file") for one in (filtered, deduplicated)]
    assert counts == [2, 2]
    assert "images without a file" not in windows.manifest["steps"][-1]["counts"]  # those that cannot be shown are cut


def test_counts_of_rules_come_behind_totals(tmp_path):
    with open_stage(tmp_path / "corpus", "corpus test", {}, StageRun()) as stage:
        done = stage.map("do", [("a", ("a", 0))], OwnImage(), root=Path("/"))
        summary = stage.finish(done, counts={"document/rule": 1, "documents": 2, "paragraphs": 3, "image/rule": 4})
    counted = list(summary.manifest["steps"][-1]["counts"])
    assert counted == ["documents", "paragraphs", "document/rule", "image/rule"]


def test_a_licence_is_carried_from_step_to_step_into_data_sets(tmp_path):
    with open_stage(tmp_path / "corpus", "corpus test", {}, StageRun()) as stage:
        done = stage.map("do", [("a", ("a", 0))], OwnImage(), root=Path("/"))
        stage.finish(done, licence="CC-BY-4.0")
    windows = degrade_to_windows(tmp_path / "corpus", tmp_path / "windows", WindowSettings())
    assert windows.manifest["licence"] == "CC-BY-4.0"
    plan = CorpusPairs().plan(tmp_path / "windows", PairSettings())
    assert plan.licence == "CC-BY-4.0"


def test_a_file_where_a_corpus_should_be_is_called_a_file(tmp_path):
    (tmp_path / "corpus").touch()
    with pytest.raises(UsageError, match="it is a file, not a folder"):
        Corpus.open(tmp_path / "corpus")
