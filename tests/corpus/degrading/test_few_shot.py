"""Few-shot samples of a corpus: examples of other documents, the plain copies gone or kept beside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from toy_corpora import caption, document, image, write_corpus

from domainvl.corpus.degrading.few_shot import Features, degrade_to_few_shot, plain_folder
from domainvl.corpus.degrading.pairs import PairSettings
from domainvl.errors import NothingToDoError, UsageError
from domainvl.schema import Image, Split, read_manifest, read_samples
from domainvl.schema.operations.few_shot import FewShotSettings
from domainvl.schema.sample import EXAMPLE_OF

PAIRS = PairSettings(val_fraction=0.3, test_fraction=0.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few") / "corpus"
    pages = [
        document(f"d{n}", *(part for m in "xy" for part in (image("z" * n + m), caption(f"Cup {n}, side {m}."))))
        for n in range(12)
    ]
    write_corpus(folder, pages, per_unit=5)
    return folder


def test_examples_are_of_other_documents_and_no_plain_copy_is_left(corpus: Path, tmp_path: Path):
    made = degrade_to_few_shot(corpus, tmp_path / "few", PAIRS, FewShotSettings(shots=2))
    samples = list(read_samples(tmp_path / "few", Split.TRAIN))
    assert len(samples) == made.few_shot.few_shot_count > 10
    for sample in samples:
        assert len(sample.turns) == 6
        examples = [one.source.details[EXAMPLE_OF] for one in sample.images[:2]]
        assert all(str(name).split("/")[0] != sample.group for name in examples)
        assert sample.turns[5].text == f"Cup {sample.group[1:]}, side {'xy'[int(sample.id.split('/')[1]) // 2]}."
    assert all(not sample.earlier for sample in read_samples(tmp_path / "few", Split.VAL))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few"]
    told = read_manifest(tmp_path / "few")["settings"]["data_set"]
    assert told["command"] == "corpus degrade"


def test_plain_pairs_are_kept_where_asked_for(corpus: Path, tmp_path: Path):
    made = degrade_to_few_shot(corpus, tmp_path / "few", PAIRS, FewShotSettings(), keep_plain=True)
    plain = list(read_samples(plain_folder(tmp_path / "few"), Split.TRAIN))
    assert {sample.id for sample in plain} == {sample.id for sample in read_samples(tmp_path / "few", Split.TRAIN)}
    assert made.pairs.sample_count == 24
    with pytest.raises(UsageError, match="exists"):
        degrade_to_few_shot(corpus, tmp_path / "few", PAIRS, FewShotSettings(), keep_plain=True)


def first_digits(dataset: Path):
    """Says that images are alike whose hashes begin alike; looks at the plain pairs, which must be there."""

    def look(images: Sequence[Image]) -> np.ndarray:
        assert all((dataset / one.path).is_file() for one in images)
        return np.array([[1.0, int(one.pixel_sha256[:4], 16) / 0x8000] for one in images], np.float32)

    return look


def test_similar_examples_are_the_nearest_and_the_most_similar_is_last(corpus: Path, tmp_path: Path):
    shots = FewShotSettings(shots=2, by="similar")
    degrade_to_few_shot(corpus, tmp_path / "few", PAIRS, shots, features=Features("toy", first_digits))
    samples = list(read_samples(tmp_path / "few", Split.TRAIN))
    known = {one.pixel_sha256: sample.group for sample in samples for one in sample.images[-1:]}

    def angle(digest: str) -> float:
        return float(np.arctan(int(digest[:4], 16) / 0x8000))

    for sample in samples:
        *shown, own = [one.pixel_sha256 for one in sample.images]
        others = [digest for digest, group in known.items() if group != sample.group]
        nearest = sorted(others, key=lambda digest: abs(angle(digest) - angle(own)))
        assert shown == [nearest[1], nearest[0]]
    assert read_manifest(tmp_path / "few")["settings"]["features"] == "toy"


def test_settings_that_do_not_fit_are_refused_before_anything_is_read(tmp_path: Path):
    nowhere, out = tmp_path / "nowhere", tmp_path / "few"
    with pytest.raises(UsageError, match="--max-images must be above 6"):
        degrade_to_few_shot(nowhere, out, PAIRS, FewShotSettings(shots=6))
    with pytest.raises(UsageError, match="--by similar needs"):
        degrade_to_few_shot(nowhere, out, PAIRS, FewShotSettings(by="similar"))
    assert list(tmp_path.iterdir()) == []


def test_one_document_has_no_examples(tmp_path: Path):
    write_corpus(tmp_path / "corpus", [document("d", image("a"), caption("A cup."), image("b"), caption("A vase."))])
    with pytest.raises(NothingToDoError, match="too-few-examples"):
        degrade_to_few_shot(
            tmp_path / "corpus", tmp_path / "few", PairSettings(val_fraction=0, test_fraction=0), FewShotSettings()
        )
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
