"""A student takes its place in a model."""

from pathlib import Path

import pytest
import torch

from domainvl.errors import UsageError
from domainvl.model.checkpoint import LoadedModel, load_model, read_spec, save_checkpoint, write_spec
from domainvl.model.preprocessing import Preprocessing
from domainvl.training.distillation.assembly import check_place, slot_in
from domainvl.training.distillation.recipe import StudentSettings
from domainvl.training.distillation.student import build_student, load_vision_tower


def slotted(untrained: Path, **shape: int) -> tuple[LoadedModel, str, torch.nn.Module]:
    student = build_student(StudentSettings(**shape), load_vision_tower(str(untrained)))
    return (*slot_in(str(untrained), student, {"method": "distillation"}, seed=0), student)


@pytest.mark.parametrize(("shape", "projector"), [({"layers": 2}, "kept"), ({"layers": 2, "width": 32}, "new")])
def test_saved_and_loaded_again(untrained: Path, tmp_path: Path, shape: dict[str, int], projector: str) -> None:
    loaded, found, student = slotted(untrained, **shape)
    save_checkpoint(loaded, tmp_path / "model")
    again, before = load_model(str(tmp_path / "model")), load_model(str(untrained))
    assert found == projector
    assert again.spec.training == {"method": "distillation", "projector": projector}
    assert again.spec.preprocessing == before.spec.preprocessing
    assert again.internvl.config.vision_config.num_hidden_layers == 2
    held, old = again.internvl.state_dict(), before.internvl.state_dict()
    for name, value in student.state_dict().items():
        assert torch.equal(held[f"model.vision_tower.{name}"], value)
    assert all(torch.equal(held[name], value) for name, value in old.items() if "language_model" in name)
    kept = [torch.equal(held[n], v) for n, v in old.items() if "projector" in n and held[n].shape == v.shape]
    assert all(kept) if projector == "kept" else not all(kept)
    pixels = torch.randn(2, 3, 64, 64)
    assert again.internvl.get_image_features(pixels).pooler_output.shape == (2, 16, 128)


def test_a_new_projector_is_drawn_by_seed_and_spread_like_the_model(untrained: Path) -> None:
    first, second = (slotted(untrained, width=32)[0].internvl.model.multi_modal_projector for _ in range(2))
    assert torch.equal(first.linear_1.weight, second.linear_1.weight)
    assert first.linear_1.weight.shape == (128, 4 * 32)
    assert torch.equal(first.linear_1.bias, torch.zeros(128))


def test_published_files_of_another_shape_are_let_go(untrained: Path, tmp_path: Path) -> None:
    imported = load_model(str(untrained))
    imported.published = tmp_path / "files"
    imported.published.mkdir()
    (imported.published / "config.json").write_text("{}")
    save_checkpoint(imported, tmp_path / "imported")
    assert slotted(tmp_path / "imported", layers=4)[0].published is not None
    assert slotted(tmp_path / "imported", layers=2)[0].published is None


def test_models_that_see_other_tiles_are_refused(untrained: Path, tmp_path: Path) -> None:
    teacher, spec = load_vision_tower(str(untrained)).config, read_spec(untrained)
    check_place(str(untrained), teacher, spec.preprocessing.model_copy(update={"max_tiles": 3}))
    with pytest.raises(UsageError, match="its mean must be the teacher's"):
        check_place(str(untrained), teacher, Preprocessing(tile_side_px=64, tokens_per_tile=16, mean=(0.5, 0.5, 0.5)))
    teacher.patch_size = [16, 16]
    with pytest.raises(UsageError, match="both need the same patch"):
        check_place(str(untrained), teacher, spec.preprocessing)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    write_spec(adapter, spec.model_copy(update={"kind": "adapter"}))
    with pytest.raises(UsageError, match="it must be a whole model"):
        check_place(str(adapter), teacher, spec.preprocessing)
