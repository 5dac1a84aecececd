"""``corpus degrade`` as a user gives it: what is printed, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import typer
from toy_corpora import caption, document, image, write_corpus
from typer.testing import CliRunner

from domainvl.cli import corpus_degrade
from domainvl.corpus.folder import Corpus
from domainvl.errors import UsageError
from domainvl.schema import Split, read_manifest, read_samples
from domainvl.schema.validation import validate

app = typer.Typer()
app.command()(corpus_degrade.degrade)


def run(*arguments: object):
    result = CliRunner().invoke(app, [str(one) for one in (*arguments, "--workers", 0)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("degrade") / "corpus"
    pages = [document(f"d{n}", f"Text {n}.", image(f"{n}-{n * n}"), caption(f"Fig. {n}. Cup {n}.")) for n in range(8)]
    write_corpus(folder, [*pages, document("bare", image("bare", alt="photo"))])
    return folder


def test_texts(corpus: Path, tmp_path: Path):
    result = run(corpus, "--to", "text", "--min-words", 3, "--format", "jsonl", "--out", tmp_path / "texts")
    assert result.exit_code == 0
    assert "8 documents, 0 images" in result.stdout
    assert "1  text/too-few-words" in result.stdout
    assert len((tmp_path / "texts" / "jsonl" / "documents.jsonl").read_text().splitlines()) == 8


def test_pairs(corpus: Path, tmp_path: Path):
    result = run(corpus, "--to", "pairs", "--field", "medical", "--val-fraction", 0.5, "--out", tmp_path / "pairs")
    assert result.exit_code == 0
    assert "8 samples" in result.stdout
    assert "skipped: 1 x useless-alt (pair)" in result.stdout
    manifest = read_manifest(tmp_path / "pairs")
    assert manifest["command"] == "corpus degrade"
    assert manifest["settings"]["val_fraction"] == 0.5
    assert {row["domain"] for row in manifest["counts"]} == {"medical"}


def test_shards_of_pairs_say_how_they_are_joined(corpus: Path, tmp_path: Path):
    result = run(corpus, "--to", "pairs", "--shard", "1/2", "--out", tmp_path / "pairs")
    assert result.exit_code == 0
    assert "domainvl merge" in result.stdout
    assert (tmp_path / "pairs.shard-1-of-2" / "shard.json").is_file()


def test_windows(corpus: Path, tmp_path: Path):
    result = run(corpus, "--to", "windows", "--max-images", 2, "--max-tokens", 300, "--out", tmp_path / "windows")
    assert result.exit_code == 0
    assert "8 documents, 8 images" in result.stdout
    assert "1  window/no-window" in result.stdout
    assert Corpus.open(tmp_path / "windows").manifest["steps"][-1]["settings"]["max_images"] == 2


def test_few_shot_samples_with_a_checkpoint_s_features(corpus: Path, tmp_path: Path):
    out = tmp_path / "few"
    options = ["--shots", 1, "--by", "similar", "--features", "tiny", "--device", "cpu", "--keep-plain"]
    result = run(corpus, "--to", "fewshot-sft", *options, "--val-fraction", 0, "--test-fraction", 0, "--out", out)
    assert result.exit_code == 0
    assert "8 pairs in" in result.stdout
    assert "8 samples with examples" in result.stdout
    assert read_manifest(tmp_path / "few-plain")["name"] == "few-plain"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "text", "--shots", 2], "--shots says nothing to --to text"),
        (["--to", "windows", "--min-words", 2, "--field", "a"], "--min-words, --field says nothing"),
        (["--to", "text", "--format", "csv"], "--format must be jsonl, got 'csv'"),
        (["--to", "pairs", "--min-similarity", 2], "--min-similarity: .* got 2"),
        (["--to", "fewshot-sft", "--by", "size"], "--by must be random or similar"),
        (["--to", "fewshot-sft", "--shard", "1/2"], "no --shard"),
        (["--to", "fewshot-sft", "--features", "tiny", "--clip", "clip"], "name one"),
    ],
)
def test_what_does_not_fit_is_refused(corpus: Path, tmp_path: Path, options: list[object], message: str):
    with pytest.raises(UsageError, match=message):
        run(corpus, *options, "--out", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("reader", [read_manifest, validate, lambda folder: list(read_samples(folder, Split.TRAIN))])
def test_readers_of_data_sets_say_that_a_corpus_is_none(corpus: Path, reader):
    with pytest.raises(UsageError, match="it is a corpus of interleaved documents.*domainvl corpus report"):
        reader(corpus)


@pytest.mark.parametrize("target", ["pairs", "fewshot-sft"])
def test_no_data_set_replaces_a_corpus(corpus: Path, tmp_path: Path, target: str):
    other = tmp_path / "other"
    shutil.copytree(corpus, other)
    with pytest.raises(UsageError, match="it is a corpus, and a data set must not replace one"):
        run(corpus, "--to", target, "--out", other, "--overwrite")
    assert Corpus.open(other).document_count == 9
