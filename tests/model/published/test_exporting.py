"""Exports: the original tensors bit for bit, and folders that plain transformers loads."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from published_checkpoints import (
    ADDED,
    FAMILIES,
    TILE_SIDE_PX,
    TOKENS_PER_TILE,
    read_json,
    read_weights,
    write_json,
    write_published,
)
from transformers import (
    AutoTokenizer,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    LlamaConfig,
    Phi3Config,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from domainvl.errors import CheckpointError, OutputError, UsageError
from domainvl.model.build import train_tokenizer
from domainvl.model.chat import INTERNVL2_SYSTEM_MESSAGE, Chat
from domainvl.model.checkpoint import CheckpointSpec, LoadedModel, load_model, read_spec, save_checkpoint, write_spec
from domainvl.model.preprocessing import Preprocessing
from domainvl.model.published.exporting import export_checkpoint
from domainvl.model.published.importing import import_checkpoint


@pytest.fixture(scope="module", params=FAMILIES)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A published checkpoint with all the small files that such a folder has, and its import."""
    folder = tmp_path_factory.mktemp(request.param)
    source = write_published(folder / "in", request.param)
    (source / "modeling_internvl_chat.py").write_text("raise SystemExit('this is never run')\n")
    write_json(source / "generation_config.json", {"eos_token_id": [2, 3]})
    import_checkpoint(source, folder / "out")
    return source, folder / "out"


def same_tensors(found: Path, expected: Path) -> bool:
    first, second = read_weights(found), read_weights(expected)
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and torch.equal(first[name], second[name]) for name in second
    )


def small_files(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix not in (".safetensors", ".bin")
        and path.name not in ("config.json", "export.json")
        and "index" not in path.name
    }


def answer(model: Any, tokens: int = 20, tiles: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    side, image_id = int(model.config.vision_config.image_size[0]), model.config.image_token_id
    ids = torch.randint(12, 250, (tokens,), generator=generator).tolist()
    ids[2:2] = [image_id] * tiles * model.config.image_seq_length
    pixels = torch.randn(tiles, 3, side, side, generator=generator)
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids]), pixel_values=pixels, use_cache=False).logits


# ---- the published layout ----------------------------------------------------------------------------------------


def test_back_to_the_published_layout(imported: tuple[Path, Path], tmp_path: Path) -> None:
    source, model = imported
    summary = export_checkpoint(str(model), tmp_path / "back", layout="published")
    assert same_tensors(tmp_path / "back", source)
    assert read_json(tmp_path / "back" / "config.json") == read_json(source / "config.json")
    assert small_files(tmp_path / "back") == small_files(source)
    stored = read_weights(source)
    assert (summary.tensors, summary.layout, summary.remote_code) == (len(stored), "published", True)
    assert summary.parameters == sum(value.numel() for value in stored.values())
    assert not (tmp_path / ".back.partial").exists()


def test_all_small_files_of_the_original_come_back(tmp_path: Path) -> None:
    """The published repositories have a preprocessor_config.json, which some servers read."""
    source = write_published(tmp_path / "in", "qwen2")
    write_json(source / "preprocessor_config.json", {"crop_size": 448, "image_mean": [0.485, 0.456, 0.406]})
    import_checkpoint(source, tmp_path / "out")
    export_checkpoint(str(tmp_path / "out"), tmp_path / "back", layout="published")
    assert small_files(tmp_path / "back") == small_files(source)


@pytest.mark.parametrize("size", ["1b", "2b", "4b"])
def test_golden_checkpoints_come_back(golden: Path, tmp_path: Path, size: str) -> None:
    source = golden / "checkpoints" / f"internvl2-{size}"
    import_checkpoint(source, tmp_path / "out")
    summary = export_checkpoint(str(tmp_path / "out"), tmp_path / "back", layout="published")
    expected = {path.name for path in source.glob("model-*.safetensors")}
    assert expected
    weights = {name: value for name, value in read_weights(source).items() if "." in name and name[0] not in "0123456"}
    found = read_weights(tmp_path / "back")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) and found[name].dtype == torch.bfloat16 for name in weights)
    # There is no conversation.py here, and the folder has another name now: the message goes into the config.
    told = {"domainvl_system_message": INTERNVL2_SYSTEM_MESSAGE}
    assert read_json(tmp_path / "back" / "config.json") == read_json(source / "config.json") | told
    names = {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}
    names |= {"vocab.json", "merges.txt"} if size == "1b" else {"tokenizer.model"}
    assert all((tmp_path / "back" / name).read_bytes() == (source / name).read_bytes() for name in names)
    assert summary.remote_code is False


@pytest.mark.parametrize(
    "changes",
    [
        {"dynamic_image_size": False},
        {"use_thumbnail": False},
        {"max_dynamic_patch": 24},
        {"select_layer": -2},
        {"force_image_size": None},
        {"_name_or_path": "somewhere", "hidden_size": 48},
    ],
)
def test_the_config_comes_back_as_it_was(tmp_path: Path, changes: dict[str, Any]) -> None:
    source = write_published(tmp_path / "in", "qwen2", **changes)
    import_checkpoint(source, tmp_path / "out")
    export_checkpoint(str(tmp_path / "out"), tmp_path / "back", layout="published")
    assert read_json(tmp_path / "back" / "config.json") == read_json(source / "config.json")


def test_keys_that_were_not_there_do_not_appear(tmp_path: Path) -> None:
    source = write_published(tmp_path / "in", "qwen2")
    original = {key: value for key, value in read_json(source / "config.json").items() if key != "use_backbone_lora"}
    write_json(source / "config.json", original)
    import_checkpoint(source, tmp_path / "out")
    export_checkpoint(str(tmp_path / "out"), tmp_path / "back", layout="published")
    assert read_json(tmp_path / "back" / "config.json") == original


@pytest.mark.parametrize("family", FAMILIES)
def test_merged_adapters_are_gone_from_config_and_names(tmp_path: Path, family: str) -> None:
    source = write_published(tmp_path / "in", family, lora_rank=4, backbone_lora_rank=4)
    import_checkpoint(source, tmp_path / "out")
    export_checkpoint(str(tmp_path / "out"), tmp_path / "back", layout="published")
    plain = write_published(tmp_path / "plain", family)
    assert read_weights(tmp_path / "back").keys() == read_weights(plain).keys()
    config = read_json(tmp_path / "back" / "config.json")
    assert config == {**read_json(source / "config.json"), "use_llm_lora": 0, "use_backbone_lora": 0}
    import_checkpoint(tmp_path / "back", tmp_path / "again", system_prompt="internvl2")
    assert same_tensors(tmp_path / "again", tmp_path / "out")


def test_a_trained_model_in_another_type_says_so(imported: tuple[Path, Path], tmp_path: Path) -> None:
    """Saved again in float32 with other tiles: the config follows, the rest of it stays."""
    source, model = imported
    loaded = load_model(str(model))
    with torch.no_grad():
        loaded.internvl.lm_head.weight.add_(1.0)
    preprocessing = loaded.spec.preprocessing.model_copy(update={"max_tiles": 6, "use_thumbnail": False})
    loaded.spec = loaded.spec.model_copy(update={"preprocessing": preprocessing})
    save_checkpoint(loaded, tmp_path / "trained")
    export_checkpoint(str(tmp_path / "trained"), tmp_path / "back", layout="published")
    changed = {"torch_dtype": "float32", "max_dynamic_patch": 6, "use_thumbnail": False}
    assert read_json(tmp_path / "back" / "config.json") == {**read_json(source / "config.json"), **changed}
    assert small_files(tmp_path / "back") == small_files(source)
    original, back = read_weights(source), read_weights(tmp_path / "back")
    output = next(name for name in original if name.endswith(("lm_head.weight", "output.weight")))
    assert torch.equal(back[output], original[output].float() + 1.0)
    assert all(torch.equal(back[name], original[name].float()) for name in original if name != output)


@pytest.mark.parametrize(("key", "value"), [("template", "phi3-chat"), ("force_image_size", 112), ("select_layer", -3)])
def test_a_config_that_is_no_longer_true_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    import_checkpoint(write_published(tmp_path / "in", "qwen2"), tmp_path / "out")
    kept = tmp_path / "out" / "published" / "config.json"
    write_json(kept, {**read_json(kept), key: value})
    with pytest.raises(CheckpointError, match=rf"config.json: {key} was {value!r}"):
        export_checkpoint(str(tmp_path / "out"), tmp_path / "back", layout="published")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


# ---- models that were never published ----------------------------------------------------------------------------

SMALL = {
    "hidden_size": 48,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
TEXTS: dict[str, Callable[..., Any]] = {
    "qwen2": Qwen2Config,
    "llama": LlamaConfig,
    "llama dynamic": lambda **values: LlamaConfig(
        **values,
        max_position_embeddings=64,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 5e5, "factor": 2.0},
    ),
    "phi3": Phi3Config,
    "phi3 long": lambda **values: Phi3Config(
        **values,
        max_position_embeddings=128,
        original_max_position_embeddings=16,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "factor": 8.0,
            "original_max_position_embeddings": 16,
            "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
            "long_factor": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        },
    ),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return train_tokenizer(["a few words of text"] * 9, tmp_path_factory.mktemp("tokenizer"), vocabulary_size=300)


@pytest.fixture(params=list(TEXTS))
def made(request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Path:
    """A checkpoint that was built here."""
    text = TEXTS[request.param](
        **SMALL,
        vocab_size=len(tokenizer),
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = InternVLVisionConfig(
        hidden_size=32,
        num_attention_heads=4,
        num_hidden_layers=2,
        intermediate_size=56,
        image_size=[TILE_SIDE_PX] * 2,
        patch_size=[14, 14],
        attention_bias=True,
        use_absolute_position_embeddings=True,
        use_mean_pooling=True,
        layer_norm_eps=1e-5,
    )
    config = InternVLConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=TOKENS_PER_TILE,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    spec = CheckpointSpec(
        kind="model",
        chat=Chat(format="Hermes-2", system_message=None),
        preprocessing=Preprocessing(tile_side_px=TILE_SIDE_PX, tokens_per_tile=TOKENS_PER_TILE, max_tiles=4),
    )
    save_checkpoint(LoadedModel(InternVLForConditionalGeneration(config), tokenizer, spec), tmp_path / "made")
    return tmp_path / "made"


def same_model(found: Path, expected: Path) -> None:
    """Bit for bit the same tensors, and a config that makes the same of them."""
    assert same_tensors(found, expected)
    ignored = {"dtype", "transformers_version", "architectures", "_name_or_path"}

    def decisive(folder: Path) -> dict[str, Any]:
        content = InternVLConfig.from_pretrained(folder).to_dict()
        for section in (content, content["text_config"], content["vision_config"]):
            for key in ignored:
                section.pop(key, None)
        return content

    first, second = decisive(found), decisive(expected)
    differing = {key for key in first.keys() | second.keys() if first.get(key) != second.get(key)}
    for section in ("text_config", "vision_config"):
        if section in differing:
            keys = first[section].keys() | second[section].keys()
            raise AssertionError(
                {key: (first[section].get(key), second[section].get(key)) for key in keys
                 if first[section].get(key) != second[section].get(key)}
            )  # fmt: skip
    assert differing == set()


def test_a_model_that_was_never_published_comes_back_equal(made: Path, tmp_path: Path) -> None:
    summary = export_checkpoint(str(made), tmp_path / "published", layout="published")
    assert summary.remote_code is False
    assert read_json(tmp_path / "published" / "config.json")["model_type"] == "internvl_chat"
    assert not any(name.startswith(("model.", "lm_head")) for name in read_weights(tmp_path / "published"))
    import_checkpoint(tmp_path / "published", tmp_path / "back", system_prompt="none")
    same_model(tmp_path / "back", made)
    before, after = read_spec(made), read_spec(tmp_path / "back")
    # The published layout does not say how pixels are resized: an import chooses.
    assert (after.chat, after.preprocessing) == (
        before.chat,
        before.preprocessing.model_copy(update={"resize": "fast"}),
    )
    assert torch.equal(answer(load_model(str(tmp_path / "back")).internvl), answer(load_model(str(made)).internvl))


def test_the_shipped_model_comes_back_equal(tmp_path: Path) -> None:
    export_checkpoint("tiny", tmp_path / "published", layout="published")
    import_checkpoint(tmp_path / "published", tmp_path / "back", system_prompt="none")
    tiny = load_model("tiny")
    again = load_model(str(tmp_path / "back"))
    assert torch.equal(answer(again.internvl), answer(tiny.internvl))
    assert again.tokenizer.get_vocab() == tiny.tokenizer.get_vocab()
    text = "How many squares are red? <box>[[1, 2, 3, 4]]</box>"
    assert again.tokenizer.encode(text) == tiny.tokenizer.encode(text)


def test_a_native_export_of_the_shipped_model_imports(tmp_path: Path) -> None:
    """What other tools get says how the model is asked, so that it is known when it comes back."""
    export_checkpoint("tiny", tmp_path / "native", layout="native")
    import_checkpoint(tmp_path / "native", tmp_path / "back")
    assert read_spec(tmp_path / "back").chat == load_model("tiny").spec.chat
    assert same_tensors(tmp_path / "back", tmp_path / "native")


def test_tied_models_are_not_published(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    import_checkpoint(write_published(tmp_path / "in", "qwen2"), tmp_path / "out")
    loaded = load_model(str(tmp_path / "out"))
    config = loaded.internvl.config
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True
    loaded.model = InternVLForConditionalGeneration(config)
    save_checkpoint(loaded, tmp_path / "tied")
    with pytest.raises(CheckpointError, match=r"this tensor is missing: lm_head\.weight|tie"):
        export_checkpoint(str(tmp_path / "tied"), tmp_path / "back", layout="published")
    assert not (tmp_path / "back").exists()


# ---- transformers' layout ----------------------------------------------------------------------------------------


def test_plain_transformers_loads_a_native_export(imported: tuple[Path, Path], tmp_path: Path) -> None:
    _, model = imported
    summary = export_checkpoint(str(model), tmp_path / "native", layout="native")
    assert (summary.layout, summary.tensors) == ("native", len(read_weights(model)))
    native, report = InternVLForConditionalGeneration.from_pretrained(
        tmp_path / "native", output_loading_info=True, dtype=torch.float32
    )
    assert not any(report.values())
    loaded = load_model(str(model))
    assert torch.equal(answer(native.eval()), answer(loaded.internvl))
    assert same_tensors(tmp_path / "native", model)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "native")
    text = "Größe  5 µm\n<img><IMG_CONTEXT></img> a <box>[[1, 2]]</box>"
    assert tokenizer.encode(text) == loaded.tokenizer.encode(text)
    assert tokenizer.convert_tokens_to_ids(list(ADDED)) == loaded.tokenizer.convert_tokens_to_ids(list(ADDED))
    messages = [{"role": "user", "content": "A?"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == loaded.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = read_json(tmp_path / "native" / "generation_config.json")["eos_token_id"]
    assert tokenizer.convert_tokens_to_ids(loaded.spec.chat.markers.end) in ids


def test_a_native_export_holds_nothing_of_ours(imported: tuple[Path, Path], tmp_path: Path) -> None:
    export_checkpoint(str(imported[1]), tmp_path / "native", layout="native")
    assert sorted(path.name for path in (tmp_path / "native").iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "export.json",
        "generation_config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_transformers_own_image_processor_cuts_the_same_tiles(imported: tuple[Path, Path], tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image
    from transformers import GotOcr2ImageProcessorPil

    from domainvl.model.preprocessing import cut_tiles, normalise
    from domainvl.tiling import choose_grid

    export_checkpoint(str(imported[1]), tmp_path / "native", layout="native")
    processor = GotOcr2ImageProcessorPil.from_pretrained(tmp_path / "native")
    preprocessing = read_spec(imported[1]).preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (120, 310, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    grid = choose_grid(310, 120, max_tiles=12, tile_side_px=TILE_SIDE_PX, use_thumbnail=True)
    tiles = torch.from_numpy(cut_tiles(image, grid, TILE_SIDE_PX, "exact"))
    expected = normalise(tiles, preprocessing, torch.float32)
    found = torch.as_tensor(np.asarray(processor(image, return_tensors="pt")["pixel_values"]))
    assert found.shape == expected.shape
    assert grid.tile_count > 2
    assert float((found - expected).abs().max()) < 1e-4


# ---- refused -----------------------------------------------------------------------------------------------------


def test_an_adapter_is_merged_first(imported: tuple[Path, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(imported[1], tmp_path / "adapter")
    spec = read_spec(folder)
    write_spec(folder, spec.model_copy(update={"kind": "adapter"}))
    with pytest.raises(CheckpointError, match="it must be a whole model.*domainvl model merge"):
        export_checkpoint(str(folder), tmp_path / "back", layout="published")


def test_no_model_of_that_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such folder"):
        export_checkpoint("no-such-model", tmp_path / "back", layout="native")
    assert list(tmp_path.iterdir()) == []


def test_targets(imported: tuple[Path, Path], tmp_path: Path) -> None:
    source, model = imported
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for overwrite in (False, True):
        with pytest.raises(UsageError):
            export_checkpoint(str(model), tmp_path / "mine", layout="published", overwrite=overwrite)
    export_checkpoint(str(model), tmp_path / "back", layout="native")
    with pytest.raises(UsageError, match="it exists"):
        export_checkpoint(str(model), tmp_path / "back", layout="published")
    export_checkpoint(str(model), tmp_path / "back", layout="published", overwrite=True)
    assert same_tensors(tmp_path / "back", source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "mine"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_an_export_never_replaces_a_model_of_ours(imported: tuple[Path, Path], tmp_path: Path) -> None:
    """A run or an import has a config.json too: what is only there would be lost."""
    model = shutil.copytree(imported[1], tmp_path / "run")
    with pytest.raises(UsageError):
        export_checkpoint(str(imported[1]), model, layout="native", overwrite=True)
    assert (model / "domainvl.json").is_file()


def test_a_tensor_too_many_or_too_few(imported: tuple[Path, Path], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    for change, message in (
        (lambda tensors: {**tensors, "model.extra": torch.ones(1)}, r"no place for the tensor model\.extra"),
        (lambda tensors: {k: v for k, v in tensors.items() if k != "lm_head.weight"}, r"missing: lm_head\.weight"),
    ):
        folder = shutil.copytree(imported[1], tmp_path / "damaged", dirs_exist_ok=True)
        save_file(change(read_weights(folder)), folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(CheckpointError, match=message):
            export_checkpoint(str(folder), tmp_path / "back", layout="published")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged"]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
@pytest.mark.parametrize("layout", ["native", "published"])
@pytest.mark.parametrize(
    "step",
    ["domainvl.model.published.exporting.write_tensors", "domainvl.files.take_name"],
)
def test_an_interruption_leaves_nothing(
    imported: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    layout: Any,
    error: BaseException,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(step, fail)
    with pytest.raises(type(error)):
        export_checkpoint(str(imported[1]), tmp_path / "back", layout=layout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("layout", ["native", "published"])
def test_a_full_disk_leaves_nothing_wherever_it_fills(
    imported: tuple[Path, Path], small_disk: Path, layout: Any
) -> None:
    export_checkpoint(str(imported[1]), small_disk / "out", layout=layout)
    page = 4 << 10
    needed = sum(-(-path.stat().st_size // page) * page for path in (small_disk / "out").iterdir())
    shutil.rmtree(small_disk / "out")
    others: dict[int, str] = {}
    for size in [needed // 2, *range(needed - page, 3 * needed // 4, -3 * page)]:
        subprocess.run(["mount", "-o", f"remount,size={size}", small_disk], check=True)
        try:
            export_checkpoint(str(imported[1]), small_disk / "out", layout=layout)
        except OutputError as error:
            assert "No space left on device" in str(error)
        except Exception as error:  # noqa: BLE001 - all of them are listed
            others[size] = repr(error)
        else:
            others[size] = "no error"
        assert list(small_disk.iterdir()) == []
    assert others == {}


def test_another_system_message_comes_back(tmp_path: Path) -> None:
    """Chosen against conversation.py, or without one: an export says it, and says that the official code will not."""
    source = write_published(tmp_path / "in", "qwen2")
    import_checkpoint(source, tmp_path / "chosen", system_prompt="v1-5")
    summary = export_checkpoint(str(tmp_path / "chosen"), tmp_path / "back", layout="published")
    assert "the official code takes the one in conversation.py" in summary.notes[0]
    import_checkpoint(tmp_path / "back", tmp_path / "again")
    assert read_spec(tmp_path / "again").chat == read_spec(tmp_path / "chosen").chat
    assert read_spec(tmp_path / "again").chat.system_message == "Answer the questions."

    # Without a conversation.py there is nothing that the official code would take instead.
    silent = write_published(tmp_path / "silent", "qwen2")
    (silent / "conversation.py").unlink()
    import_checkpoint(silent, tmp_path / "told", system_prompt="v1-5")
    assert export_checkpoint(str(tmp_path / "told"), tmp_path / "told-back", layout="published").notes == ()

    import_checkpoint(source, tmp_path / "plain")
    assert export_checkpoint(str(tmp_path / "plain"), tmp_path / "unchanged", layout="published").notes == ()
    assert read_json(tmp_path / "unchanged" / "config.json") == read_json(source / "config.json")


@pytest.mark.parametrize("layout", ["native", "published"])
def test_an_export_in_another_type(tmp_path: Path, layout: str) -> None:
    import_checkpoint(write_published(tmp_path / "in", "internlm2"), tmp_path / "out")
    export_checkpoint(str(tmp_path / "out"), tmp_path / "wide", layout=layout, dtype="float32")
    config = read_json(tmp_path / "wide" / "config.json")
    assert config["dtype" if layout == "native" else "torch_dtype"] == "float32"
    narrow, wide = (read_weights(tmp_path / name) for name in ("out" if layout == "native" else "in", "wide"))
    assert all(wide[name].dtype == torch.float32 for name in wide)
    assert all(torch.equal(wide[name], narrow[name].float()) for name in narrow)


def test_a_native_export_says_that_it_cannot_leave_the_thumbnail_out(tmp_path: Path) -> None:
    import_checkpoint(write_published(tmp_path / "in", "qwen2", use_thumbnail=False), tmp_path / "out")
    assert "thumbnail" in export_checkpoint(str(tmp_path / "out"), tmp_path / "native", layout="native").notes[0]
    import_checkpoint(write_published(tmp_path / "in2", "qwen2"), tmp_path / "out2")
    assert export_checkpoint(str(tmp_path / "out2"), tmp_path / "native2", layout="native").notes == ()
