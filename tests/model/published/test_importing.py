"""Published checkpoints become checkpoints of transformers' own classes that compute the same."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from official_forward import OfficialModel
from published_checkpoints import (
    FAMILIES,
    INTERNVL2_SYSTEM,
    TEMPLATES,
    TILE_SIDE_PX,
    TOKENS_PER_TILE,
    edit_config,
    read_json,
    read_weights,
    write_json,
    write_published,
    write_weights,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import InternVLConfig, InternVLForConditionalGeneration

from domainvl.errors import CheckpointError, OutputError, UsageError
from domainvl.model.checkpoint import LoadedModel, load_model, read_spec
from domainvl.model.published.exporting import export_checkpoint
from domainvl.model.published.importing import import_checkpoint
from domainvl.schema import Turn

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Imported:
    """A published checkpoint, the reference for it, and what was made of it."""

    source: Path
    out: Path
    official: OfficialModel
    loaded: LoadedModel

    @property
    def image_id(self) -> int:
        return int(self.loaded.tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"))

    def difference(self, input_ids: Sequence[int], pixel_values: torch.Tensor | None = None) -> float:
        """Return the largest difference of any logit."""
        expected = self.official.logits(input_ids, self.image_id, pixel_values)
        assert expected.std() > 0.1  # a model that says something
        return float((native_logits(self.loaded.internvl, input_ids, pixel_values) - expected).abs().max())


def native_logits(model: Any, input_ids: Sequence[int], pixel_values: torch.Tensor | None = None) -> torch.Tensor:
    with torch.inference_mode():
        # transformers keeps the base that dynamic scaling came to for a longer text, until it meets a short one.
        model(input_ids=torch.tensor([input_ids[:2]]), use_cache=False)
        return model(input_ids=torch.tensor([input_ids]), pixel_values=pixel_values, use_cache=False).logits[0].float()


def native_features(model: Any, pixel_values: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model.model.get_image_features(pixel_values=pixel_values).pooler_output


def some_tiles(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, TILE_SIDE_PX, TILE_SIDE_PX, generator=torch.Generator().manual_seed(seed))


def some_ids(length: int, *, image_id: int, tiles: int = 0, seed: int = 0) -> list[int]:
    """Random ids of ordinary tokens, with the visual tokens of some tiles at the third place."""
    ids = torch.randint(3, 290, (length - tiles * TOKENS_PER_TILE,), generator=torch.Generator().manual_seed(seed))
    return [*ids[:2].tolist(), *[image_id] * tiles * TOKENS_PER_TILE, *ids[2:].tolist()]


def import_it(source: Path, out: Path, **options: Any) -> Imported:
    import_checkpoint(source, out, **options)
    return Imported(source, out, OfficialModel.read(source), load_model(str(out)))


@pytest.fixture(scope="module", params=FAMILIES)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    folder = tmp_path_factory.mktemp(request.param)
    return import_it(write_published(folder / "in", request.param), folder / "out")


def turns(*texts: str) -> list[Turn]:
    return [Turn(role="assistant" if index % 2 else "human", text=text) for index, text in enumerate(texts)]


# ---- it thinks the same ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "tiles"),
    [
        (["Is there a nodule? Answer yes or no.", "No."], []),
        (["<image>\nWhat is in this scene?", "two ships and a pier"], [3]),
        (["Image-1: <image>\nImage-2: <image>\nWhat changed?", "a new building\nand a road"], [2, 1]),
        (["<image>\nDetect <ref>the car</ref>", "<box>[[1, 2, 3, 4]]</box>", "How many?", "3", "Sure?", "yes"], [1]),
    ],
    ids=["text", "one image", "several images", "several turns"],
)
def test_same_logits(imported: Imported, texts: list[str], tiles: list[int]) -> None:
    encoded = imported.loaded.encoder().encode(turns(*texts), tiles)
    pixels = some_tiles(sum(tiles)) if tiles else None
    assert encoded.input_ids.count(imported.image_id) == TOKENS_PER_TILE * sum(tiles)
    assert imported.difference(encoded.input_ids, pixels) < TOLERANCE


def test_same_features(imported: Imported) -> None:
    pixels = some_tiles(3)
    found, expected = native_features(imported.loaded.internvl, pixels), imported.official.features(pixels)
    assert found.shape == expected.shape == (3, TOKENS_PER_TILE, 48)
    assert float((found - expected).abs().max()) < TOLERANCE


@pytest.mark.parametrize("length", [16, 31, 32, 33, 64, 65, 150])
def test_same_logits_on_both_sides_of_where_the_rotary_embedding_changes(imported: Imported, length: int) -> None:
    """InternLM2's base grows beyond 64 positions, Phi-3's factors change beyond 32."""
    ids = some_ids(length, image_id=imported.image_id, tiles=2)
    assert imported.difference(ids, some_tiles(2)) < TOLERANCE


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("internlm2", {"llm_config": {"rope_scaling": None}}),
        ("internlm2", {"llm_config": {"rope_scaling": {"type": "linear", "factor": 3.0}}}),
        ("phi3", {"llm_config": {"rope_scaling": None}}),
        ("qwen2", {"llm_config": {"num_key_value_heads": 4}}),
        ("internlm2", {"llm_config": {"num_key_value_heads": 1}}),
        ("phi3", {"llm_config": {"num_key_value_heads": 4}}),
        ("qwen2", {"select_layer": -2}),
        ("qwen2", {"vision_config": {"num_attention_heads": 8, "layer_norm_eps": 1e-2}}),
        ("internlm2", {"llm_config": {"rms_norm_eps": 1e-2, "rope_theta": 500}}),
    ],
)
def test_other_values_of_the_config_count(tmp_path: Path, family: str, changes: dict[str, Any]) -> None:
    one = import_it(write_published(tmp_path / "in", family, **changes), tmp_path / "out")
    ids = some_ids(80, image_id=one.image_id, tiles=1)
    assert one.difference(ids, some_tiles(1)) < TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_types_stay(tmp_path: Path, dtype: torch.dtype) -> None:
    source = write_published(tmp_path / "in", "internlm2", dtype=dtype, shards=1)
    summary = import_checkpoint(source, tmp_path / "out")
    assert summary.dtype == str(dtype).removeprefix("torch.")
    assert {value.dtype for value in read_weights(tmp_path / "out").values()} == {dtype}
    assert read_json(tmp_path / "out" / "config.json")["dtype"] == summary.dtype


def test_layers_of_other_depths(tmp_path: Path) -> None:
    source = write_published(
        tmp_path / "in", "qwen2", shards=3, vision_config={"num_hidden_layers": 3}, llm_config={"num_hidden_layers": 1}
    )
    one = import_it(source, tmp_path / "out")
    assert one.difference(some_ids(20, image_id=one.image_id, tiles=1), some_tiles(1)) < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_are_merged(tmp_path: Path, family: str) -> None:
    """The merged model computes what the matrices with their updates compute, but for one rounding to bfloat16."""
    source = write_published(tmp_path / "in", family, lora_rank=4, backbone_lora_rank=2, dtype=torch.float32)
    summary = import_checkpoint(source, tmp_path / "out")
    assert summary.merged == 2 * {"qwen2": 7, "internlm2": 5, "phi3": 4}[family] + 2 * 4
    official = OfficialModel(merged_by_hand(read_weights(source)), read_json(source / "config.json"))
    loaded = load_model(str(tmp_path / "out"))
    image_id = int(loaded.tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"))
    ids, pixels = some_ids(40, image_id=image_id, tiles=2), some_tiles(2)
    difference = native_logits(loaded.internvl, ids, pixels) - official.logits(ids, image_id, pixels)
    assert float(difference.abs().max()) < 1e-4
    plain = OfficialModel.read(write_published(tmp_path / "plain", family, dtype=torch.float32))
    assert float((official.logits(ids, image_id, pixels) - plain.logits(ids, image_id, pixels)).abs().max()) > 0.1


def merged_by_hand(stored: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    plain = {}
    for name, value in stored.items():
        if ".lora_" in name:
            continue
        down = name.replace(".base_layer.weight", ".lora_A.default.weight")
        if down != name:
            up = stored[down.replace("lora_A", "lora_B")]
            value = (value.double() + 2 * up.double() @ stored[down].double()).float()
        plain[name.replace(".base_model.model", "").replace(".base_layer", "")] = value
    return plain


# ---- the golden files --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["1b", "2b", "4b"])
def golden_import(
    request: pytest.FixtureRequest, golden: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, LoadedModel]:
    source = golden / "checkpoints" / f"internvl2-{request.param}"
    out = tmp_path_factory.mktemp("golden") / "out"
    import_checkpoint(source, out)
    return source, load_model(str(out))


def test_golden_features_and_logits(golden_import: tuple[Path, LoadedModel]) -> None:
    source, loaded = golden_import
    expected = load_file(source / "expected.safetensors")
    for number, conversation in enumerate(read_json(source / "conversations.json")):
        pixels = expected.get(f"{number}.pixel_values")
        if pixels is not None:
            features = native_features(loaded.internvl, pixels[:1])
            assert float((features - expected[f"{number}.features"]).abs().max()) < TOLERANCE
        logits = native_logits(loaded.internvl, conversation["input_ids"], pixels)[-8:]
        assert float((logits - expected[f"{number}.logits_last8"]).abs().max()) < TOLERANCE


def test_golden_token_ids_and_labels(golden_import: tuple[Path, LoadedModel]) -> None:
    source, loaded = golden_import
    for number, conversation in enumerate(read_json(source / "conversations.json")):
        texts = [part["value"] for part in conversation["conversations"]]
        encoded = loaded.encoder().encode(turns(*texts), conversation["tiles"])
        assert list(encoded.input_ids) == conversation["input_ids"]
        if (source.name, number) in {("internvl2-4b", 1), ("internvl2-4b", 5)}:
            # The official trainer miscounts here and trains on nothing; right are the answers and their end tokens.
            assert set(conversation["labels"]) == {-100}
            assert supervised_texts(loaded, encoded) == [f"{answer}<|end|>" for answer in texts[1::2]]
            continue
        labels = [
            token if counts else -100 for token, counts in zip(encoded.input_ids, encoded.supervised, strict=True)
        ]
        assert labels == conversation["labels"]


def supervised_texts(loaded: LoadedModel, encoded: Any) -> list[str]:
    """Decode each run of supervised tokens."""
    runs: list[list[int]] = []
    before = False
    for token, counts in zip(encoded.input_ids, encoded.supervised, strict=True):
        if counts:
            if not before:
                runs.append([])
            runs[-1].append(token)
        before = counts
    texts = [loaded.tokenizer.decode(run, skip_special_tokens=False) for run in runs]
    return [text.replace("> ", ">").replace(" <", "<").lstrip() for text in texts]


def test_golden_checkpoints_are_those_of_internvl2(golden_import: tuple[Path, LoadedModel]) -> None:
    _, loaded = golden_import
    assert loaded.spec.chat.system_message == INTERNVL2_SYSTEM  # told by the name of the folder


# ---- what is made ------------------------------------------------------------------------------------------------


def test_the_summary(imported: Imported) -> None:
    family = imported.source.parent.name[:-1]
    summary = import_checkpoint(imported.source, imported.out.with_name("again"))
    stored = read_weights(imported.source)
    assert summary.layout == "published"
    assert summary.language_model == {"qwen2": "qwen2", "internlm2": "llama", "phi3": "phi3"}[family]
    assert summary.parameters.total == sum(value.numel() for value in stored.values())
    assert summary.tensors == (len(stored), len(read_weights(imported.out)))
    assert (summary.merged, summary.left_out, summary.dtype, summary.size) == (0, (), "bfloat16", None)
    assert (summary.chat.format, summary.chat.system_message) == (TEMPLATES[family], INTERNVL2_SYSTEM)
    assert summary.out == imported.out.with_name("again")


def test_what_belongs_to_the_checkpoint(imported: Imported) -> None:
    spec = read_spec(imported.out)
    preprocessing = spec.preprocessing
    assert (preprocessing.tile_side_px, preprocessing.tokens_per_tile) == (TILE_SIDE_PX, TOKENS_PER_TILE)
    assert (preprocessing.max_tiles, preprocessing.use_thumbnail, preprocessing.resize) == (12, True, "fast")
    assert spec.kind == "model"
    assert spec.chat.system_message == INTERNVL2_SYSTEM
    assert spec.origin["name"] == "in"
    assert spec.origin["layout"] == "published"


@pytest.mark.parametrize(
    ("changes", "max_tiles", "thumbnail"),
    [
        ({"max_dynamic_patch": 24}, 24, True),
        ({"dynamic_image_size": False}, 1, True),
        ({"use_thumbnail": False}, 12, False),
    ],
)
def test_tiles_are_those_of_the_config(
    tmp_path: Path, changes: dict[str, Any], max_tiles: int, thumbnail: bool
) -> None:
    import_checkpoint(write_published(tmp_path / "in", "qwen2", **changes), tmp_path / "out")
    preprocessing = read_spec(tmp_path / "out").preprocessing
    assert (preprocessing.max_tiles, preprocessing.use_thumbnail) == (max_tiles, thumbnail)


def test_without_keys_for_tiles_they_are_the_official_defaults(tmp_path: Path) -> None:
    """InternVLChatConfig: no dynamic size, no thumbnail (configuration_internvl_chat.py)."""
    source = write_published(tmp_path / "in", "qwen2")
    edit_config(source, dynamic_image_size=None, use_thumbnail=None, max_dynamic_patch=None)
    import_checkpoint(source, tmp_path / "out")
    preprocessing = read_spec(tmp_path / "out").preprocessing
    assert (preprocessing.max_tiles, preprocessing.use_thumbnail) == (1, False)


def test_answers_end_where_the_chat_format_does(imported: Imported) -> None:
    """transformers' own generate stops at the end marker, and the tokenizer brings the chat template."""
    end = imported.loaded.spec.chat.markers.end
    ids = read_json(imported.out / "generation_config.json")["eos_token_id"]
    assert imported.loaded.tokenizer.convert_tokens_to_ids(end) in ids
    rendered = imported.loaded.tokenizer.apply_chat_template([{"role": "user", "content": "A?"}], tokenize=False)
    assert INTERNVL2_SYSTEM in rendered
    assert rendered.endswith(f"A?{end}")


def test_small_files_are_kept_for_an_export(imported: Imported) -> None:
    weights = {path.name for path in imported.source.iterdir() if "model-0" in path.name or "index" in path.name}
    kept = {path.name: path.read_bytes() for path in (imported.out / "published").iterdir()}
    assert kept == {path.name: path.read_bytes() for path in imported.source.iterdir() if path.name not in weights}


def test_where_a_download_came_from_is_kept(tmp_path: Path) -> None:
    source = write_published(tmp_path / "in", "qwen2")
    write_json(source / "origin.json", {"name": "OpenGVLab/InternVL2-1B", "revision": "main", "commit": "abc123"})
    import_checkpoint(source, tmp_path / "out")
    origin = read_spec(tmp_path / "out").origin
    assert (origin["name"], origin["revision"], origin["commit"]) == ("OpenGVLab/InternVL2-1B", "main", "abc123")


def test_the_record_tells_weights_apart_whatever_their_files(tmp_path: Path) -> None:
    hashes = set()
    for seed in (0, 1):
        for as_bin in (False, True):
            source = write_published(tmp_path / f"in{seed}{as_bin}", "qwen2", seed=seed, as_bin=as_bin)
            import_checkpoint(source, tmp_path / f"out{seed}{as_bin}")
            hashes.add(read_spec(tmp_path / f"out{seed}{as_bin}").origin["weights_sha256"])
    assert len(hashes) == 4


def test_buffers_of_older_code_are_left_out_and_said(tmp_path: Path) -> None:
    source = write_published(tmp_path / "in", "qwen2", shards=1)
    buffer = "language_model.model.layers.0.self_attn.rotary_emb.inv_freq"
    write_weights(source, read_weights(source) | {buffer: torch.ones(6)}, shards=1)
    summary = import_checkpoint(source, tmp_path / "out")
    assert summary.left_out == (buffer,)
    assert summary.tensors[0] == summary.tensors[1] - 2 * 2 * 2 + 1  # qkv of two layers, weight and bias


# ---- traps -------------------------------------------------------------------------------------------------------


def test_embeddings_stay_untied_after_saving_and_loading(imported: Imported, tmp_path: Path) -> None:
    """The class's default is tied, and would silently drop the output layer."""
    imported.loaded.internvl.save_pretrained(tmp_path / "saved", save_original_format=False)
    again = InternVLForConditionalGeneration.from_pretrained(tmp_path / "saved")
    expected = sum(value.numel() for value in read_weights(imported.source).values())
    for model in (imported.loaded.internvl, again):
        assert model.config.tie_word_embeddings is False
        assert model.config.text_config.tie_word_embeddings is False
        assert sum(value.numel() for value in model.parameters()) == expected
        assert model.lm_head.weight.data_ptr() != model.get_input_embeddings().weight.data_ptr()


def test_names_on_disk_are_those_of_the_class(imported: Imported) -> None:
    with safe_open(imported.out / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert names == set(imported.loaded.internvl.state_dict())
    assert not any(name.startswith(("vision_tower.", "language_model.", "multi_modal_projector.")) for name in names)


def test_pixel_shuffle_of_version_1_is_refused(tmp_path: Path) -> None:
    refused(write_published(tmp_path / "in", "qwen2", ps_version="v1"), "config.json: ps_version must be 'v2'")


def test_su_rope_is_accepted(tmp_path: Path) -> None:
    source = write_published(tmp_path / "in", "phi3")
    assert read_json(source / "config.json")["llm_config"]["rope_scaling"]["type"] == "su"
    import_checkpoint(source, tmp_path / "out")
    rope = InternVLConfig.from_pretrained(tmp_path / "out").text_config.rope_parameters
    assert (rope["rope_type"], rope["original_max_position_embeddings"]) == ("longrope", 32)


# ---- other files of weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 2])
def test_honest_bin_files_import(tmp_path: Path, shards: int) -> None:
    one = import_it(write_published(tmp_path / "in", "internlm2", as_bin=True, shards=shards), tmp_path / "out")
    assert not list(one.source.glob("*.safetensors"))
    assert one.difference(some_ids(20, image_id=one.image_id, tiles=1), some_tiles(1)) < TOLERANCE


def test_honest_bin_files_of_older_torch_import(tmp_path: Path) -> None:
    source = write_published(tmp_path / "in", "phi3", as_bin=True, shards=1)
    tensors = read_weights(source)
    torch.save(tensors, source / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    one = import_it(source, tmp_path / "out")
    assert one.difference(some_ids(20, image_id=one.image_id), None) < TOLERANCE


# ---- transformers' own layout ------------------------------------------------------------------------------------

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for content in message['content'] %}{% if content['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}"
    "{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def save_native(imported: Imported, folder: Path, *, template: str | None = CHATML, **options: Any) -> Path:
    """Save as transformers does; one that was not loaded from a folder gets older names, unless told otherwise."""
    model = InternVLForConditionalGeneration(imported.loaded.internvl.config)
    model.load_state_dict(imported.loaded.internvl.state_dict())
    model.save_pretrained(folder, **options)
    tokenizer = imported.loaded.tokenizer
    own, tokenizer.chat_template = tokenizer.chat_template, template
    tokenizer.save_pretrained(folder)
    tokenizer.chat_template = own
    return folder


@pytest.mark.parametrize("options", [{"save_original_format": False}, {}], ids=["current names", "older names"])
def test_native_checkpoints_pass_through(imported: Imported, tmp_path: Path, options: dict[str, Any]) -> None:
    if imported.source.parent.name.startswith("phi3"):
        pytest.skip("its tokenizer has no ChatML")
    source = save_native(imported, tmp_path / "in", **options)
    older = any(name.startswith("vision_tower.") for name in read_weights(source))
    assert older == (options == {})
    summary = import_checkpoint(source, tmp_path / "out")
    assert (summary.layout, summary.chat.format, summary.chat.system_message) == ("native", "internvl2_5", None)
    assert summary.tensors == (len(read_weights(source)), len(read_weights(source)))
    assert not (tmp_path / "out" / "published").exists()
    loaded = load_model(str(tmp_path / "out"))
    ids, pixels = some_ids(70, image_id=imported.image_id, tiles=2), some_tiles(2)
    assert torch.equal(
        native_logits(loaded.internvl, ids, pixels), native_logits(imported.loaded.internvl, ids, pixels)
    )
    assert loaded.internvl.config.tie_word_embeddings is False
    preprocessing = loaded.spec.preprocessing
    assert (preprocessing.tile_side_px, preprocessing.tokens_per_tile) == (TILE_SIDE_PX, TOKENS_PER_TILE)


@pytest.mark.parametrize("options", [{"save_original_format": False}, {}], ids=["current names", "older names"])
@pytest.mark.parametrize("copy", [False, True])
def test_tied_native_checkpoints_stay_tied(tmp_path: Path, options: dict[str, Any], copy: bool) -> None:
    base = import_it(write_published(tmp_path / "published", "qwen2"), tmp_path / "base")
    config = InternVLConfig.from_dict({**base.loaded.internvl.config.to_dict(), "tie_word_embeddings": True})
    config.text_config.tie_word_embeddings = True
    torch.manual_seed(0)
    tied = InternVLForConditionalGeneration(config).eval()
    source = tmp_path / "in"
    tied.save_pretrained(source, **options)
    base.loaded.tokenizer.chat_template = CHATML
    base.loaded.tokenizer.save_pretrained(source)
    names = read_weights(source)
    assert not any(name.endswith("lm_head.weight") for name in names)
    if copy:  # an older save held both
        embeddings = next(value for name, value in names.items() if name.endswith("embed_tokens.weight"))
        name = "lm_head.weight" if options else "language_model.lm_head.weight"
        save_file(names | {name: embeddings.clone()}, source / "model.safetensors", {"format": "pt"})
    import_checkpoint(source, tmp_path / "out")
    again = load_model(str(tmp_path / "out")).internvl
    assert again.config.tie_word_embeddings is not copy
    assert again.config.text_config.tie_word_embeddings is not copy  # transformers reads both
    ids = some_ids(20, image_id=base.image_id)
    assert torch.equal(native_logits(again, ids), native_logits(tied, ids))


def native_folder(tmp_path: Path, template: str | None = CHATML) -> Path:
    base = import_it(write_published(tmp_path / "published", "qwen2"), tmp_path / "base")
    return save_native(base, tmp_path / "in", template=template, save_original_format=False)


def test_a_native_checkpoint_with_one_of_our_templates(tmp_path: Path) -> None:
    base = import_it(write_published(tmp_path / "published", "qwen2"), tmp_path / "base")
    export_checkpoint(str(base.out), tmp_path / "native", layout="native")
    summary = import_checkpoint(tmp_path / "native", tmp_path / "out")
    assert summary.chat == base.loaded.spec.chat


def test_a_native_checkpoint_keeps_its_tiles(tmp_path: Path) -> None:
    """Tile limit, mean and deviation stand in the configuration of transformers' processor."""
    source = write_published(tmp_path / "published", "qwen2", max_dynamic_patch=3)
    import_checkpoint(source, tmp_path / "base")
    export_checkpoint(str(tmp_path / "base"), tmp_path / "native", layout="native")
    path = tmp_path / "native" / "preprocessor_config.json"
    write_json(path, read_json(path) | {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]})
    import_checkpoint(tmp_path / "native", tmp_path / "out")
    found = read_spec(tmp_path / "out").preprocessing
    assert (found.max_tiles, found.mean, found.std) == (3, (0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    assert found.tile_side_px == read_spec(tmp_path / "base").preprocessing.tile_side_px

    write_json(path, read_json(path) | {"crop_to_patches": False})
    import_checkpoint(tmp_path / "native", tmp_path / "whole")
    assert read_spec(tmp_path / "whole").preprocessing.max_tiles == 1
    write_json(path, read_json(path) | {"crop_to_patches": True, "max_patches": 99})
    with pytest.raises(CheckpointError, match=r"preprocessor_config.json: .*max_patches of 1 to 40"):
        import_checkpoint(tmp_path / "native", tmp_path / "never")


def test_what_is_ours_already_is_not_imported_again(tmp_path: Path) -> None:
    base = import_it(write_published(tmp_path / "published", "qwen2"), tmp_path / "base")
    with pytest.raises(CheckpointError, match=r"one of ours already: it has a domainvl.json"):
        import_checkpoint(base.out, tmp_path / "out")


def test_a_check_that_fails_leaves_nothing(tmp_path: Path) -> None:
    source = write_published(tmp_path / "in", "qwen2", shards=1)
    tensors = read_weights(source)
    tensors["language_model.model.norm.weight"][0] = float("nan")
    write_weights(source, tensors, shards=1)
    with pytest.raises(CheckpointError, match="every logit must be a finite number"):
        import_checkpoint(source, tmp_path / "out", check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def drop_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def duplicate_under_the_older_name(folder: Path) -> None:
    tensors = read_weights(folder)
    write_weights(folder, tensors | {"language_model.lm_head.weight": tensors["lm_head.weight"].clone()}, shards=1)


def add_tensor(folder: Path) -> None:
    write_weights(folder, read_weights(folder) | {"model.extra.weight": torch.ones(2)}, shards=1)


def drop_tensor(folder: Path) -> None:
    tensors = read_weights(folder)
    del tensors["model.language_model.norm.weight"]
    write_weights(folder, tensors, shards=1)


def resize_vision(folder: Path) -> None:
    edit_config(folder, "vision_config", hidden_size=36)


def unknown_text(folder: Path) -> None:
    edit_config(folder, "text_config", model_type="no-such-model")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_tokenizer, "tokenizer"),
        (duplicate_under_the_older_name, r"lm_head\.weight"),
        (add_tensor, r"model\.extra\.weight"),
        (drop_tensor, r"model\.language_model\.norm\.weight, which is missing"),
        (resize_vision, r"the tensor model\.\S+ is \["),
        (unknown_text, "no-such-model"),
    ],
)
def test_damaged_native_checkpoints_are_refused(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    source = native_folder(tmp_path)
    damage(source)
    refused(source, message)


def test_a_native_checkpoint_without_a_template(tmp_path: Path) -> None:
    refused(native_folder(tmp_path, template=None), "it has no chat template")


# ---- bad input ---------------------------------------------------------------------------------------------------


def refused(source: Path, message: str, error: type[Exception] = CheckpointError, **options: Any) -> None:
    """Nothing is left behind, and the source is as it was."""
    out = source.parent / "refused"
    before = sorted(path.name for path in source.parent.iterdir())
    files = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    with pytest.raises(error, match=message):
        import_checkpoint(source, out, **options)
    assert sorted(path.name for path in source.parent.iterdir()) == before
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == files


SECOND = "model-00002-of-00002.safetensors"


def missing_shard(folder: Path) -> None:
    (folder / SECOND).unlink()


def truncated(folder: Path) -> None:
    path = folder / SECOND
    path.write_bytes(path.read_bytes()[:-100])


def half_a_header(folder: Path) -> None:
    path = folder / SECOND
    path.write_bytes(path.read_bytes()[:50])


def in_two_shards(folder: Path) -> None:
    tensors = load_file(folder / SECOND)
    save_file(tensors | {"mlp1.0.bias": torch.ones(128), **first_tensor(folder)}, folder / SECOND)


def first_tensor(folder: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(folder / "model-00001-of-00002.safetensors")
    return {"vision_model.embeddings.class_embedding": tensors["vision_model.embeddings.class_embedding"]}


def nowhere(folder: Path) -> None:
    index = read_json(folder / "model.safetensors.index.json")
    index["weight_map"]["language_model.model.layers.9.x"] = SECOND
    write_json(folder / "model.safetensors.index.json", index)


def unlisted(folder: Path) -> None:
    index = read_json(folder / "model.safetensors.index.json")
    del index["weight_map"]["mlp1.3.bias"]
    write_json(folder / "model.safetensors.index.json", index)


def no_index_entry_and_unknown(folder: Path) -> None:
    save_file(load_file(folder / SECOND) | {"surprise": torch.ones(1)}, folder / SECOND)


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer_config.json").unlink()


def whole_numbers(folder: Path) -> None:
    tensors = load_file(folder / SECOND)
    name = next(iter(tensors))
    save_file(tensors | {name: tensors[name].to(torch.int8)}, folder / SECOND)


def one_row_more(folder: Path) -> None:
    """A matrix of q, k and v that cannot be divided by three."""
    path = folder / "model-00001-of-00002.safetensors"
    tensors = load_file(path)
    name = "vision_model.encoder.layers.0.attn.qkv.weight"
    save_file(tensors | {name: torch.cat([tensors[name], tensors[name][:1]])}, path)


def fewer_positions(folder: Path) -> None:
    path = folder / "model-00001-of-00002.safetensors"
    name = "vision_model.embeddings.position_embedding"
    tensors = load_file(path)
    save_file(tensors | {name: tensors[name][:, :-1].contiguous()}, path)


def config(section: str | None = None, /, **changes: Any) -> Callable[[Path], None]:
    return functools.partial(lambda folder: edit_config(folder, section, **changes))


LAYER = r"language_model\.model\.layers\."


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (missing_shard, rf"the shard {SECOND} is missing; \S+ is in it"),
        (truncated, rf"{SECOND}: it is no whole safetensors file"),
        (half_a_header, rf"{SECOND}: it is no whole safetensors file"),
        (in_two_shards, rf"{SECOND}: the tensor vision_model\.embeddings\.class_embedding is in model-00001"),
        (nowhere, rf"{SECOND}: the tensor {LAYER}9\.x, .* is missing"),
        (unlisted, rf"{SECOND}.*mlp1\.3\.bias"),
        (no_index_entry_and_unknown, rf"surprise.*{SECOND}|{SECOND}.*surprise"),
        (no_config, "config.json is missing"),
        (no_json, "config.json: it must be JSON"),
        (no_tokenizer, "tokenizer_config.json"),
        (whole_numbers, rf"{SECOND}: the tensor \S+ is .* of torch.int8"),
        (one_row_more, r"attn\.qkv\.weight is \[97, 32\]"),
        (fewer_positions, r"position_embedding is \[1, 16, 32\]"),
        (config(model_type="llava"), "config.json: model_type must be internvl_chat or internvl, got 'llava'"),
        (config(model_type=None), "model_type must be .* got None"),
        (config("llm_config", architectures=["LlamaForCausalLM"]), "llm_config.architectures .*'LlamaForCausalLM'"),
        (config("llm_config", num_hidden_layers=3), rf"asks for the tensor {LAYER}2\.\S+, which is missing"),
        (config("llm_config", num_hidden_layers=1), rf"no place for the tensor {LAYER}1\.\S+ in model-0000"),
        (config("vision_config", num_hidden_layers=3), r"asks for the tensor vision_model\.encoder\.layers\.2\."),
        (config("vision_config", num_hidden_layers=1), r"no place for the tensor vision_model\.encoder\.layers\.1\."),
        (config("llm_config", hidden_size=64), r"the tensor \S+ is \[\S+ 48\]|the tensor \S+ is"),
        (config("llm_config", vocab_size=400), r"tok_embeddings\.weight is \[351, 48\] .* \[400, 48\]"),
        (config("llm_config", intermediate_size=80), r"feed_forward\.\S+ is \[72, 48\] .* \[80, 48\]"),
        (config("llm_config", num_key_value_heads=4), r"attention\.wqkv\.weight is \[96, 48\]"),
        (config("llm_config", num_attention_heads=5), r"config.json|attention\.wqkv\.weight"),
        (config("vision_config", num_attention_heads=5), r"config.json"),
        (config("vision_config", hidden_size=48), r"the tensor vision_model\.\S+ is "),
        (config("vision_config", image_size=112, force_image_size=112), r"config.json: force_image_size|position"),
        (config("vision_config", qkv_bias=False), r"no place for the tensor \S+attn\.qkv\.bias"),
        (config("llm_config", hidden_size="wide"), "config.json.*hidden_size"),
        (config(max_dynamic_patch=0), "config.json.*max_dynamic_patch"),
        (config(max_dynamic_patch=99), "config.json.*max_dynamic_patch"),
        (config(llm_config=None), "config.json: llm_config is missing"),
        (config(template="vicuna"), "config.json: template must be one of"),
        (config(use_llm_lora=16), "use_llm_lora is 16 in config.json, but no tensor"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    source = write_published(tmp_path / "in", "internlm2")
    damage(source)
    refused(source, message)


class Bomb:
    """Creates a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (os.mkdir, (str(self._marker),))


def test_code_in_a_bin_file_is_not_run(tmp_path: Path) -> None:
    source = write_published(tmp_path / "in", "qwen2", as_bin=True, shards=1)
    torch.save(read_weights(source) | {"mlp1.0.bias": Bomb(tmp_path / "exploded")}, source / "pytorch_model.bin")
    refused(source, "pytorch_model.bin: it must hold nothing but tensors")
    assert not (tmp_path / "exploded").exists()


def test_a_bin_file_with_something_else(tmp_path: Path) -> None:
    source = write_published(tmp_path / "in", "qwen2", as_bin=True, shards=1)
    torch.save(read_weights(source) | {"global_step": 700}, source / "pytorch_model.bin")
    refused(source, "pytorch_model.bin: it must be a table of tensors by name, got global_step")


def test_an_origin_that_cannot_be_read(tmp_path: Path) -> None:
    source = write_published(tmp_path / "in", "qwen2")
    (source / "origin.json").write_text("[")
    refused(source, "origin.json")
    (source / "origin.json").write_text("[1, 2]")
    refused(source, "origin.json")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="config.json is missing"):
        import_checkpoint(tmp_path / "nothing", tmp_path / "out")


def test_a_target_that_exists_is_kept(tmp_path: Path) -> None:
    source = write_published(tmp_path / "in", "qwen2")
    import_checkpoint(source, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="it exists"):
        import_checkpoint(source, tmp_path / "out")
    damaged = write_published(tmp_path / "damaged", "qwen2", seed=1)
    missing_shard(damaged)
    with pytest.raises(CheckpointError):
        import_checkpoint(damaged, tmp_path / "out", overwrite=True)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_an_earlier_import_is_replaced(tmp_path: Path) -> None:
    import_checkpoint(write_published(tmp_path / "a", "qwen2"), tmp_path / "out")
    (tmp_path / "out" / "mine.txt").write_text("x")
    one = import_it(write_published(tmp_path / "b", "phi3", seed=5), tmp_path / "out", overwrite=True)
    assert one.difference(some_ids(20, image_id=one.image_id), None) < TOLERANCE
    assert not (one.out / "mine.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "out"]


def test_a_foreign_folder_is_never_replaced(tmp_path: Path) -> None:
    source = write_published(tmp_path / "in", "qwen2")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years")
    with pytest.raises(UsageError, match="it has no domainvl.json"):
        import_checkpoint(source, tmp_path / "out", overwrite=True)
    with pytest.raises(UsageError):
        import_checkpoint(source, source, overwrite=True)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years"
    assert (source / "config.json").exists()


def test_what_a_killed_import_left_is_no_obstacle(tmp_path: Path) -> None:
    source = write_published(tmp_path / "in", "qwen2")
    left = tmp_path / ".out.partial"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    (left / "stale.json").write_text("{}")
    import_checkpoint(source, tmp_path / "out")
    assert not (tmp_path / "out" / "stale.json").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    "step",
    [
        "domainvl.model.published.importing.write_tensors",
        "domainvl.model.published.importing.write_spec",
        "domainvl.files.take_name",
    ],
)
def test_an_interruption_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    source = write_published(tmp_path / "in", "qwen2")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(step, fail)
    refused(source, ".*", type(error))


def test_a_full_disk_leaves_nothing_wherever_it_fills(tmp_path: Path, small_disk: Path) -> None:
    """In the weights, the config, the tokenizer, the kept files, the record."""
    source = write_published(tmp_path / "in", "internlm2")
    import_checkpoint(source, small_disk / "out")
    page = 4 << 10
    needed = sum(-(-path.stat().st_size // page) * page for path in (small_disk / "out").rglob("*") if path.is_file())
    shutil.rmtree(small_disk / "out")
    others: dict[int, str] = {}
    for size in [needed // 2, *range(needed - page, needed // 2, -3 * page)]:
        subprocess.run(["mount", "-o", f"remount,size={size}", small_disk], check=True)
        try:
            import_checkpoint(source, small_disk / "out")
        except OutputError as error:
            assert "No space left on device" in str(error)
        except Exception as error:  # noqa: BLE001 - all of them are listed
            others[size] = repr(error)
        else:
            others[size] = "no error"
        assert list(small_disk.iterdir()) == []
    assert others == {}


# ---- memory ------------------------------------------------------------------------------------------------------

SHARDS = 3
MARGIN_MB = 40
MEASURE = textwrap.dedent("""
    import sys
    from pathlib import Path
    from domainvl.model.published.importing import import_checkpoint

    def peak_kb():
        return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

    import_checkpoint(Path(sys.argv[1]), Path(sys.argv[1] + "-out"))
    before = peak_kb()
    import_checkpoint(Path(sys.argv[2]), Path(sys.argv[2] + "-out"))
    print((peak_kb() - before) >> 10)
""")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it is read from Linux' /proc")
@pytest.mark.parametrize("files", ["safetensors", "older bin"])
def test_tensors_stream(tmp_path: Path, files: str) -> None:
    """Three shards of 50 MB: the growth of a process that is warm stays near one of them."""
    as_bin = files == "older bin"
    small = write_published(tmp_path / "small", "internlm2", as_bin=as_bin)
    large = write_published(
        tmp_path / "large",
        "internlm2",
        as_bin=as_bin,
        shards=SHARDS,
        llm_config={"hidden_size": 512, "intermediate_size": 6144, "num_hidden_layers": 8},
    )
    if as_bin:  # read whole, where the others are mapped
        for path in large.glob("*.bin"):
            torch.save(torch.load(path, weights_only=True), path, _use_new_zipfile_serialization=False)
    sizes = [path.stat().st_size >> 20 for path in large.glob("*model-0*")]
    assert len(sizes) == SHARDS
    done = subprocess.run([sys.executable, "-c", MEASURE, small, large], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < max(sizes) + MARGIN_MB < 0.7 * sum(sizes)
    shutil.rmtree(large)
    shutil.rmtree(tmp_path / "large-out")


def test_shards_of_an_import_name_their_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model larger than the largest file comes in several, and loads."""
    from domainvl.model.published import importing

    small_shards = functools.partial(importing.write_tensors, max_shard_bytes=60_000)
    monkeypatch.setattr(importing, "write_tensors", small_shards)
    one = import_it(write_published(tmp_path / "in", "phi3"), tmp_path / "out")
    index = json.loads((one.out / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2
    assert one.difference(some_ids(20, image_id=one.image_id, tiles=1), some_tiles(1)) < TOLERANCE
    export_checkpoint(str(one.out), tmp_path / "back", layout="published")
    source, back = read_weights(one.source), read_weights(tmp_path / "back")
    assert all(torch.equal(back[name], source[name]) for name in source)
