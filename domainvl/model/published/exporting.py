"""Exporting a checkpoint: for transformers and its servers, or in the layout in which InternVL was published."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from domainvl.errors import CheckpointError
from domainvl.files import check_target, complete_folder
from domainvl.model.chat_template import chat_template
from domainvl.model.checkpoint import (
    PUBLISHED_FOLDER,
    CheckpointSpec,
    find_checkpoint,
    hash_weights,
    read_spec,
    save_tokenizer,
)
from domainvl.model.published.config import (
    CONFIG_NAME,
    SYSTEM_MESSAGE_KEY,
    published_config,
    published_max_tiles,
    read_config,
)
from domainvl.model.published.layout import published_bindings
from domainvl.model.published.processor import lacks_thumbnail, processor_files
from domainvl.model.published.prompt import published_chat
from domainvl.model.published.tensors import CheckpointTensors, TensorInfo, TensorSource, widest_dtype, write_tensors
from domainvl.model.published.transfer import to_published
from domainvl.model.tokens import IMAGE_CONTEXT, IMAGE_END, IMAGE_START
from domainvl.model.trained_on import copy_trained_on

if TYPE_CHECKING:
    import torch
    from transformers import InternVLConfig

    from domainvl.model.chat import Chat

ExportLayout = Literal["native", "published"]

EXPORT_NAME = "export.json"
"""Says what was exported; by it an export is known from any other folder with a config.json."""


@dataclass(frozen=True)
class ExportSummary:
    """What was exported.

    Attributes:
        out: The folder that was made.
        layout: Which layout it is in.
        tensors: Number of tensors.
        parameters: Number of parameters.
        remote_code: Whether the official code lies beside the weights, as the official loader wants it.
        notes: What other tools will do otherwise than domainvl.
        seconds: How long it took.
    """

    out: Path
    layout: ExportLayout
    tensors: int
    parameters: int
    remote_code: bool
    notes: tuple[str, ...]
    seconds: float


def export_checkpoint(
    reference: str, out: Path, *, layout: ExportLayout, dtype: str | None = None, overwrite: bool = False
) -> ExportSummary:
    """Export a checkpoint.

    Args:
        reference: Name or folder of a whole model.
        out: Folder to make.
        layout: ``native`` for transformers and what builds on it; ``published`` for all that loads the original
            checkpoints, such as LMDeploy, ms-swift and the official code.
        dtype: Of the weights that are written, by its name in torch; the one they have where None.
        overwrite: Replace an earlier export.

    Raises:
        CheckpointError: If it is an adapter, or was never published in that layout.
        UsageError: If ``out`` is taken.
    """
    started = time.perf_counter()
    check_target(out, marker=EXPORT_NAME, overwrite=overwrite)
    folder = find_checkpoint(reference)
    spec = read_spec(folder)
    if spec.kind == "adapter":
        raise CheckpointError(
            "Cannot export an adapter",
            where=folder,
            rule="it must be a whole model",
            action="Merge it first: domainvl model merge",
        )
    source: TensorSource = CheckpointTensors(folder)
    if dtype is not None:
        source = _InType(source, dtype)
    with complete_folder(out) as work:
        write = _write_published if layout == "published" else _write_native
        infos = write(folder, spec, source, work)
        copy_trained_on(folder, work)
        _write_json(work / EXPORT_NAME, {"layout": layout, "weights_sha256": hash_weights(folder)})
    return ExportSummary(
        out,
        layout,
        len(infos),
        sum(info.parameters for info in infos.values()),
        any(out.glob("modeling_*.py")),
        _notes(folder, spec, layout),
        time.perf_counter() - started,
    )


class _InType:
    """Tensors in another type."""

    def __init__(self, source: TensorSource, dtype: str) -> None:
        import torch

        self._source = source
        self._dtype: torch.dtype = getattr(torch, dtype)
        self.infos = {name: TensorInfo(self._dtype, info.shape) for name, info in source.infos.items()}

    def read(self, name: str) -> torch.Tensor:
        return self._source.read(name).to(self._dtype)

    def where(self, name: str) -> Path:
        return self._source.where(name)

    def close(self) -> None:
        self._source.close()


def _notes(folder: Path, spec: CheckpointSpec, layout: ExportLayout) -> tuple[str, ...]:
    notes = []
    if layout == "native" and lacks_thumbnail(spec.preprocessing):
        notes.append("transformers' processor adds a thumbnail, which this model was not trained with.")
    kept = folder / PUBLISHED_FOLDER
    written = layout == "published" and (kept / "conversation.py").is_file()
    if written and not _tells(read_config(kept), kept, spec.chat):
        notes.append(
            "The system message of this model is in config.json, where domainvl reads it; the official code takes the "
            "one in conversation.py."
        )
    return tuple(notes)


def _write_published(folder: Path, spec: CheckpointSpec, source: TensorSource, work: Path) -> Mapping[str, TensorInfo]:
    from transformers import InternVLConfig

    config: InternVLConfig = InternVLConfig.from_pretrained(folder, local_files_only=True)
    transfer = to_published(published_bindings(config), source, folder)
    write_tensors(work, transfer.infos, transfer.tensors())
    dtype = str(widest_dtype(transfer.infos)).removeprefix("torch.")
    kept = folder / PUBLISHED_FOLDER
    files = sorted(kept.iterdir()) if kept.is_dir() else _tokenizer_files(folder)
    for path in files:
        shutil.copyfile(path, work / path.name)
    made = published_config(config, spec.chat, spec.preprocessing, dtype)
    content = _updated(read_config(kept), made, kept, spec.chat) if kept.is_dir() else made
    _write_json(work / CONFIG_NAME, content)
    return transfer.infos


def _updated(original: dict[str, Any], made: Mapping[str, Any], kept: Path, chat: Chat) -> dict[str, Any]:
    """Return the original config with what is no longer true of it: LoRA is merged, the type may be another."""
    for key in ("template", "force_image_size", "select_layer"):
        if original.get(key, made[key]) not in (made[key], None):
            raise CheckpointError(
                "Cannot export a checkpoint",
                where=kept / CONFIG_NAME,
                rule=f"{key} was {original[key]!r} when it was imported and is {made[key]!r} now",
                action=f"Remove the folder {kept} to have a config made anew",
            )
    current = ["use_llm_lora", "use_backbone_lora", "torch_dtype", "use_thumbnail"]
    changed = {key: made[key] for key in current if key in original}
    if published_max_tiles(original, kept / CONFIG_NAME) != made["max_dynamic_patch"]:
        changed |= {key: made[key] for key in ("dynamic_image_size", "max_dynamic_patch")}
    if not _tells(original, kept, chat):
        changed[SYSTEM_MESSAGE_KEY] = chat.system_message
    return {**original, **changed}


def _tells(original: dict[str, Any], kept: Path, chat: Chat) -> bool:
    """Say whether the published files alone lead to a checkpoint's system message."""
    try:
        return published_chat(kept, original, None) == chat
    except CheckpointError:
        return False


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_native(folder: Path, spec: CheckpointSpec, source: TensorSource, work: Path) -> Mapping[str, TensorInfo]:
    write_tensors(work, source.infos, ((name, source.read(name)) for name in source.infos))
    dtype = str(widest_dtype(source.infos)).removeprefix("torch.")
    _write_json(work / CONFIG_NAME, {**read_config(folder), "dtype": dtype})
    if (folder / "generation_config.json").is_file():
        shutil.copyfile(folder / "generation_config.json", work / "generation_config.json")
    _write_native_tokenizer(folder, spec, work)
    for name, content in processor_files(spec.preprocessing).items():
        _write_json(work / name, content)
    return source.infos


def _write_native_tokenizer(folder: Path, spec: CheckpointSpec, work: Path) -> None:
    """Write the tokenizer with the names under which transformers' processor looks for InternVL's tokens."""
    from transformers import PreTrainedTokenizerFast

    names = {
        "start_image_token": IMAGE_START,
        "end_image_token": IMAGE_END,
        "context_image_token": IMAGE_CONTEXT,
        "video_token": "<video>",  # becomes a token behind the vocabulary, which the processor replaces by frames
    }
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(
        folder, local_files_only=True, extra_special_tokens=names
    )
    tokenizer.chat_template = chat_template(spec.chat)
    save_tokenizer(tokenizer, work)


def _tokenizer_files(folder: Path) -> list[Path]:
    names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    return [folder / name for name in names if (folder / name).is_file()]
