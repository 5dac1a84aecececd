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
from domainvl.files import check_target, hidden_sibling, make_folder, output_errors, take_name
from domainvl.model.chat_template import chat_template
from domainvl.model.checkpoint import (
    PUBLISHED_FOLDER,
    CheckpointSpec,
    find_checkpoint,
    hash_weights,
    read_spec,
    save_tokenizer,
)
from domainvl.model.published.config import CONFIG_NAME, published_config, published_max_tiles, read_config
from domainvl.model.published.layout import published_bindings
from domainvl.model.published.tensors import CheckpointTensors, TensorInfo, write_tensors
from domainvl.model.published.transfer import to_published
from domainvl.model.tokens import IMAGE_CONTEXT, IMAGE_END, IMAGE_START

if TYPE_CHECKING:
    from transformers import InternVLConfig

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
        seconds: How long it took.
    """

    out: Path
    layout: ExportLayout
    tensors: int
    parameters: int
    remote_code: bool
    seconds: float


def export_checkpoint(reference: str, out: Path, *, layout: ExportLayout, overwrite: bool = False) -> ExportSummary:
    """Export a checkpoint.

    Args:
        reference: Name or folder of a whole model.
        out: Folder to make.
        layout: ``native`` for transformers and what builds on it; ``published`` for all that loads the original
            checkpoints, such as LMDeploy, ms-swift and the official code.
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
    source = CheckpointTensors(folder)
    work = hidden_sibling(out, "partial")
    make_folder(work, out, empty=True)
    try:
        with output_errors(out):
            write = _write_published if layout == "published" else _write_native
            infos = write(folder, spec, source, work)
            _write_json(work / EXPORT_NAME, {"layout": layout, "weights_sha256": hash_weights(folder)})
            take_name(work, out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return ExportSummary(
        out,
        layout,
        len(infos),
        sum(info.parameters for info in infos.values()),
        any(out.glob("modeling_*.py")),
        time.perf_counter() - started,
    )


def _write_published(
    folder: Path, spec: CheckpointSpec, source: CheckpointTensors, work: Path
) -> Mapping[str, TensorInfo]:
    from transformers import InternVLConfig

    config: InternVLConfig = InternVLConfig.from_pretrained(folder, local_files_only=True)
    transfer = to_published(published_bindings(config), source, folder)
    write_tensors(work, transfer.infos, transfer.tensors())
    dtype = str(next(iter(transfer.infos.values())).dtype).removeprefix("torch.")
    kept = folder / PUBLISHED_FOLDER
    files = sorted(kept.iterdir()) if kept.is_dir() else _tokenizer_files(folder)
    for path in files:
        shutil.copyfile(path, work / path.name)
    made = published_config(config, spec.chat, spec.preprocessing, dtype)
    content = _updated(read_config(kept), made, kept) if kept.is_dir() else made
    _write_json(work / CONFIG_NAME, content)
    return transfer.infos


def _updated(original: dict[str, Any], made: Mapping[str, Any], kept: Path) -> dict[str, Any]:
    """Return the original config with what is no longer true of it: LoRA is merged, the type may be another."""
    for key in ("template", "force_image_size", "select_layer"):
        if original.get(key, made[key]) not in (made[key], None):
            raise CheckpointError(
                "Cannot export a checkpoint",
                where=kept / CONFIG_NAME,
                rule=f"{key} was {original[key]!r} when it was imported and is {made[key]!r} now",
            )
    current = ["use_llm_lora", "use_backbone_lora", "torch_dtype", "use_thumbnail"]
    changed = {key: made[key] for key in current if key in original}
    if published_max_tiles(original, kept / CONFIG_NAME) != made["max_dynamic_patch"]:
        changed |= {key: made[key] for key in ("dynamic_image_size", "max_dynamic_patch")}
    return {**original, **changed}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_native(
    folder: Path, spec: CheckpointSpec, source: CheckpointTensors, work: Path
) -> Mapping[str, TensorInfo]:
    write_tensors(work, source.infos, ((name, source.read(name)) for name in source.infos))
    for name in (CONFIG_NAME, "generation_config.json"):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, work / name)
    _write_native_tokenizer(folder, spec, work)
    for name, content in _processor_files(spec).items():
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


def _processor_files(spec: CheckpointSpec) -> dict[str, dict[str, Any]]:
    """Return what transformers' own processor needs to cut the same tiles."""
    preprocessing = spec.preprocessing
    side = {"height": preprocessing.tile_side_px, "width": preprocessing.tile_side_px}
    return {
        "preprocessor_config.json": {
            "image_processor_type": "GotOcr2ImageProcessor",
            "processor_class": "InternVLProcessor",
            "crop_to_patches": preprocessing.max_tiles > 1,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": list(preprocessing.mean),
            "image_std": list(preprocessing.std),
            "max_patches": preprocessing.max_tiles,
            "min_patches": 1,
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": side,
        },
        "processor_config.json": {
            "image_seq_length": preprocessing.tokens_per_tile,
            "processor_class": "InternVLProcessor",
        },
    }
