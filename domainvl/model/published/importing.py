"""Importing a checkpoint: from the form in which it was published to a folder that domainvl works with.

All that can be wrong is found from headers and configs, before the first byte is written; then tensors go through
memory one at a time. Nothing of the checkpoint is run.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.errors import CheckpointError
from domainvl.files import check_target, complete_folder
from domainvl.model.chat import Chat
from domainvl.model.chat_template import chat_template, recognise_chat
from domainvl.model.checkpoint import (
    PUBLISHED_FOLDER,
    SPEC_NAME,
    CheckpointSpec,
    hash_weights,
    load_tokenizer,
    save_tokenizer,
    write_spec,
)
from domainvl.model.preprocessing import Preprocessing
from domainvl.model.published.config import (
    CONFIG_NAME,
    PUBLISHED_MODEL_TYPE,
    SpecialIds,
    native_config,
    published_max_tiles,
    read_config,
)
from domainvl.model.published.fetching import read_origin
from domainvl.model.published.layout import Binding, native_bindings, published_bindings
from domainvl.model.published.lora import MergedTensors
from domainvl.model.published.processor import native_preprocessing
from domainvl.model.published.prompt import published_chat
from domainvl.model.published.tensors import CheckpointTensors, TensorSource, widest_dtype, write_tensors
from domainvl.model.published.tokenizer import load_published_tokenizer
from domainvl.model.published.transfer import Transfer, model_shapes, to_native
from domainvl.model.sizes import PartParameters, build_on_meta, count_parameters, recognise_size
from domainvl.model.tokens import IMAGE_CONTEXT
from domainvl.model.trained_on import copy_trained_on
from domainvl.model.trial import Trial, try_model

if TYPE_CHECKING:
    from transformers import InternVLConfig, PreTrainedTokenizerFast

_KEPT_SUFFIXES = (".py", ".model", ".txt")
_KEPT_NAMES = (
    CONFIG_NAME,
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)
"""What is kept of the published folder besides weights, so that an export loads where the original did."""


@dataclass(frozen=True)
class ImportSummary:
    """What was imported.

    Attributes:
        out: The folder that was made.
        layout: ``published``, or ``native`` where it was transformers' layout already.
        language_model: Model type of the language model.
        size: Name of the size, None if it is none of the published ones.
        parameters: Of each part.
        tensors: Number of tensors read and written.
        merged: Matrices that a LoRA update was added to.
        left_out: Stored tensors that are no parameters.
        dtype: Of the weights.
        chat: Chat format and system message.
        seconds: How long it took, the trial left aside.
        trial: What running it once came to, if that was asked for.
    """

    out: Path
    layout: str
    language_model: str
    size: str | None
    parameters: PartParameters
    tensors: tuple[int, int]
    merged: int
    left_out: tuple[str, ...]
    dtype: str
    chat: Chat
    seconds: float
    trial: Trial | None


@dataclass(frozen=True)
class _Opened:
    """A checkpoint that is understood and not yet read."""

    layout: str
    config: InternVLConfig
    tokenizer: PreTrainedTokenizerFast
    chat: Chat
    preprocessing: Preprocessing
    tensors: TensorSource
    bindings: Sequence[Binding]
    merged: int = 0


def import_checkpoint(
    source: Path,
    out: Path,
    *,
    system_prompt: str | None = None,
    check: bool = False,
    overwrite: bool = False,
) -> ImportSummary:
    """Import a checkpoint.

    Args:
        source: Folder of a published checkpoint, of one that the official trainer wrote, or of one in
            transformers' own layout.
        out: Folder to make.
        system_prompt: Which system message belongs to it, where that cannot be told.
        check: Run the result once before it gets its name.
        overwrite: Replace an earlier import.

    Raises:
        CheckpointError: If anything is missing, unknown, broken or contradictory; nothing is written then.
        UsageError: If ``out`` is taken.
        OutputError: If the disk is full.
    """
    started = time.perf_counter()
    check_target(out, marker=SPEC_NAME, overwrite=overwrite)
    opened = _open(source, system_prompt)
    model = build_on_meta(opened.config)
    transfer = to_native(opened.bindings, opened.tensors, model_shapes(model), source)
    opened.config.dtype = widest_dtype(transfer.infos)
    with complete_folder(out) as work:
        _write(opened, transfer, source, work, read_origin(source) or {"name": source.resolve().name})
        copy_trained_on(source, work)  # where it is a model of ours that was exported
        opened.tensors.close()  # a trial needs the room
        seconds = time.perf_counter() - started
        trial = try_model(work, opened.config.dtype) if check else None
    return ImportSummary(
        out=out,
        layout=opened.layout,
        language_model=opened.config.text_config.model_type,
        size=recognise_size(opened.config),
        parameters=count_parameters(model),
        tensors=(len(opened.tensors.infos), len(transfer.infos)),
        merged=opened.merged,
        left_out=transfer.left_out,
        dtype=str(opened.config.dtype).removeprefix("torch."),
        chat=opened.chat,
        seconds=seconds,
        trial=trial,
    )


def _open(source: Path, system_prompt: str | None) -> _Opened:
    if (source / SPEC_NAME).is_file():
        raise CheckpointError(
            "Cannot import a checkpoint",
            where=source,
            rule=f"it is one of ours already: it has a {SPEC_NAME}",
            action="Use it as it is, or export it first",
        )
    raw = read_config(source)
    match raw.get("model_type"):
        case str(kind) if kind == PUBLISHED_MODEL_TYPE:
            return _open_published(source, raw, system_prompt)
        case "internvl":
            return _open_native(source, raw, system_prompt)
        case kind:
            raise CheckpointError(
                "Cannot import a checkpoint",
                where=source / CONFIG_NAME,
                rule=f"model_type must be {PUBLISHED_MODEL_TYPE} or internvl, got {kind!r}",
                action="Only InternVL and Mini-InternVL checkpoints can be imported",
            )


def _open_published(source: Path, raw: dict[str, Any], system_prompt: str | None) -> _Opened:
    tokenizer = load_published_tokenizer(source)
    chat = published_chat(source, raw, system_prompt)
    config = native_config(raw, source / CONFIG_NAME, _special_ids(tokenizer, chat))
    tensors = MergedTensors(CheckpointTensors(source), raw)
    preprocessing = Preprocessing(
        tile_side_px=config.vision_config.image_size[0],
        tokens_per_tile=config.image_seq_length,
        max_tiles=published_max_tiles(raw, source / CONFIG_NAME),
        use_thumbnail=bool(raw.get("use_thumbnail", False)),
        resize="fast",
    )
    return _Opened(
        "published",
        config,
        tokenizer,
        chat,
        preprocessing,
        tensors,
        published_bindings(config),
        merged=tensors.merged,
    )


def _open_native(source: Path, raw: dict[str, Any], system_prompt: str | None) -> _Opened:
    from transformers import InternVLConfig

    tokenizer = load_tokenizer(source)
    tensors = CheckpointTensors(source)
    output_layer = any(name.endswith("lm_head.weight") for name in tensors.infos)
    # The class's default is tied, whatever the text's config says: what the file holds decides.
    try:
        config = InternVLConfig.from_dict({**raw, "tie_word_embeddings": not output_layer})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            "Cannot import a checkpoint", where=source / CONFIG_NAME, rule=f"transformers refuses it: {error}"
        ) from error
    config.text_config.tie_word_embeddings = not output_layer
    return _Opened(
        "native",
        config,
        tokenizer,
        recognise_chat(tokenizer, source, system_prompt),
        native_preprocessing(source, config),
        tensors,
        native_bindings(config, list(tensors.infos)),
    )


def _special_ids(tokenizer: PreTrainedTokenizerFast, chat: Chat) -> SpecialIds:
    return SpecialIds(
        image=int(tokenizer.convert_tokens_to_ids(IMAGE_CONTEXT)),
        end=int(tokenizer.convert_tokens_to_ids(chat.markers.end)),
        start=tokenizer.bos_token_id,
        padding=tokenizer.pad_token_id,
    )


def _write(opened: _Opened, transfer: Transfer, source: Path, work: Path, origin: dict[str, Any]) -> None:
    write_tensors(work, transfer.infos, transfer.tensors())
    opened.config.architectures = ["InternVLForConditionalGeneration"]
    opened.config.save_pretrained(work)
    _write_generation_config(opened.tokenizer, opened.chat, work)
    opened.tokenizer.chat_template = chat_template(opened.chat)
    save_tokenizer(opened.tokenizer, work)
    if opened.layout == "published":
        _keep_published_files(source, work / PUBLISHED_FOLDER)
    spec = CheckpointSpec(
        kind="model",
        chat=opened.chat,
        preprocessing=opened.preprocessing,
        origin={**origin, "layout": opened.layout, "weights_sha256": hash_weights(source)},
    )
    write_spec(work, spec)


def _write_generation_config(tokenizer: PreTrainedTokenizerFast, chat: Chat, work: Path) -> None:
    """Let transformers' own ``generate`` stop where the chat format does."""
    from transformers import GenerationConfig

    ids = _special_ids(tokenizer, chat)
    ends = sorted({ids.end, tokenizer.eos_token_id} - {None})
    GenerationConfig(bos_token_id=ids.start, eos_token_id=ends, pad_token_id=ids.padding).save_pretrained(work)


def _keep_published_files(source: Path, folder: Path) -> None:
    folder.mkdir()
    for path in sorted(source.iterdir()):
        if path.is_file() and (path.name in _KEPT_NAMES or path.suffix in _KEPT_SUFFIXES):
            shutil.copyfile(path, folder / path.name)
