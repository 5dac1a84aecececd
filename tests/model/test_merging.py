"""Merging: the standalone checkpoint answers as adapter and base do, or nothing is written."""

import json
from pathlib import Path

import pytest
import torch

from domainvl.errors import CheckpointError, NothingToDoError, UsageError
from domainvl.model import merging
from domainvl.model.adapters import LoraSettings, add_lora
from domainvl.model.checkpoint import (
    PUBLISHED_FOLDER,
    BaseReference,
    CheckpointSpec,
    LoadedModel,
    hash_weights,
    load_model,
    read_spec,
    save_checkpoint,
    stored_dtype,
)
from domainvl.model.merging import merge_adapter

KINDS = {
    "plain": LoraSettings(rank=4, dropout=0.0),
    "rslora": LoraSettings(rank=4, dropout=0.0, rslora=True),
    "dora": LoraSettings(rank=4, dropout=0.0, dora=True),
    "embeddings": LoraSettings(rank=4, dropout=0.0, embeddings="full", lm_head="full"),
}


def write_adapter(base: Path, folder: Path, settings: LoraSettings, *, spread: float = 0.05) -> None:
    loaded = load_model(str(base))
    loaded.model = add_lora(loaded.internvl, settings)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in loaded.model.parameters():
            if value.requires_grad:
                value.add_(torch.empty_like(value).normal_(0, spread, generator=generator))
    reference = BaseReference(name=str(base), weights_sha256=hash_weights(base))
    loaded.spec = CheckpointSpec(
        kind="adapter",
        chat=loaded.spec.chat,
        preprocessing=loaded.spec.preprocessing,
        base=reference,
        training={"recipe": "squares"},
    )
    save_checkpoint(loaded, folder)


def logits(loaded: LoadedModel) -> torch.Tensor:
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[40, 41, *[loaded.internvl.config.image_token_id] * 16, 42, 43]])
    with torch.inference_mode():
        return loaded.internvl(input_ids=ids, pixel_values=pixels).logits


@pytest.mark.parametrize("kind", KINDS)
def test_standalone_checkpoint_thinks_as_the_adapter(kind: str, untrained: Path, squares: Path, tmp_path: Path) -> None:
    write_adapter(untrained, tmp_path / "adapter", KINDS[kind])
    summary = merge_adapter(str(tmp_path / "adapter"), tmp_path / "merged", squares, sample_count=3, max_new_tokens=4)
    merged = load_model(str(tmp_path / "merged"))
    adapted = load_model(str(tmp_path / "adapter"))
    assert torch.allclose(logits(merged), logits(adapted), atol=1e-4)
    assert not torch.allclose(logits(merged), logits(load_model(str(untrained))), atol=1e-2)
    assert 0 < summary.difference <= summary.bound == 1e-4
    assert (summary.samples, summary.answers) == (3, 3)
    assert summary.positions >= 6  # an answer is at least a token and its end marker
    assert merged.spec.kind == "model"
    assert merged.spec.base is None
    assert merged.spec.training["recipe"] == "squares"
    assert not any("lora" in name or "base_layer" in name for name in merged.internvl.state_dict())


def test_weights_keep_the_type_of_the_base(untrained: Path, squares: Path, tmp_path: Path) -> None:
    base = load_model(str(untrained))
    base.model.to(torch.bfloat16)
    save_checkpoint(base, tmp_path / "base")
    write_adapter(tmp_path / "base", tmp_path / "adapter", KINDS["plain"], spread=0.01)
    bounds = {}
    for dtype in (None, "float32"):
        out = tmp_path / f"merged-{dtype}"
        summary = merge_adapter(str(tmp_path / "adapter"), out, squares, sample_count=2, max_new_tokens=1, dtype=dtype)
        bounds[dtype] = summary.difference
        assert stored_dtype(out) == (dtype or "bfloat16") == summary.dtype
    assert bounds["float32"] < 1e-5 < bounds[None]


def test_what_an_export_needs_comes_along(untrained: Path, squares: Path, tmp_path: Path) -> None:
    base = load_model(str(untrained))
    base.spec = base.spec.model_copy(update={"origin": {"name": "original"}})
    save_checkpoint(base, tmp_path / "base")
    (tmp_path / "base" / PUBLISHED_FOLDER).mkdir()
    (tmp_path / "base" / PUBLISHED_FOLDER / "config.json").write_text("{}")
    write_adapter(tmp_path / "base", tmp_path / "adapter", KINDS["plain"])
    merge_adapter(str(tmp_path / "adapter"), tmp_path / "merged", squares, sample_count=1, max_new_tokens=1)
    assert (tmp_path / "merged" / PUBLISHED_FOLDER / "config.json").read_text() == "{}"
    assert read_spec(tmp_path / "merged").origin == {"name": "original"}


@pytest.mark.parametrize("fault", ["logits", "answers"])
def test_a_model_that_behaves_otherwise_is_not_kept(
    fault: str, untrained: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_adapter(untrained, tmp_path / "adapter", KINDS["plain"])
    behave, calls = merging._behaviour, []

    def changed(*arguments):
        found = behave(*arguments)
        calls.append(1)
        if len(calls) == 1:
            return found
        if fault == "logits":
            return merging._Behaviour([rows + 0.1 for rows in found.logits], found.answers)
        return merging._Behaviour(found.logits, {name: text + "!" for name, text in found.answers.items()})

    monkeypatch.setattr(merging, "_behaviour", changed)
    rule = "largest difference" if fault == "logits" else "the answer to"
    with pytest.raises(CheckpointError, match=rule):
        merge_adapter(str(tmp_path / "adapter"), tmp_path / "merged", squares, sample_count=1, max_new_tokens=1)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_what_is_no_number_is_no_proof(tmp_path: Path) -> None:
    fine, broken = torch.ones(2, 3), torch.tensor([[1.0, float("nan"), 1.0]])
    before = merging._Behaviour([fine, fine], {})
    with pytest.raises(CheckpointError, match="difference of a logit is nan"):
        merging._compare(before, merging._Behaviour([fine, torch.cat([broken, broken])], {}), 1.0, tmp_path)


def test_a_whole_model_is_no_adapter(untrained: Path, squares: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="must be an adapter"):
        merge_adapter(str(untrained), tmp_path / "merged", squares)


def test_taken_folder_and_empty_data_set(untrained: Path, squares: Path, tmp_path: Path) -> None:
    write_adapter(untrained, tmp_path / "adapter", KINDS["plain"])
    with pytest.raises(UsageError, match="it exists"):
        merge_adapter(str(tmp_path / "adapter"), squares, squares)
    empty = tmp_path / "empty"
    empty.mkdir()
    for name in ("train", "val", "test"):
        (empty / f"{name}.jsonl").touch()
    with pytest.raises(NothingToDoError, match="no samples"):
        merge_adapter(str(tmp_path / "adapter"), tmp_path / "merged", empty)


def test_proof_is_on_held_out_samples_spread_over_the_file(squares: Path) -> None:
    tests = [json.loads(line)["id"] for line in (squares / "test.jsonl").read_text().splitlines()]
    chosen = [sample.id for sample in merging._choose(squares, 3)]
    step = len(tests) // 3
    assert chosen == [tests[0], tests[step], tests[2 * step]]
