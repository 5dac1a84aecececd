"""Two processes learn what one learns: by DDP and by FSDP, with a text-only pack and an empty one on one of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from training import workers

from domainvl.errors import UsageError
from domainvl.training.parallel import check_parallel, needs_blank
from domainvl.training.processes import Processes

ONE = Processes(0, 1, 0, torch.device("cpu"))
TWO = Processes(0, 2, 0, torch.device("cpu"))
RUNS = [(kind, variant) for kind, variants in workers.VARIANTS.items() for variant in variants]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What one process came to, and what two came to; in one start of two processes, as that takes its time."""
    folder = tmp_path_factory.mktemp("compared")
    variants = sorted({variant for _, variant in RUNS})
    one = {variant: workers.whole_run(variant, "ddp", ONE, folder / f"one {variant}") for variant in variants}
    workers.run_pair("compare", folder)
    two = torch.load(folder / "results.pt", weights_only=True)
    return SimpleNamespace(one=one, two=two, folder=folder)


def assert_same(got: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    for row, (loss, norm) in zip(got["rows"], expected["rows"][-len(got["rows"]) :], strict=True):
        assert row == pytest.approx((loss, norm), rel=tolerance)
    assert got["weights"].keys() == expected["weights"].keys()
    for name, value in expected["weights"].items():
        torch.testing.assert_close(got["weights"][name], value, rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "variant"), RUNS)
def test_two_processes_equal_one(compared: SimpleNamespace, kind: str, variant: str) -> None:
    got, expected = compared.two[f"{kind} {variant}"], compared.one[variant]
    tolerance = 2e-2 if variant == "lora-bf16" else 1e-4
    assert_same(got, expected, tolerance)
    assert got["seen"] == pytest.approx(expected["seen"], rel=tolerance)
    if variant != "lora-bf16":
        assert got["answered"] == expected["answered"]


@pytest.mark.slow
def test_the_runs_learn_something(compared: SimpleNamespace) -> None:
    """Else equal weights would say nothing."""
    for variant, result in compared.one.items():
        before = workers.loaded_model(variant).model.state_dict()
        changed = [name for name, value in result["weights"].items() if not torch.equal(value, before[name])]
        assert any("vision_tower" in name for name in changed) != (variant == "vision-frozen")
        assert any("multi_modal_projector" in name for name in changed)
        assert any("language_model" in name for name in changed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", workers.VARIANTS)
def test_one_process_goes_on_where_two_stopped(compared: SimpleNamespace, kind: str) -> None:
    variant = workers.RESUMED[kind]
    got = workers.resumed_run(variant, "ddp", ONE, compared.folder / kind)
    assert got["extra"] == {"seen": 12}
    assert_same(got, compared.one[variant], 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", workers.VARIANTS)
def test_two_processes_go_on_where_one_stopped(compared: SimpleNamespace, kind: str) -> None:
    got = compared.two[f"resumed {kind}"]
    assert len(got["rows"]) == workers.STEPS - workers.SAVED_STEP
    assert_same(got, compared.one[workers.RESUMED[kind]], 1e-4)


@pytest.mark.slow
def test_an_adapter_gathered_from_two_processes_is_saved_as_from_one(compared: SimpleNamespace, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    whole = workers.loaded_model("lora").model
    whole.load_state_dict(compared.one["lora"]["weights"])
    whole.save_pretrained(tmp_path / "one")
    other = workers.loaded_model("lora").model
    gathered = compared.two["fsdp lora"]["adapter"]
    other.save_pretrained(tmp_path / "two", state_dict=gathered)
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert not any("base_layer" in name for name in gathered)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-4)


def test_one_process_is_left_alone() -> None:
    _, parallel, optimizer = workers.make_run("lora", "fsdp", ONE)
    assert parallel.full_weights(parallel.module, trained_only=True) is None
    assert parallel.run(lambda: 3) == 3
    before = {name: value.detach().clone() for name, value in parallel.parameters.items()}
    sums = parallel(workers.packs(0)[1])
    parallel.backward(sums.sum())
    without = [name for name, value in parallel.parameters.items() if value.grad is None]
    assert without and all(".vision_tower." in name or ".multi_modal_projector." in name for name in without)
    norm = parallel.clip(0.5)
    gradients = [value.grad.flatten() for value in parallel.parameters.values()]  # none is missing any more
    assert norm > 0.5 and torch.cat(gradients).norm().item() == pytest.approx(0.5, rel=1e-4)
    assert all(bool((parallel.parameters[name].grad == 0).all()) for name in without)
    optimizer.step()
    assert not torch.equal(parallel.parameters[without[0]], before[without[0]])  # decayed, as with several processes


@pytest.mark.parametrize(
    ("variant", "processes", "kind", "expected"),
    [
        ("full", ONE, "ddp", False),
        ("full", TWO, "ddp", True),
        ("vision-frozen", TWO, "ddp", True),
        ("words", TWO, "ddp", False),
        ("words", TWO, "fsdp", True),
    ],
)
def test_who_needs_a_blank_tile(variant: str, processes: Processes, kind: Any, expected: bool) -> None:
    model = workers.loaded_model(variant).model
    if variant == "words":
        model.model.vision_tower.requires_grad_(False)
        model.model.multi_modal_projector.requires_grad_(False)
    assert needs_blank(model, processes, kind) is expected


def recipe(parallel: str = "auto", *, quantisation: str = "none", optimizer: str = "adamw", cache: bool = False) -> Any:
    return SimpleNamespace(
        quantisation=quantisation,
        compute=SimpleNamespace(parallel=parallel, cache_vision=cache),
        optimisation=SimpleNamespace(optimizer=optimizer),
    )


def test_what_cannot_be_divided_is_refused() -> None:
    assert check_parallel(recipe(quantisation="nf4", optimizer="adamw-8bit", cache=True), TWO) == "ddp"
    assert check_parallel(recipe("fsdp", quantisation="nf4"), ONE) == "fsdp"
    assert check_parallel(recipe("fsdp"), TWO) == "fsdp"
    for changes in ({"quantisation": "nf4"}, {"optimizer": "adamw-8bit"}, {"cache": True}):
        with pytest.raises(UsageError, match="compute.parallel is fsdp and"):
            check_parallel(recipe("fsdp", **changes), TWO)
