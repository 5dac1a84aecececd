"""Features on disk: the same loss and gradients, a miss wherever anything that matters differs, no broken file used."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import small_model

from domainvl.errors import OutputError
from domainvl.model.adapters import LoraSettings, add_lora
from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.preprocessing import TileReader
from domainvl.model.vision_cache import VisionCache
from domainvl.model.visual import VisualInput, embed, image_outputs
from domainvl.schema import Image, SampleFile, Split
from domainvl.tiling import TileGrid

ONE_TILE = TileGrid(1, 1, False)
KEY = "ab" * 32


def frozen_vision(untrained: Path) -> LoadedModel:
    loaded = load_model(str(untrained))
    torch.manual_seed(0)
    loaded.model = add_lora(loaded.internvl, LoraSettings(rank=2, dropout=0.0, vision="frozen", projector="full"))
    loaded.model.train()
    return loaded


@pytest.fixture(scope="module")
def images(squares: Path) -> list[Image]:
    """Four images of which two are the same."""
    found = {image.pixel_sha256: image for sample in SampleFile(squares, Split.TRAIN)[:12] for image in sample.images}
    first, second, third, *_ = found.values()
    return [first, second, first, third]


def inputs_of(squares: Path, loaded: LoadedModel, images: list[Image], cache: VisionCache) -> list[VisualInput]:
    """What a reader makes of images: features where they are known, else tiles."""
    reader = TileReader(squares, loaded.spec.preprocessing)
    inputs = []
    for image in images:
        (grid,) = loaded.spec.preprocessing.grids([image])
        key = cache.key(image, grid)
        features = cache.read(key)
        tiles = None if features is not None else reader.read([image])[0]
        inputs.append(VisualInput(tiles, key, features))
    return inputs


def loss_and_gradients(loaded: LoadedModel, embeddings: torch.Tensor) -> tuple[float, dict[str, torch.Tensor]]:
    count = embeddings.shape[0] * embeddings.shape[1]
    ids = torch.tensor([[40, 41, *[loaded.internvl.config.image_token_id] * count, 42, 43, 44]])
    loaded.model.zero_grad()
    loss = loaded.internvl(input_ids=ids, labels=ids, use_cache=False, **image_outputs(embeddings)).loss
    loss.backward()
    return loss.item(), {
        name: value.grad.clone() for name, value in loaded.model.named_parameters() if value.grad is not None
    }


def test_loss_and_gradients_are_the_same_to_the_last_bit(
    untrained: Path, squares: Path, images: list[Image], tmp_path: Path
) -> None:
    loaded = frozen_vision(untrained)
    reader = TileReader(squares, loaded.spec.preprocessing)
    plain = embed(loaded, [VisualInput(reader.read([image])[0]) for image in images])
    expected = loss_and_gradients(loaded, plain)
    assert any("projector" in name for name in expected[1])
    cache = VisionCache(tmp_path, loaded)
    for _ in ("written", "read"):
        found = loss_and_gradients(loaded, embed(loaded, inputs_of(squares, loaded, images, cache), cache))
        assert found[0] == expected[0]
        assert found[1].keys() == expected[1].keys()
        assert all(torch.equal(found[1][name], gradient) for name, gradient in expected[1].items())
    assert (cache.hits, cache.misses, cache.broken) == (4, 3, 0)


def test_each_image_is_encoded_once(untrained: Path, squares: Path, images: list[Image], tmp_path: Path) -> None:
    loaded = frozen_vision(untrained)
    encoded: list[int] = []
    tower = loaded.internvl.model.vision_tower
    tower.register_forward_pre_hook(
        lambda _, args, kwargs: encoded.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    cache = VisionCache(tmp_path, loaded)
    embed(loaded, inputs_of(squares, loaded, images[:2], cache), cache)
    early = inputs_of(squares, loaded, images[3:], cache)  # read before the next line has encoded it
    embed(loaded, inputs_of(squares, loaded, images, cache), cache)
    embed(loaded, early, cache)
    embed(loaded, inputs_of(squares, loaded, images, VisionCache(tmp_path, loaded)), cache)  # as of another process
    assert encoded == [2, 1]
    assert tower.training  # but it was not while it encoded


def test_dropout_of_the_encoder_is_off(untrained: Path, squares: Path, images: list[Image], tmp_path: Path) -> None:
    loaded = frozen_vision(untrained)
    for module in loaded.internvl.model.vision_tower.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.9
    results = []
    for name in "ab":
        cache = VisionCache(tmp_path / name, loaded)
        results.append(embed(loaded, inputs_of(squares, loaded, images, cache), cache))
    assert torch.equal(results[0], results[1])


def test_a_key_follows_from_all_that_decides_and_nothing_else(untrained: Path, images: list[Image]) -> None:
    loaded = load_model(str(untrained))
    image = images[0]

    def key(image: Image = image, grid: TileGrid = ONE_TILE, **options: torch.dtype) -> str:
        return VisionCache(Path("unused"), loaded, **options).key(image, grid)

    def with_preprocessing(**changes: object) -> str:
        spec = loaded.spec
        loaded.spec = spec.model_copy(update={"preprocessing": spec.preprocessing.model_copy(update=changes)})
        try:
            return key()
        finally:
            loaded.spec = spec

    first = key()
    others = {
        "pixels": key(image.model_copy(update={"pixel_sha256": "0" * 64})),
        "columns": key(grid=TileGrid(2, 1, False)),
        "thumbnail": key(grid=TileGrid(1, 1, True)),
        "arithmetic": key(arithmetic=torch.bfloat16),
        "side": with_preprocessing(tile_side_px=128),
        "resize": with_preprocessing(resize="fast"),
        "mean": with_preprocessing(mean=(0.5, 0.5, 0.5)),
        "std": with_preprocessing(std=(0.5, 0.5, 0.5)),
    }
    assert len({first, *others.values()}) == 1 + len(others), others
    same = [
        key(image.model_copy(update={"path": "images/elsewhere.png", "view": "CAM_FRONT"})),
        with_preprocessing(max_tiles=9),
        with_preprocessing(wording="another"),
    ]
    assert set(same) == {first}

    with torch.no_grad():
        loaded.internvl.lm_head.weight[0, 0] += 1
    assert key() == first
    with torch.no_grad():
        weight = loaded.internvl.model.vision_tower.encoder.layer[0].mlp.fc1.weight
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    assert key() != first


@pytest.mark.parametrize(("setting", "value"), [("num_attention_heads", 1), ("hidden_act", "relu")])
def test_a_key_follows_from_settings_that_no_weight_tells(setting: str, value: object, images: list[Image]) -> None:
    spec = load_model("tiny").spec
    keys = []
    for change in ({}, {setting: value}):
        model = small_model()
        model.model.config.vision_config.update(change)
        keys.append(VisionCache(Path("unused"), LoadedModel(model, None, spec)).key(images[0], ONE_TILE))
    assert keys[0] != keys[1]


def small_cache(folder: Path) -> VisionCache:
    return VisionCache(folder, load_model("tiny"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_features_come_back_as_they_were(dtype: torch.dtype, tmp_path: Path) -> None:
    cache = small_cache(tmp_path)
    whole = torch.randn(6, 4, 8).to(dtype)
    cache.write(KEY, whole[2:5])
    back = cache.read(KEY)
    assert back.dtype == dtype
    assert torch.equal(back, whole[2:5])
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert path.stat().st_size < whole[2:5].nbytes + 300  # not all six
    cache.write(KEY, whole.transpose(1, 2))
    assert torch.equal(cache.read(KEY), whole.transpose(1, 2))


def cut(content: bytes, length: int) -> bytes:
    return content[:length]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: cut(content, 5),
        lambda content: cut(content, 60),
        lambda content: cut(content, len(content) - 1),
        lambda content: content + b"x",
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"not at all" * 100,
    ],
    ids=["empty", "cut in the length", "cut in the header", "cut by one", "longer", "one bit", "another kind"],
)
def test_a_damaged_file_counts_as_missing_and_is_written_again(damage, tmp_path: Path) -> None:
    cache = small_cache(tmp_path)
    features = torch.randn(2, 4, 8)
    cache.write(KEY, features)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(damage(path.read_bytes()))
    assert cache.read(KEY) is None
    assert cache.read(KEY) is None
    assert cache.broken == 1  # it is gone after the first
    cache.write(KEY, features)
    assert torch.equal(cache.read(KEY), features)
    assert (cache.hits, cache.misses) == (1, 2)


def test_readers_and_writers_at_once_never_see_half_a_file(tmp_path: Path) -> None:
    features = torch.randn(8, 64, 64)
    caches = [small_cache(tmp_path), small_cache(tmp_path)]  # as of two processes
    stop = threading.Event()

    def write(cache: VisionCache) -> None:
        while not stop.is_set():
            cache.write(KEY, features)

    def read(cache: VisionCache) -> bool:
        found = cache.read(KEY)
        return found is not None and torch.equal(found, features)

    caches[0].write(KEY, features)
    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, cache) for cache in caches]
        right = list(pool.map(read, caches * 100))
        stop.set()
        for writer in writers:
            writer.result()
    assert all(right)
    assert sum(cache.hits for cache in caches) == 200
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [f"{KEY}.safetensors"]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = small_cache(tmp_path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"No space left on device.*Make room"):
        cache.write(KEY, torch.zeros(1, 4, 8))
    assert cache.misses == 0
    assert cache.read(KEY) is None


def test_tiles_of_an_image_stay_together(untrained: Path, tmp_path: Path) -> None:
    loaded = load_model(str(untrained))
    generator = np.random.default_rng(0)
    parts = {key: generator.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8) for key, n in (("aa", 3), ("bb", 1))}
    cache = VisionCache(tmp_path, loaded)
    with torch.inference_mode():
        embed(loaded, [VisualInput(tiles, key) for key, tiles in parts.items()], cache)
        for key, tiles in parts.items():
            features = cache.read(key)
            assert len(features) == len(tiles)
            alone = embed(loaded, [VisualInput(tiles)])
            assert torch.allclose(embed(loaded, [VisualInput(None, key, features)], cache), alone, atol=1e-6)
