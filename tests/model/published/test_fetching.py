"""Fetching from a hub: pinned to a commit, safetensors only, nothing half downloaded."""

from __future__ import annotations

import fnmatch
import shutil
import socket
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from published_checkpoints import read_json, write_published

from domainvl.errors import CheckpointError, OutputError, UsageError
from domainvl.model.checkpoint import read_spec
from domainvl.model.published.fetching import fetch_checkpoint, read_origin
from domainvl.model.published.importing import import_checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB_ID = "OpenGVLab/Mini-InternVL2-1B-DA-RS"


@dataclass
class FakeHub:
    """Offers the files of a folder, as a hub does."""

    folder: Path
    error: BaseException | None = None
    download_error: BaseException | None = None
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def model_info(self, repo_id: str, *, revision: str) -> Any:
        self.calls.append(("info", repo_id, revision))
        if self.error is not None:
            raise self.error
        files = [SimpleNamespace(rfilename=path.name) for path in self.folder.iterdir()]
        return SimpleNamespace(sha=COMMIT, siblings=files)

    def snapshot_download(self, repo_id: str, *, revision: str, local_dir: Path, allow_patterns: list[str]) -> str:
        self.calls.append(("download", repo_id, revision))
        for path in self.folder.iterdir():
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copyfile(path, local_dir / path.name)
        notes = local_dir / ".cache" / "huggingface"
        notes.mkdir(parents=True)
        (notes / "x.metadata").write_text("etag")
        if self.download_error is not None:
            raise self.download_error
        return str(local_dir)


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_published(tmp_path_factory.mktemp("hub") / "repository", "qwen2")
    for name in ("pytorch_model.bin", "model.onnx", "tf_model.h5", "model.gguf", "weights.pt", "run.sh", "README.md"):
        (folder / name).write_bytes(b"not wanted")
    (folder / "modeling_internvl_chat.py").write_text("raise SystemExit\n")
    return folder


def test_the_commit_is_downloaded_and_recorded(offered: Path, tmp_path: Path) -> None:
    hub = FakeHub(offered)
    summary = fetch_checkpoint(HUB_ID, "main", tmp_path / "out", hub=hub)
    assert hub.calls == [("info", HUB_ID, "main"), ("download", HUB_ID, COMMIT)]
    assert read_json(tmp_path / "out" / "origin.json") == {"name": HUB_ID, "revision": "main", "commit": COMMIT}
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert (summary.out, summary.commit, summary.files) == (tmp_path / "out", COMMIT, len(files))
    assert summary.bytes == sum(path.stat().st_size for path in files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_only_tensors_and_text_are_asked_for(offered: Path, tmp_path: Path) -> None:
    fetch_checkpoint(HUB_ID, "main", tmp_path / "out", hub=FakeHub(offered))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {path.suffix for path in (tmp_path / "out").iterdir()} <= {".safetensors", ".json", ".model", ".txt", ".py"}
    assert {"config.json", "conversation.py", "modeling_internvl_chat.py", "merges.txt", "vocab.json"} <= names


def test_an_import_keeps_where_it_came_from(offered: Path, tmp_path: Path) -> None:
    fetch_checkpoint(HUB_ID, "v1", tmp_path / "download", hub=FakeHub(offered))
    import_checkpoint(tmp_path / "download", tmp_path / "out")
    origin = read_spec(tmp_path / "out").origin
    assert (origin["name"], origin["revision"], origin["commit"]) == (HUB_ID, "v1", COMMIT)
    assert not (tmp_path / "out" / "published" / "origin.json").exists()


def test_no_safetensors_no_download(offered: Path, tmp_path: Path) -> None:
    only_bin = tmp_path / "hub"
    only_bin.mkdir()
    (only_bin / "pytorch_model.bin").write_bytes(b"code")
    hub = FakeHub(only_bin)
    with pytest.raises(CheckpointError, match=f"{HUB_ID}: it must have weights as .safetensors"):
        fetch_checkpoint(HUB_ID, "main", tmp_path / "out", hub=hub)
    assert [call[0] for call in hub.calls] == ["info"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub"]


def http_error(message: str) -> Exception:
    from huggingface_hub.utils import HfHubHTTPError

    error = HfHubHTTPError.__new__(RepositoryNotFoundError)
    Exception.__init__(error, message)
    return error


@pytest.mark.parametrize("place", ["error", "download_error"])
@pytest.mark.parametrize(
    "error",
    [
        http_error("401 Client Error\n\nRepository Not Found"),
        HFValidationError("Repo id must be"),
        ConnectionError("Network is unreachable"),
        TimeoutError(),
        OSError(""),
    ],
    ids=["not found", "no id", "no network", "no words", "empty words"],
)
def test_errors_of_the_hub(offered: Path, tmp_path: Path, place: str, error: Exception) -> None:
    with pytest.raises(CheckpointError, match=f"Cannot fetch a model in {HUB_ID} at main.*network"):
        fetch_checkpoint(HUB_ID, "main", tmp_path / "out", hub=FakeHub(offered, **{place: error}))
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing(offered: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch_checkpoint(HUB_ID, "main", tmp_path / "out", hub=FakeHub(offered, download_error=KeyboardInterrupt()))
    assert list(tmp_path.iterdir()) == []


def test_a_hub_that_nobody_answers_for(tmp_path: Path) -> None:
    """The real client: what it raises is its own HTTP library's error."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        hub = HfApi(endpoint=f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(CheckpointError, match=f"{HUB_ID} at main.*network"):
            fetch_checkpoint(HUB_ID, "main", tmp_path / "out", hub=hub)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(offered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours to report as such: neither the hub nor the network is to blame."""
    full = OSError(28, "No space left on device", str(tmp_path / "x"))
    with pytest.raises(OutputError, match="No space left on device"):
        fetch_checkpoint(HUB_ID, "main", tmp_path / "out", hub=FakeHub(offered, download_error=full))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "hub_id", ["", "InternVL2-1B", "a/b/c", "a b/c", "https://huggingface.co/a/b", "/a", "a/", "ä?/b"]
)
def test_ids_that_are_none(offered: Path, tmp_path: Path, hub_id: str) -> None:
    hub = FakeHub(offered)
    with pytest.raises(UsageError, match="its id must be OWNER/NAME"):
        fetch_checkpoint(hub_id, "main", tmp_path / "out", hub=hub)
    assert hub.calls == []


def test_a_target_that_exists_is_kept(offered: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    hub = FakeHub(offered)
    with pytest.raises(UsageError, match="it exists"):
        fetch_checkpoint(HUB_ID, "main", tmp_path / "out", hub=hub)
    assert hub.calls == []


def test_a_folder_that_was_not_fetched_has_no_origin(tmp_path: Path) -> None:
    assert read_origin(tmp_path) is None
    for content in ("[", "[1]", '"x"'):
        (tmp_path / "origin.json").write_text(content)
        with pytest.raises(CheckpointError, match="origin.json"):
            read_origin(tmp_path)
