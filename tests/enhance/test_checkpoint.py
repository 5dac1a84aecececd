import json
import re
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from domainvl.enhance.checkpoint import Enhancer, checkpoint_folder, load_checkpoint, read_enhancer, save_checkpoint
from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.network.settings import NetworkSettings
from domainvl.enhance.pairs.records import View
from domainvl.errors import CheckpointError

SETTINGS = NetworkSettings(scale=2, in_bands=1, out_bands=3, features=8, blocks=1, pack_block=2)
LOW = View(bands=1, dtype="uint16", low=(100.0,), high=(4000.0,))
HIGH = View(bands=3, dtype="uint8", low=(0.0,) * 3, high=(255.0,) * 3)


def enhancer(**changes: object) -> Enhancer:
    return Enhancer(**{"network": SETTINGS, "low_view": LOW, "high_view": HIGH, "trained": {"steps": 3}, **changes})


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, MisalignedSR]:
    network = MisalignedSR(SETTINGS)
    network.initialise(0)
    save_checkpoint(tmp_path / "run" / "checkpoint", network, enhancer(mosaic=True))
    return tmp_path / "run" / "checkpoint", network


def test_what_was_saved_is_loaded(written):
    folder, network = written
    loaded, found = load_checkpoint(folder)
    low, reference = torch.rand(1, 1, 5, 6), torch.rand(1, 3, 5, 6)

    assert sorted(path.name for path in folder.iterdir()) == ["enhancer.json", "weights.safetensors"]
    assert found == enhancer(mosaic=True)
    assert not loaded.training
    assert torch.equal(loaded(low, reference).picture, network(low, reference).picture)


def test_a_run_stands_for_its_checkpoint(written):
    assert checkpoint_folder(written[0].parent) == written[0]
    assert read_enhancer(written[0].parent).trained == {"steps": 3}


def test_a_loaded_network_can_be_trained_on(written):
    loaded, _ = load_checkpoint(written[0])
    loaded(torch.rand(1, 1, 4, 4)).picture.sum().backward()

    assert loaded.head.weight.grad is not None


def test_a_folder_without_a_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=rf"No enhancer in {re.escape(str(tmp_path))}: it has no enhancer.json"):
        load_checkpoint(tmp_path)


def test_missing_weights_are_named(written):
    (written[0] / "weights.safetensors").unlink()

    with pytest.raises(CheckpointError, match=r"it has no weights\.safetensors"):
        load_checkpoint(written[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"mosaic": "yes"}, "mosaic: Input should be a valid boolean"),
        ({"network": {"scale": 3}}, "network.scale: Input should be 2, 4 or 8"),
        ({"low_view": {**LOW.model_dump(), "bands": 4}}, "the low view has 4 bands, the network 1"),
        ({"high_view": {**HIGH.model_dump(), "low": [0.0]}}, "the high view has ranges of 1 and 3, not 3 bands"),
        ({"low_view": {**LOW.model_dump(), "high": [100.0]}}, "a band of the low view has an empty range"),
    ],
)
def test_settings_that_break_the_format_say_where(written, change, message):
    path = written[0] / "enhancer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    with pytest.raises(CheckpointError, match=f"(?s)enhancer.json.*{re.escape(message)}"):
        load_checkpoint(written[0])


def test_settings_that_are_no_json_are_named(written):
    (written[0] / "enhancer.json").write_bytes(b"\xff{")

    with pytest.raises(CheckpointError, match=r"Not an enhancer in .*enhancer\.json: Invalid JSON"):
        load_checkpoint(written[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found.pop("head.weight"), "1 tensors of the network are missing, the first is head.weight"),
        (lambda found: found.update(more=torch.zeros(1)), "1 tensors are none of the network's, the first is more"),
        (lambda found: found.update({"head.bias": torch.zeros(9)}), "head.bias is (9,), the settings say (8,)"),
        (
            lambda found: found.update({"head.bias": torch.zeros(8).half()}),
            "head.bias is of torch.float16, not float32",
        ),
        (lambda found: found["head.bias"].fill_(float("nan")), "head.bias holds values that are not finite"),
    ],
)
def test_weights_of_another_network_are_refused(written, change, message):
    path = written[0] / "weights.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)

    with pytest.raises(CheckpointError, match=re.escape(message)):
        load_checkpoint(written[0])


def test_weights_that_are_no_safetensors_are_refused(written):
    (written[0] / "weights.safetensors").write_bytes(b"not tensors at all")

    with pytest.raises(CheckpointError, match="Cannot read the weights"):
        load_checkpoint(written[0])


def test_settings_of_another_network_are_not_saved(tmp_path):
    other = NetworkSettings(scale=4, in_bands=1, out_bands=3, features=8, blocks=1, pack_block=2)
    with pytest.raises(ValueError, match="not those of the network"):
        save_checkpoint(tmp_path, MisalignedSR(other), enhancer())
    assert not list(tmp_path.iterdir())


def test_views_of_other_bands_make_no_enhancer():
    with pytest.raises(ValidationError, match="the high view has 1 bands, the network 3"):
        enhancer(high_view=LOW)
