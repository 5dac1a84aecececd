"""The mixtures among the examples: they load, and a small model trains on what corpus degrade makes, on text alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from toy_corpora import caption, document, image, write_corpus

from domainvl.conversion.run import convert
from domainvl.corpus.degrading.few_shot import degrade_to_few_shot
from domainvl.corpus.degrading.pairs import CorpusPairs, PairSettings
from domainvl.corpus.degrading.texts import TextSettings, degrade_to_text
from domainvl.corpus.degrading.windows import WindowSettings, degrade_to_windows
from domainvl.interleaved.documents import Slot, TextSlot
from domainvl.model.checkpoint import load_model
from domainvl.schema.operations.few_shot import FewShotSettings
from domainvl.schema.reader import read_samples
from domainvl.schema.sample import Split
from domainvl.training.log import read_log
from domainvl.training.mixture import MixtureSpec, SourceSpec, load_mixture, open_sources
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import finetune
from domainvl.training.sources import ModelInput

MIXTURES = Path(__file__).parents[2] / "examples" / "mixtures"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> Path:
    """The folders that the mixtures name, with the mixtures beside them."""
    folder = tmp_path_factory.mktemp("mixtures")
    shutil.copytree(squares, folder / "domain")
    pages = []
    for n in range(16):
        slots: list[Slot] = [TextSlot(f"What cup {n} is like. " * 8)]
        for m in range(6):
            slots += [image("z" * n + "abcdef"[m]), caption(f"Cup {n}, side {m}.")]
        pages.append(document(f"d{n}", *slots))
    write_corpus(folder / "corpus", pages, per_unit=16)
    pairs = PairSettings(val_fraction=0.0, test_fraction=0.0)
    convert(CorpusPairs(), folder / "corpus", folder / "general", pairs)
    degrade_to_few_shot(folder / "corpus", folder / "domain-few-shot", pairs, FewShotSettings(shots=2))
    degrade_to_windows(folder / "corpus", folder / "windows", WindowSettings(max_tokens=2000))
    degrade_to_text(folder / "corpus", folder / "texts", TextSettings(min_words=10))
    for path in MIXTURES.glob("*.yaml"):
        shutil.copy(path, folder)
    return folder


def test_every_mixture_names_what_is_made_here(folder: Path):
    names = sorted(path.name for path in MIXTURES.glob("*.yaml"))
    assert names == ["few-shot-share.yaml", "language-share.yaml"]
    sources = {name: set(load_mixture(folder / name).sources) for name in names}
    assert sources["few-shot-share.yaml"] == {"domain", "domain-few-shot", "general"}
    assert sources["language-share.yaml"] == {"domain", "windows", "language"}


def test_the_loss_counts_text_alone_in_windows_of_six_images(folder: Path, untrained: Path):
    loaded = load_model(str(untrained))
    model = ModelInput(loaded.encoder(), loaded.spec.preprocessing)
    _, windows, language = open_sources(load_mixture(folder / "language-share.yaml"), model, 2000)
    assert len(windows) == len(language) > 10
    (unit,) = windows.encode(range(1), model, 6)
    assert len(unit.images) == 6
    counted = [token for token, flag in zip(unit.input_ids, unit.supervised, strict=True) if flag]
    told = loaded.tokenizer.decode(counted)
    assert all(f"side {m}." in told for m in range(6))
    assert "img" not in told.lower()
    tiles = sum(unit.tile_counts) * loaded.spec.preprocessing.tokens_per_tile
    assert unit.supervised.count(False) >= tiles + 2 * 6  # each image with its two tags
    (alone,) = language.encode(range(1), model, 6)
    assert alone.images == ()
    assert "side 5." in loaded.tokenizer.decode(list(alone.input_ids))


def test_windows_and_texts_of_what_pairs_hold_out_are_not_trained_on(folder: Path, untrained: Path, tmp_path: Path):
    """Pairs, windows and texts of one corpus, with the shares that each holds out where nobody says it."""
    convert(CorpusPairs(), folder / "corpus", tmp_path / "pairs", PairSettings(val_fraction=0.3, test_fraction=0.2))
    held_out = [sample for split in (Split.VAL, Split.TEST) for sample in read_samples(tmp_path / "pairs", split)]
    groups = {sample.group for sample in held_out}
    assert 0 < len(groups) < 16
    loaded = load_model(str(untrained))
    model = ModelInput(loaded.encoder(), loaded.spec.preprocessing)
    spec = MixtureSpec(
        sources={
            "texts": SourceSpec(path=folder / "texts", kind="interleaved", text_only=True),
            "windows": SourceSpec(path=folder / "windows", kind="interleaved"),
            "pairs": SourceSpec(path=tmp_path / "pairs"),
        }
    )
    texts, windows, _ = open_sources(spec, model, 2000)
    trained = {image.pixel_sha256 for unit in windows.encode(range(len(windows)), model, 6) for image in unit.images}
    assert trained
    assert trained.isdisjoint(image.pixel_sha256 for sample in held_out for image in sample.images)
    for source in (texts, windows):
        (every,) = open_sources(MixtureSpec(sources={"every": spec.sources[source.name]}), model, 2000)
        assert source.record["documents"] < every.record["documents"]
        assert source.record["left_out"]["document/held-out"] >= len(groups) - 1  # one may be val's here too


@pytest.mark.parametrize("name", ["few-shot-share", "language-share"])
def test_a_small_model_trains_on_all_sources_of_a_mixture(folder: Path, untrained: Path, tmp_path: Path, name: str):
    changes = [
        "optimisation.max_steps=3",
        "optimisation.batch_size=24",
        "validation.max_samples=2",
        "preprocessing.max_tiles=6",
    ]
    recipe = load_recipe("quickstart/medical", model=str(untrained), overrides=changes)
    spec = load_mixture(folder / f"{name}.yaml")
    finetune(recipe, spec, tmp_path / "run")
    steps = [row for row in read_log(tmp_path / "run" / "log.jsonl") if row.get("kind") == "train"]
    seen = {source: sum(row["source_samples"][source] for row in steps) for source in spec.sources}
    assert all(seen.values()), seen
    assert seen["domain"] == max(seen.values())
