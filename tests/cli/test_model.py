"""``domainvl model``: what is printed, exit codes, and that nothing half-written stays behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from published_checkpoints import (
    INTERNVL2_SYSTEM,
    edit_config,
    read_json,
    read_weights,
    write_published,
    write_weights,
)

from domainvl.cli.main import main
from domainvl.model.checkpoint import read_spec

Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: Any) -> tuple[int, list[str], str]:
        code = main(["model", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out.splitlines(), " ".join(captured.err.split())

    return run


def test_import_says_what_it_found(tmp_path: Path, run: Run) -> None:
    source = write_published(tmp_path / "in", "internlm2")
    total = sum(value.numel() for value in read_weights(source).values())
    code, out, _ = run("import", source, "--out", tmp_path / "out")
    assert code == 0
    lines = {line[:12].strip(): line[12:] for line in out}
    assert lines["layout"] == "published, language model llama, bfloat16"
    assert lines["parameters"] == f"{total:,}"
    assert lines["tensors"] == "55 read, 67 written, each used once and none missing"
    assert lines["chat"] == f"internlm2-chat, system message: {INTERNVL2_SYSTEM}"
    assert lines["took"].endswith("GB")
    assert lines["checkpoint"] == str(tmp_path / "out")
    assert not {"LoRA", "check", "left out"} & lines.keys()


def test_import_of_adapters_and_buffers(tmp_path: Path, run: Run) -> None:
    source = write_published(tmp_path / "in", "phi3", lora_rank=2, shards=1)
    buffer = "language_model.base_model.model.model.layers.0.self_attn.rotary_emb.inv_freq"
    write_weights(source, read_weights(source) | {buffer: torch.ones(6)}, shards=1)
    code, out, _ = run("import", source, "--out", tmp_path / "out", "--system-prompt", "none")
    assert code == 0
    assert "LoRA        8 matrices merged" in out
    assert "left out    1 buffers that are computed again" in out
    assert "chat        phi3-chat, system message: none" in out


def test_import_with_a_check(tmp_path: Path, run: Run) -> None:
    code, out, _ = run("import", write_published(tmp_path / "in", "qwen2"), "--out", tmp_path / "out", "--check")
    assert code == 0
    check = [line for line in out if line.startswith("check ")]
    assert len(check) == 1
    assert "one image, one question" in check[0]
    assert "all logits finite" in check[0]
    assert "peak memory" in out[-2]


def test_import_recognises_a_published_size(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domainvl.model.published.importing.recognise_size", lambda config: "2b")
    _, out, _ = run("import", write_published(tmp_path / "in", "internlm2"), "--out", tmp_path / "out")
    assert any(line.startswith("parameters") and line.endswith(", those of the published 2b") for line in out)


def test_the_system_message_is_asked_for(tmp_path: Path, run: Run) -> None:
    source = write_published(tmp_path / "in", "qwen2")
    (source / "conversation.py").unlink()
    code, out, error = run("import", source, "--out", tmp_path / "out")
    assert (code, out) == (2, [])
    assert "Say which it is with --system-prompt internvl2, v1-5 or none." in error
    code, _, error = run("import", source, "--out", tmp_path / "out", "--system-prompt", "english")
    assert code == 2
    assert "--system-prompt must be one of internvl2, v1-5, none, got 'english'" in error
    code, _, _ = run("import", source, "--out", tmp_path / "out", "--system-prompt", "v1-5")
    assert code == 0
    assert read_spec(tmp_path / "out").chat.system_message == "Answer the questions."


def missing_shard(folder: Path) -> None:
    (folder / "model-00002-of-00002.safetensors").unlink()


def truncated(folder: Path) -> None:
    path = folder / "model-00001-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def unknown_architecture(folder: Path) -> None:
    edit_config(folder, model_type="llava")


def unknown_language_model(folder: Path) -> None:
    edit_config(folder, "llm_config", architectures=["MistralForCausalLM"])


def contradiction(folder: Path) -> None:
    edit_config(folder, "llm_config", vocab_size=400)


def more_layers(folder: Path) -> None:
    edit_config(folder, "llm_config", num_hidden_layers=1)


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def wrong_type(folder: Path) -> None:
    edit_config(folder, "llm_config", hidden_size="wide")


class Bomb:
    """Creates a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (os.mkdir, (str(self._marker),))


def code_in_a_bin_file(folder: Path) -> None:
    tensors = read_weights(folder)
    for path in folder.glob("model*"):
        path.unlink()
    torch.save(tensors | {"bomb": Bomb(folder.parent / "exploded")}, folder / "pytorch_model.bin")


def truncated_bin_file(folder: Path) -> None:
    code_in_a_bin_file(folder)
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (missing_shard, ["model-00002-of-00002.safetensors is missing"]),
        (truncated, ["model-00001-of-00002.safetensors", "no whole safetensors file"]),
        (unknown_architecture, ["config.json", "model_type must be", "'llava'"]),
        (unknown_language_model, ["config.json", "llm_config.architectures", "'MistralForCausalLM'"]),
        (contradiction, ["model-0000", "language_model.model.tok_embeddings.weight", "[400, 48]"]),
        (more_layers, ["language_model.model.layers.1."]),
        (no_config, ["config.json is missing"]),
        (wrong_type, ["config.json", "hidden_size"]),
        (code_in_a_bin_file, ["pytorch_model.bin", "nothing but tensors", "not run"]),
        (truncated_bin_file, ["pytorch_model.bin"]),
    ],
)
def test_bad_input_is_two_and_leaves_nothing(
    tmp_path: Path, run: Run, damage: Callable[[Path], None], parts: list[str]
) -> None:
    source = write_published(tmp_path / "in", "internlm2")
    damage(source)
    code, out, error = run("import", source, "--out", tmp_path / "out")
    assert (code, out) == (2, [])
    assert error.startswith("Error: ")
    assert [part for part in parts if part not in error] == []
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_target_that_exists(tmp_path: Path, run: Run) -> None:
    source = write_published(tmp_path / "in", "qwen2")
    assert run("import", source, "--out", tmp_path / "out")[0] == 0
    code, _, error = run("import", source, "--out", tmp_path / "out")
    assert code == 2
    assert "--overwrite" in error
    assert run("import", source, "--out", tmp_path / "out", "--overwrite")[0] == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    assert run("import", source, "--out", tmp_path / "mine", "--overwrite")[0] == 2
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_export_and_back(tmp_path: Path, run: Run) -> None:
    source = write_published(tmp_path / "in", "phi3")
    stored = read_weights(source)
    total = sum(value.numel() for value in stored.values())
    run("import", source, "--out", tmp_path / "model")
    code, out, _ = run("export", tmp_path / "model", "--to", "published", "--out", tmp_path / "back")
    assert code == 0
    head = f"{tmp_path / 'back'}: {len(stored)} tensors, {total:,} parameters, published layout, "
    assert out[0].startswith(head)
    assert out[1:] == [
        "The official loader also wants the .py files of the original checkpoint beside the weights."
    ]  # fmt: skip
    back = read_weights(tmp_path / "back")
    assert all(torch.equal(back[name], stored[name]) for name in stored)

    code, out, _ = run("export", tmp_path / "model", "--out", tmp_path / "native")
    assert code == 0
    assert len(out) == 1
    assert "native layout" in out[0]
    assert read_json(tmp_path / "native" / "config.json")["model_type"] == "internvl"


def test_export_says_nothing_of_code_that_is_there(tmp_path: Path, run: Run) -> None:
    source = write_published(tmp_path / "in", "qwen2")
    (source / "modeling_internvl_chat.py").write_text("x = 1\n")
    run("import", source, "--out", tmp_path / "model")
    _, out, _ = run("export", tmp_path / "model", "--to", "published", "--out", tmp_path / "back")
    assert len(out) == 1


def test_export_errors(tmp_path: Path, run: Run) -> None:
    code, _, error = run("export", "tiny", "--to", "onnx", "--out", tmp_path / "out")
    assert code == 2
    assert "--to must be native or published, got 'onnx'" in error
    code, _, error = run("export", "no-such-model", "--out", tmp_path / "out")
    assert code == 2
    assert "there is no such folder" in error
    assert list(tmp_path.iterdir()) == []


def test_fetch_says_what_came(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from domainvl.model.published.fetching import FetchSummary

    asked = []

    def fetch(hub_id: str, revision: str, out: Path) -> FetchSummary:
        asked.append((hub_id, revision, out))
        return FetchSummary(out, "abc123", 12, 1_880_000_000)

    monkeypatch.setattr("domainvl.model.published.fetching.fetch_checkpoint", fetch)
    code, out, _ = run("fetch", "OpenGVLab/InternVL2-1B", "--revision", "main", "--out", tmp_path / "out")
    assert code == 0
    assert asked == [("OpenGVLab/InternVL2-1B", "main", tmp_path / "out")]
    assert out == [f"{tmp_path / 'out'}: 12 files, 1.88 GB, commit abc123"]


def test_fetch_wants_a_revision_and_an_id(tmp_path: Path, run: Run) -> None:
    code, _, error = run("fetch", "OpenGVLab/InternVL2-1B", "--out", tmp_path / "out")
    assert code == 2
    assert "--revision" in error
    code, _, error = run("fetch", "InternVL2-1B", "--revision", "main", "--out", tmp_path / "out")
    assert code == 2
    assert "OWNER/NAME" in error
    assert list(tmp_path.iterdir()) == []


def test_help_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from domainvl.cli.main import main; main(['model', '--help']); "
        "sys.exit(bool({'torch', 'transformers', 'huggingface_hub', 'safetensors'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in ("fetch", "import", "export"))
