"""What TensorBoard and W&B get of a run, read back."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from domainvl.errors import UsageError
from domainvl.training.log import Log
from domainvl.training.recipe import Recipe
from domainvl.training.trackers import check_trackers, make_trackers, scalars


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(name="medical/lora", model="tiny", method="lora", seed=41)


def train(step: int, loss: float) -> dict[str, Any]:
    return {
        "kind": "train",
        "step": step,
        "of": 9,
        "loss": loss,
        "source_losses": {"chest": 2 * loss, "general": None},
        "learning_rates": {"vision": 1e-5},
        "answered": "text",
    }


def test_scalars_are_the_numbers_of_curves() -> None:
    assert scalars(train(3, 0.5)) == {
        "train/loss": 0.5,
        "train/source_losses/chest": 1.0,
        "train/learning_rates/vision": 1e-5,
    }
    assert scalars({"kind": "validation", "step": 3, "of": 9, "loss": 1.5, "answers_score": 0.25}) == {
        "validation/loss": 1.5,
        "validation/answers_score": 0.25,
    }
    assert scalars({"kind": "answer", "step": 3, "likelihood": 0.5}) == {}


def run(out: Path, recipe: Recipe, name: Any, first_step: int, *losses: float) -> None:
    out.mkdir(exist_ok=True)
    trackers = make_trackers([name], out, recipe=recipe, first_step=first_step)
    with Log(out / "log.jsonl", first_step, trackers=trackers) as log:
        for step, loss in enumerate(losses, start=first_step + 1):
            log.write(train(step, loss))
            log.write({"kind": "answer", "step": step, "likelihood": 0.5})
        log.sync()


def test_tensorboard_goes_on_at_the_saved_step(tmp_path: Path, recipe: Recipe) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path / "run", recipe, "tensorboard", 0, 4.0, 3.0, 99.0, 98.0, 97.0)
    run(tmp_path / "run", recipe, "tensorboard", 2, 2.0, 1.0)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == set(scalars(train(1, 1.0)))
    losses = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert losses == [(1, 4.0), (2, 3.0), (3, 2.0), (4, 1.0)]
    assert [event.value for event in events.Scalars("train/source_losses/chest")] == [8.0, 6.0, 4.0, 2.0]
    (tag,) = events.Tags()["tensors"]
    text = events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
    assert tag.startswith("recipe")
    assert "    name: medical/lora\n" in text
    assert "    seed: 41\n" in text


def test_tensorboard_begins_anew_with_a_new_run(tmp_path: Path, recipe: Recipe) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path / "run", recipe, "tensorboard", 0, 9.0, 8.0)
    run(tmp_path / "run", recipe, "tensorboard", 0, 5.0)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 5.0)]


class FakeWandb(ModuleType):
    def __init__(self, *, logged_in: bool, mode: str = "online") -> None:
        super().__init__("wandb")
        self.__spec__ = importlib.machinery.ModuleSpec("wandb", None)
        self.runs: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.finished = 0
        self._logged_in = logged_in
        self._mode = mode

    def setup(self) -> Any:
        return SimpleNamespace(settings=SimpleNamespace(mode=self._mode))

    def login(self, *, prompt: bool, verify: bool) -> bool:
        assert not prompt and not verify  # neither asks the user nor the network
        return self._logged_in

    def init(self, **settings: Any) -> Any:
        self.runs.append(settings)
        return self

    def define_metric(self, name: str, *, step_metric: str) -> None:
        assert (name, step_metric) == ("*", "step")

    def log(self, numbers: dict[str, Any]) -> None:
        self.logged.append(numbers)

    def finish(self) -> None:
        self.finished += 1


@pytest.mark.parametrize(
    ("logged_in", "mode", "expected"),
    [(True, "online", None), (False, "online", "offline"), (False, "disabled", None), (True, "offline", None)],
)
def test_wandb_uses_the_network_only_as_its_user_wants(
    tmp_path: Path,
    recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
    logged_in: bool,
    mode: str,
    expected: str | None,
) -> None:
    fake = FakeWandb(logged_in=logged_in, mode=mode)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    run(tmp_path / "run", recipe, "wandb", 0, 2.0)
    assert fake.runs[0]["mode"] == expected


def test_wandb_goes_on_with_the_same_run(tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeWandb(logged_in=False)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    run(tmp_path / "run", recipe, "wandb", 0, 4.0, 3.0)
    run(tmp_path / "run", recipe, "wandb", 2, 2.0)
    run(tmp_path / "run", recipe, "wandb", 0, 1.0)
    ids = [settings["id"] for settings in fake.runs]
    assert ids[0] == ids[1] != ids[2]
    assert fake.runs[0]["name"] == "run"
    assert fake.runs[0]["config"]["seed"] == 41
    assert fake.runs[0]["dir"] == str(tmp_path / "run")
    assert [row["step"] for row in fake.logged] == [1, 2, 3, 1]
    assert fake.logged[0] == {**scalars(train(1, 4.0)), "step": 1}
    assert fake.finished == 3


@pytest.mark.parametrize(
    ("name", "how"), [("tensorboard", r"pip install 'domainvl\[tensorboard\]'"), ("wandb", "pip install 'wandb")]
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, name: Any, how: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=f"Cannot track with {name}.*{how}"):
        check_trackers([name])
