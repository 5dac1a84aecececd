"""Saving and loading, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from domainvl.errors import CheckpointError
from domainvl.model.adapters import LoraSettings, add_lora, inner_model
from domainvl.model.checkpoint import (
    BaseReference,
    CheckpointSpec,
    LoadedModel,
    find_checkpoint,
    hash_weights,
    load_model,
    read_spec,
    save_checkpoint,
)


def logits(loaded: LoadedModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    ids = torch.tensor([[40, 41, *[loaded.internvl.config.image_token_id] * 16, 42, 43]])
    with torch.inference_mode():
        return loaded.internvl(input_ids=ids, pixel_values=torch.randn(1, 3, 64, 64, generator=generator)).logits


def test_saved_and_loaded_model_thinks_the_same(untrained: Path, tmp_path: Path) -> None:
    loaded = load_model(str(untrained))
    save_checkpoint(loaded, tmp_path / "again")
    assert torch.equal(logits(loaded), logits(load_model(str(tmp_path / "again"))))
    assert read_spec(tmp_path / "again") == loaded.spec


def test_keys_on_disk_are_those_of_the_native_class(untrained: Path) -> None:
    """Legacy key names would not load strictly; the embeddings are not tied."""
    from safetensors import safe_open

    with safe_open(untrained / "model.safetensors", "pt") as file:
        saved = set(file.keys())
    assert saved == set(load_model(str(untrained)).internvl.state_dict())
    assert "lm_head.weight" in saved


def adapter(untrained: Path, folder: Path, settings: LoraSettings | None = None) -> LoadedModel:
    loaded = load_model(str(untrained))
    loaded.model = add_lora(loaded.internvl, settings or LoraSettings(rank=4, alpha=8, dropout=0.0))
    with torch.no_grad():
        for name, value in loaded.model.named_parameters():
            if "lora_B" in name:  # zero at the start, which would change nothing
                value.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    loaded.model.eval()
    base = BaseReference(name=str(untrained), weights_sha256=hash_weights(untrained))
    loaded.spec = CheckpointSpec(
        kind="adapter", chat=loaded.spec.chat, preprocessing=loaded.spec.preprocessing, base=base
    )
    save_checkpoint(loaded, folder)
    return loaded


def test_adapter_comes_back_on_its_base(untrained: Path, tmp_path: Path) -> None:
    adapted = adapter(untrained, tmp_path / "adapter")
    again = load_model(str(tmp_path / "adapter"))
    assert torch.equal(logits(adapted), logits(again))
    assert not torch.allclose(logits(again), logits(load_model(str(untrained))), atol=1e-3)


def test_embeddings_that_were_trained_come_back_too(untrained: Path, tmp_path: Path) -> None:
    settings = LoraSettings(rank=2, alpha=4, projector="frozen", embeddings="full")
    wrapped = add_lora(load_model(str(untrained)).internvl, settings)
    in_full = [name for name, value in wrapped.named_parameters() if value.requires_grad and "lora_" not in name]
    assert [name.rpartition("embed_tokens")[1] for name in in_full] == ["embed_tokens"]

    adapted = adapter(untrained, tmp_path / "adapter", settings)
    with torch.no_grad():
        adapted.internvl.get_input_embeddings().modules_to_save.default.weight.mul_(2.0)
    save_checkpoint(adapted, tmp_path / "adapter")
    again = load_model(str(tmp_path / "adapter"))
    assert torch.equal(logits(adapted), logits(again))
    changed = again.internvl.get_input_embeddings().modules_to_save.default.weight
    assert torch.equal(changed, 2.0 * load_model(str(untrained)).internvl.get_input_embeddings().weight)


def test_adapter_of_another_base_is_refused(untrained: Path, tmp_path: Path) -> None:
    base = shutil.copytree(untrained, tmp_path / "base")
    adapter(base, tmp_path / "adapter")
    loaded = load_model(str(base))
    with torch.no_grad():
        loaded.internvl.lm_head.weight.add_(1.0)
    save_checkpoint(loaded, base)
    with pytest.raises(CheckpointError, match=r"must have weights [0-9a-f]{12}, got [0-9a-f]{12}"):
        load_model(str(tmp_path / "adapter"))


def test_full_precision_of_what_lora_trains(untrained: Path) -> None:
    """Adapters on all linear layers of the chosen parts, the projector in full, nothing else."""
    model = load_model(str(untrained)).internvl
    wrapped = add_lora(model, LoraSettings(rank=2, alpha=4, vision="frozen", projector="frozen"))
    trained = {name for name, value in wrapped.named_parameters() if value.requires_grad}
    assert len(trained) == 3 * 7 * 2  # three layers of seven linear maps, two factors each
    assert all("language_model" in name and "lora_" in name for name in trained)

    model = load_model(str(untrained)).internvl
    wrapped = add_lora(model, LoraSettings(rank=2, alpha=4, language_model="frozen", projector="full"))
    trained = {name for name, value in wrapped.named_parameters() if value.requires_grad}
    assert sum("vision_tower" in name for name in trained) == 4 * (6 + 4)  # query, key and value share a factor
    projector = {name for name in trained if "multi_modal_projector" in name}
    assert len(projector) == 6  # norm and two linear maps, weight and bias each
    assert len(trained) == 4 * (6 + 4) + 6
    assert inner_model(wrapped) is model


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "domainvl.json").unlink(), "domainvl.json is missing"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no .safetensors file"),
        (lambda folder: (folder / "config.json").write_text(json.dumps({"model_type": "llava"})), "got 'llava'"),
        (lambda folder: (folder / "domainvl.json").write_text('{"kind": "model"}'), "chat"),
    ],
)
def test_damaged_checkpoints_are_refused(untrained: Path, tmp_path: Path, damage: object, message: str) -> None:
    folder = shutil.copytree(untrained, tmp_path / "damaged")
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        load_model(str(folder))


def test_a_missing_tensor_is_refused(untrained: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(untrained, tmp_path / "damaged")
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="lm_head.weight"):
        load_model(str(folder))


def test_missing_folder_says_what_there_is() -> None:
    with pytest.raises(CheckpointError, match="one of: tiny"):
        find_checkpoint("no-such-model")
