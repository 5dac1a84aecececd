"""The step over a corpus: every score in its place, nothing left out, and the same for any way of running it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_corpora import caption, document, image, write_corpus
from typer import Typer
from typer.testing import CliRunner

from domainvl.cli.corpus_score import score
from domainvl.corpus.folder import Corpus
from domainvl.corpus.scoring.clip import Clip
from domainvl.corpus.scoring.pixels import read_rgb
from domainvl.corpus.scoring.settings import ClassifierChoice, ScoreSettings
from domainvl.corpus.scoring.step import score_corpus
from domainvl.corpus.stage import StageRun
from domainvl.engine import Execution, Shard
from domainvl.errors import CheckpointError, ExitCode, InputNotFoundError, UsageError
from domainvl.interleaved.documents import ImageSlot, Origin, image_name

DOCUMENTS = [
    document("a", "Fog. A cat sat.", image("i0", alt="cat"), caption("Fig 1: a cat."), "End of the long story."),
    document("b", image("i1"), "Sea.", image("broken"), image("gone"), image("off", valid=False)),
    replace(document("c", "One. Two. Three.", image("i2"), image("i0")), origin=Origin("mmc4", "c", placement="none")),
    document("d", "Text alone."),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Four documents, a broken image, a missing one, and one that is switched off and missing."""
    folder = tmp_path_factory.mktemp("corpus") / "corpus"
    write_corpus(folder, DOCUMENTS)
    broken, gone = (folder / "images" / image_name(f"https://example.org/{name}.png") for name in ("broken", "gone"))
    broken.write_bytes(broken.read_bytes()[:60])
    gone.unlink()
    (folder / "images" / image_name("https://example.org/off.png")).unlink()
    return folder


@pytest.fixture(scope="module")
def settings(clip_folder, nsfw_folder, toxic_folder) -> ScoreSettings:
    choices = (ClassifierChoice("toxic_prob", toxic_folder), ClassifierChoice("mine", toxic_folder, "fine"))
    return ScoreSettings(
        clip=clip_folder, nsfw=nsfw_folder, text_classifiers=choices, place=True, min_similarity=-1, device="cpu"
    )


@pytest.fixture(scope="module")
def scored(corpus, settings, tmp_path_factory):
    return score_corpus(corpus, tmp_path_factory.mktemp("scored") / "scored", settings)


def read(folder: Path) -> dict[str, object]:
    return {one.id: one for one in Corpus.open(folder).documents()}


def rejects(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "rejects.jsonl").read_text().splitlines()]


def rows(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.parquet"))]


def test_nothing_is_left_out_and_natural_places_are_kept(scored):
    found = read(scored.out)
    assert list(found) == ["a", "b", "c", "d"]
    for one in DOCUMENTS:
        if one.id != "c":
            plain = [replace(slot, similar=(), unsafe_prob=None) if isinstance(slot, ImageSlot) else slot
                     for slot in found[one.id].slots]  # fmt: skip
            assert tuple(plain) == one.slots
            assert found[one.id].origin == one.origin
    assert len(list((scored.out / "images").iterdir())) == 4


def test_each_similarity_is_the_cosine_of_its_image_and_its_text(scored, clip_folder):
    clip = Clip(clip_folder, device=torch.device("cpu"), batch_size=1)
    count = 0
    for one in read(scored.out).values():
        for slot in one.images:
            for similar in slot.similar:
                text = slot.alt if similar.slot == -1 else one.slots[similar.slot].text
                picture = read_rgb(scored.out / "images" / image_name(slot.url), slot.url)
                row = clip.encode_images([clip.prepare(picture)])[0]
                cosine = float(clip.encode_texts([text[similar.begin : similar.end]])[0][0] @ row)
                assert similar.score == pytest.approx(cosine, abs=1e-5)
                count += 1
    assert [len(slot.similar) for slot in read(scored.out)["a"].images] == [6]  # alt, 2 + 3 texts and sentences of one
    assert count > 12


def test_images_that_cannot_be_used_are_listed_and_keep_no_score(scored):
    found = {(one["input"], one["reason"], one["severity"]) for one in rejects(scored.out)}
    assert found == {
        ("b https://example.org/broken.png", "image-decode", "failed"),
        ("b https://example.org/gone.png", "missing", "skipped"),
    }
    assert scored.exit_code is ExitCode.PARTIAL
    whole, broken, gone, off = read(scored.out)["b"].images
    assert all(slot.similar == () and slot.unsafe_prob is None for slot in (broken, gone, off))
    assert (broken.valid, gone.valid) == (True, True)
    assert 0 < whole.unsafe_prob < 1


def test_text_scores_have_their_names(scored):
    for one in read(scored.out).values():
        assert set(one.probabilities) == {"toxic_prob"}
        assert set(one.scores) == {"mine"}
        assert one.probabilities["toxic_prob"] + one.scores["mine"] == pytest.approx(1, abs=2e-6)


def test_images_of_a_source_without_layout_are_placed(scored):
    placed = read(scored.out)["c"]
    assert placed.origin.placement == "retrieval"
    assert placed.texts[-1] is placed.slots[-1]
    for slot, behind in zip(placed.slots, placed.slots[1:], strict=False):
        if isinstance(slot, ImageSlot):
            assert not isinstance(behind, ImageSlot)
            assert max(one.score for one in slot.similar) > -1
    step = scored.manifest["steps"][-1]
    assert step["counts"]["documents placed by similarity"] == 1


def test_images_below_the_least_similarity_are_switched_off(corpus, settings, tmp_path):
    done = score_corpus(corpus, tmp_path / "out", replace(settings, min_similarity=1.0, text_classifiers=()))
    assert [slot.valid for slot in read(done.out)["c"].images] == [False, False]
    assert done.manifest["steps"][-1]["counts"]["images switched off, like no sentence"] == 2


def test_without_place_no_document_is_changed(corpus, settings, tmp_path):
    done = score_corpus(corpus, tmp_path / "out", replace(settings, place=False, text_classifiers=()))
    assert read(done.out)["c"].origin.placement == "none"
    assert read(done.out)["c"].texts == DOCUMENTS[2].texts


def test_a_batch_of_one_gives_the_same_scores(scored, corpus, settings, tmp_path):
    done = score_corpus(corpus, tmp_path / "out", replace(settings, batch_size=1))
    for one, other in zip(read(scored.out).values(), read(done.out).values(), strict=True):
        assert [slot.url for slot in one.images] == [slot.url for slot in other.images]
        for left, right in zip(one.images, other.images, strict=True):
            assert [x.score for x in left.similar] == pytest.approx([x.score for x in right.similar], abs=1e-5)
    assert done.manifest["steps"][-1]["settings"] == scored.manifest["steps"][-1]["settings"]


def test_a_process_of_its_own_gives_the_same_bytes(scored, corpus, settings, tmp_path):
    execution = Execution(workers=1, unit_timeout_s=None)
    done = score_corpus(corpus, tmp_path / "out", settings, run=StageRun(execution=execution))
    assert rows(done.out) == rows(scored.out)
    assert done.manifest["steps"] == scored.manifest["steps"]


def test_shards_are_joined_to_the_same_bytes(scored, corpus, settings, tmp_path):
    for index in (1, 2):
        score_corpus(corpus, tmp_path / "out", settings, run=StageRun(shard=Shard(index, 2)))
    assert rows(score_corpus(corpus, tmp_path / "out", settings).out) == rows(scored.out)


def test_the_manifest_names_models_and_no_path(scored, clip_folder):
    step = scored.manifest["steps"][-1]
    assert step["settings"]["clip"]["name"] == "tiny-clip"
    assert str(clip_folder.parent) not in json.dumps(scored.manifest)
    assert step["counts"]["texts cut at the context of the model"] == len(
        [
            text
            for text in ("Fog. A cat sat.", "Fig 1: a cat.", "End of the long story.")
            if len(text.replace(" ", "")) > 14
        ]
    )
    assert "compared by their beginning" in scored.manifest["notes"][0]


def test_the_aesthetic_score_stands_in_the_record(corpus, clip_folder, tmp_path):
    """A predictor of zeros and a last bias of 5.25 finds all images equally fair."""
    sizes = {0: (8, 4), 2: (4, 4), 4: (4, 4), 6: (4, 4), 7: (4, 1)}
    tensors = {f"layers.{layer}.weight": torch.zeros(out, into) for layer, (into, out) in sizes.items()}
    tensors |= {f"layers.{layer}.bias": torch.full((out,), 5.25) for layer, (_, out) in sizes.items()}
    torch.save(tensors, tmp_path / "zeros.pth")
    done = score_corpus(corpus, tmp_path / "out", ScoreSettings(clip=clip_folder, aesthetics=tmp_path / "zeros.pth"))
    assert [slot.aesthetic_prob for slot in read(done.out)["b"].images] == [5.25, None, None, None]
    assert np.isfinite(read(done.out)["a"].images[0].similar[0].score)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "no model is named"),
        ({"place": True}, "--place needs --clip"),
        ({"nsfw": "nsfw", "aesthetics": "x.pth"}, "--aesthetics looks at features"),
        ({"clip": "clip", "nsfw_label": "x"}, "--nsfw-label"),
        ({"clip": "clip", "batch_size": 0}, "--batch-size"),
        ({"clip": "clip", "min_similarity": 1.5}, "--min-similarity"),
        ({"text_classifiers": (ClassifierChoice("a", Path("x")), ClassifierChoice("a", Path("y")))}, "its own name"),
    ],
    ids=["nothing", "place", "aesthetics", "label", "batch", "similarity", "names"],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    changes = {
        name: Path(value) if name in ("clip", "nsfw", "aesthetics") else value for name, value in changes.items()
    }
    with pytest.raises(UsageError, match=message):
        ScoreSettings(**changes).check()


def test_a_model_that_does_not_fit_stops_before_anything_is_written(corpus, toxic_folder, tmp_path):
    with pytest.raises(CheckpointError, match="features of images"):
        score_corpus(corpus, tmp_path / "out", ScoreSettings(clip=toxic_folder))
    with pytest.raises(InputNotFoundError, match="Nothing is downloaded"):
        score_corpus(corpus, tmp_path / "out", ScoreSettings(clip=tmp_path / "none"))
    assert list(tmp_path.iterdir()) == []


def test_a_classifier_is_named_with_its_folder_and_label(tmp_path):
    assert ClassifierChoice.parse("a=b/c") == ClassifierChoice("a", Path("b/c"))
    assert ClassifierChoice.parse("a=b:L 1") == ClassifierChoice("a", Path("b"), "L 1")
    (tmp_path / "b:c").mkdir()
    assert ClassifierChoice.parse(f"a={tmp_path}/b:c") == ClassifierChoice("a", tmp_path / "b:c")
    for text in ("a", "=b", "a=", "a b=c"):
        with pytest.raises(UsageError, match="NAME=FOLDER"):
            ClassifierChoice.parse(text)


def test_the_command_scores(corpus, toxic_folder, tmp_path):
    app = Typer()
    app.command()(score)
    arguments = [str(corpus), "--out", str(tmp_path / "out"), "--text-classifier", f"mine={toxic_folder}:toxic"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "4 documents" in result.output
    assert all(set(one.scores) == {"mine"} for one in read(tmp_path / "out").values())
