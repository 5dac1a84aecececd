"""Students: shapes, first weights, and refusing what cannot learn from the teacher."""

from pathlib import Path

import pytest
import torch

from domainvl.errors import UsageError
from domainvl.model.checkpoint import load_model
from domainvl.model.sizes import PUBLISHED_PARAMETERS, size_config
from domainvl.training.distillation.matching import last_states, with_maps
from domainvl.training.distillation.recipe import StudentSettings
from domainvl.training.distillation.student import build_student, kept_layers, load_vision_tower


@pytest.fixture(scope="module")
def teacher(untrained: Path):
    return load_vision_tower(str(untrained)).eval()


def test_unnamed_dimensions_are_the_teachers_or_in_its_proportion(teacher) -> None:
    config = build_student(StudentSettings(width=32, layers=3), teacher).config
    assert (config.hidden_size, config.num_hidden_layers) == (32, 3)
    assert (config.num_attention_heads, config.intermediate_size) == (2, 128)  # of 64 wide: 4 heads, 256
    named = build_student(StudentSettings(width=32, heads=4, mlp_width=40), teacher).config
    assert (named.num_hidden_layers, named.num_attention_heads, named.intermediate_size) == (4, 4, 40)
    assert teacher.config.hidden_size == 64


def test_a_random_student_tells_positions_apart(teacher) -> None:
    torch.manual_seed(0)
    first = build_student(StudentSettings(layers=2), teacher)
    second = build_student(StudentSettings(layers=2), teacher)
    positions = first.embeddings.position_embeddings
    assert positions.std() > 0
    assert first.embeddings.cls_token.std() > 0
    assert not torch.equal(positions, second.embeddings.position_embeddings)


def test_all_layers_of_the_teacher_are_the_teacher(teacher) -> None:
    pixels = torch.randn(2, 3, 64, 64)
    student = build_student(StudentSettings(start="teacher-layers", layers=4), teacher).eval()
    with torch.no_grad():
        torch.testing.assert_close(last_states(student, pixels, 4), last_states(teacher, pixels, 4), rtol=0, atol=0)


def test_layers_are_evenly_spread_and_the_last_is_kept(teacher) -> None:
    assert kept_layers(2, 4) == [1, 3]
    assert kept_layers(3, 4) == [0, 1, 3]
    assert kept_layers(12, 24) == list(range(1, 24, 2))
    student = build_student(StudentSettings(start="teacher-layers"), teacher)
    kept = [layer.mlp.fc1.weight for layer in student.encoder.layer]
    expected = [teacher.encoder.layer[index].mlp.fc1.weight for index in (1, 3)]
    assert all(torch.equal(one, other) for one, other in zip(kept, expected, strict=True))


def test_a_checkpoint_gives_its_weights(teacher, untrained: Path) -> None:
    student = build_student(StudentSettings(start="tiny"), teacher)
    own = load_model("tiny").internvl.model.vision_tower.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in student.state_dict().items())


@pytest.mark.parametrize("name", ["internvit-300m", "1b", "2b", "4b"])
def test_the_papers_student_learns_from_a_teacher_of_6b(name: str) -> None:
    """InternViT-6B: 48 layers of 3,200, 25 heads, MLP 12,800; here with two layers, on ``meta``, for its shapes."""
    from transformers.models.internvl.modeling_internvl import InternVLVisionModel

    config = size_config("1b").vision_config
    config.hidden_size, config.num_attention_heads, config.intermediate_size = 3200, 25, 12_800
    config.num_hidden_layers, config.use_qk_norm, config.norm_type = 2, True, "rms_norm"
    with torch.device("meta"):
        large = InternVLVisionModel(config)
        student = build_student(StudentSettings(size=name), large)
        states = with_maps(student, 2, 3200)(torch.empty(1, 3, 448, 448))
        taught = last_states(large, torch.empty(1, 3, 448, 448), 2)
    assert sum(value.numel() for value in student.parameters()) == PUBLISHED_PARAMETERS["2b"].vision == 304_012_288
    assert [state.shape for state in states] == [state.shape for state in taught] == [(1, 1025, 3200)] * 2


def test_what_cannot_be_is_refused(teacher) -> None:
    with pytest.raises(UsageError, match=r"the same tile, got \[448, 448\] and, of the teacher, \[64, 64\]"):
        with torch.device("meta"):
            build_student(StudentSettings(size="internvit-300m"), teacher)
    with pytest.raises(UsageError, match="multiple of its heads, got 32 and 3"):
        build_student(StudentSettings(width=32, heads=3), teacher)
    with pytest.raises(UsageError, match="the teacher has 4 layers to give, 5 are asked for"):
        build_student(StudentSettings(start="teacher-layers", layers=5), teacher)
