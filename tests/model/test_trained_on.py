"""What a checkpoint says of the samples that it was trained on."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from domainvl.errors import CheckpointError
from domainvl.model.checkpoint import hash_weights
from domainvl.model.trained_on import (
    TRAINED_ON_NAME,
    TrainedOn,
    copy_trained_on,
    digest_group,
    read_trained_on,
    trained_on,
    trained_on_images,
    write_trained_on,
)
from domainvl.schema import Image, Sample, Source, Split, read_samples
from domainvl.schema.digests import digest_text
from domainvl.schema.sample import MADE_OF


@pytest.fixture
def train(squares: Path) -> list[Sample]:
    return list(read_samples(squares, Split.TRAIN))


def test_groups_and_images_are_gathered_each_once(train: list[Sample]) -> None:
    found = trained_on(train * 2)
    assert set(found.groups.tolist()) == {digest_text(f"general\n{sample.group}") for sample in train}
    assert set(found.images.tolist()) == {digest_text(image.pixel_sha256) for one in train for image in one.images}
    assert len(found.groups) == len({sample.group for sample in train}) == 12
    assert len(found.images) == len(set(found.images.tolist()))
    assert all(found.has_group(sample) and found.has_image(sample.images[0]) for sample in train)


def test_other_samples_are_not_among_it(train: list[Sample], squares: Path) -> None:
    found = trained_on(train)
    for sample in read_samples(squares, Split.TEST):
        assert not found.has_group(sample)
    assert not TrainedOn().has_group(train[0])
    assert not TrainedOn().has_image(train[0].images[0])


def test_a_group_of_another_domain_is_another(train: list[Sample]) -> None:
    found = trained_on(train)
    assert not found.has_group(train[0].model_copy(update={"domain": "driving"}))
    assert found.has_group(train[0].model_copy(update={"id": "another/set"}))


def test_parts_of_stitched_images_count() -> None:
    def image(pixels: str, *parts: str) -> Image:
        details = {MADE_OF: list(parts)} if parts else {}
        return Image(
            path="x.png", width_px=1, height_px=1, pixel_sha256=pixels, source=Source(uri="x", details=details)
        )

    found = trained_on_images([image("whole", "left", "right")])
    assert len(found.images) == 3
    assert len(found.groups) == 0
    assert found.has_image(image("left"))
    assert found.has_image(image("other whole", "new", "right"))
    assert not found.has_image(image("other whole", "new"))


def test_many_digests_are_gathered_in_little_memory(train: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained_on(train)
    monkeypatch.setattr("domainvl.model.trained_on._AT_A_TIME", 5)
    pieces = trained_on(train)
    assert pieces.groups.tolist() == whole.groups.tolist()
    assert pieces.images.tolist() == whole.images.tolist()


def test_what_is_written_is_read_and_is_no_weight(train: list[Sample], untrained: Path, tmp_path: Path) -> None:
    before = hash_weights(untrained)
    found = trained_on(train)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_trained_on(tmp_path / name, found)
    assert (tmp_path / "a" / TRAINED_ON_NAME).read_bytes() == (tmp_path / "b" / TRAINED_ON_NAME).read_bytes()
    read = read_trained_on(tmp_path / "a")
    assert read is not None
    assert read.groups.tolist() == sorted(
        digest_group(one) for one in {sample.group: sample for sample in train}.values()
    )
    assert read.images.tolist() == found.images.tolist()
    (tmp_path / "a" / "model.safetensors").write_bytes((untrained / "model.safetensors").read_bytes())
    assert hash_weights(tmp_path / "a") == before


def test_what_is_not_known_stays_unknown(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    assert read_trained_on(tmp_path) is None
    copy_trained_on(tmp_path, tmp_path / "to")
    assert read_trained_on(tmp_path / "to") is None


def test_both_sides_of_a_union(train: list[Sample]) -> None:
    first, second = trained_on(train[:3]), trained_on(train[3:])
    both, whole = first | second, trained_on(train)
    assert both.groups.tolist() == whole.groups.tolist()
    assert both.images.tolist() == whole.images.tolist()


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / TRAINED_ON_NAME).write_bytes(b"half a file")
    with pytest.raises(CheckpointError, match="in the format of safetensors"):
        read_trained_on(tmp_path)
    save_file({"groups": np.zeros(2, np.int32), "images": np.zeros(2, np.uint64)}, tmp_path / TRAINED_ON_NAME)
    with pytest.raises(CheckpointError, match="lists of 64-bit numbers called groups, images"):
        read_trained_on(tmp_path)
