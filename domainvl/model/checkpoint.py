"""Checkpoints on disk: transformers' native layout or a PEFT adapter, and beside it what belongs to it.

``domainvl.json`` holds what decides the model's input (preprocessing, wording, chat format), so that
evaluation and prediction see what training saw. Weights are read from safetensors only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domainvl.errors import CheckpointError, OutputError
from domainvl.files import hash_file
from domainvl.model.adapters import inner_model
from domainvl.model.attention import AttentionByPart
from domainvl.model.chat import Chat
from domainvl.model.encoding import ConversationEncoder
from domainvl.model.loading import loading_options
from domainvl.model.preprocessing import Preprocessing
from domainvl.model.quantisation import Quantisation, keep_gradients
from domainvl.model.tokens import ADDED_TOKENS

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from torch import nn
    from transformers import InternVLConfig, InternVLForConditionalGeneration, PreTrainedTokenizerFast

SPEC_NAME = "domainvl.json"
PUBLISHED_FOLDER = "published"
"""Folder in an imported checkpoint with the small files of the original, which an export needs."""

_SHIPPED = {"tiny": Path(__file__).parent / "tiny"}


class BaseReference(BaseModel):
    """The checkpoint that an adapter belongs to.

    Attributes:
        name: Name or folder.
        weights_sha256: Hash of its weights.
        quantisation: In how many bits it was held while the adapter was trained; None in all of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    weights_sha256: str
    quantisation: Quantisation | None = None


class CheckpointSpec(BaseModel):
    """What belongs to a checkpoint besides its weights.

    Attributes:
        kind: A whole model or an adapter.
        chat: Its chat format and system message.
        preprocessing: What decides how a sample becomes its input.
        base: For an adapter, the model it was trained on.
        origin: Where the weights were imported from, for the record.
        training: What it was trained on and how, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["model", "adapter"]
    chat: Chat
    preprocessing: Preprocessing
    base: BaseReference | None = None
    origin: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)


@dataclass
class LoadedModel:
    """A model ready for use, with what belongs to it.

    Attributes:
        model: The model, with its adapters if it has any.
        tokenizer: Its tokenizer.
        spec: What else belongs to it.
        published: Folder with the small files of the published original, None if it was not imported.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerFast
    spec: CheckpointSpec
    published: Path | None = None

    @property
    def internvl(self) -> InternVLForConditionalGeneration:
        """The InternVL model itself, under any adapter."""
        return inner_model(self.model)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def rope_border(self) -> int | None:
        """Length at which Phi-3 changes to the long factors of its positions, None for other models.

        transformers decides by the longest row of a batch, so rows on both sides of it must not share a batch.
        """
        return rope_border_of(self.internvl.config)

    def encoder(self) -> ConversationEncoder:
        """Return the encoder of conversations for this checkpoint."""
        tokens_per_tile = self.spec.preprocessing.tokens_per_tile
        return ConversationEncoder(self.tokenizer.backend_tokenizer, self.spec.chat, tokens_per_tile)


def rope_border_of(config: InternVLConfig) -> int | None:
    """Return what :attr:`LoadedModel.rope_border` says, by a model's dimensions alone."""
    rope = config.text_config.rope_parameters or {}
    return rope["original_max_position_embeddings"] if rope.get("rope_type") == "longrope" else None


def dynamic_border_of(config: InternVLConfig) -> int | None:
    """Return the length beyond which InternLM2 stretches its positions (dynamic NTK), None for other models.

    transformers stretches them by the longest sample that it has seen so far, so that beyond it what a sample is given
    depends on what came before.
    """
    text = config.text_config
    rope = text.rope_parameters or {}
    return int(text.max_position_embeddings) if rope.get("rope_type") == "dynamic" else None


def find_checkpoint(reference: str) -> Path:
    """Return the folder of a checkpoint: one that ships with domainvl, a run of finetune, or a path.

    Raises:
        CheckpointError: If there is none.
    """
    path = _SHIPPED.get(reference, Path(reference))
    for folder in (path, path / "checkpoint"):
        if (folder / SPEC_NAME).is_file():
            return folder
    rule = f"{SPEC_NAME} is missing" if path.is_dir() else "there is no such folder"
    raise CheckpointError(
        "Cannot load a model",
        where=reference,
        rule=rule,
        action=f"Name a folder made by domainvl model import or domainvl finetune, or one of: {', '.join(_SHIPPED)}",
    )


def absolute_reference(reference: str) -> str:
    """Return a reference that holds from any folder: the name of a model that ships, or an absolute path."""
    return reference if reference in _SHIPPED else str(Path(reference).resolve())


def read_spec(folder: Path) -> CheckpointSpec:
    """Read what belongs to a checkpoint.

    Raises:
        CheckpointError: If the file is not readable as such.
    """
    path = folder / SPEC_NAME
    try:
        return CheckpointSpec.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(
            "Unreadable checkpoint",
            where=path,
            rule=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            action="Make it again with this version of domainvl",
        ) from error


def write_spec(folder: Path, spec: CheckpointSpec) -> None:
    """Write what belongs to a checkpoint."""
    content = spec.model_dump(mode="json", exclude_none=True)
    # None means "no system message" here; left out, it would be read back as the default one.
    content["chat"]["system_message"] = spec.chat.system_message
    (folder / SPEC_NAME).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def load_model(
    reference: str,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    attention: AttentionByPart | None = None,
    quantisation: Quantisation | Literal["none"] | None = None,
) -> LoadedModel:
    """Load a checkpoint, an adapter together with its base.

    Args:
        reference: Name or folder, as :func:`find_checkpoint` takes it.
        device: Where to put it.
        dtype: Of the weights; float32 where None.
        attention: Implementation by part; what the machine has where None.
        quantisation: Hold the language model's linear layers in 4 bits, or ``none``; where None, as an adapter was
            trained, and a whole model not at all.

    Raises:
        CheckpointError: If it is missing, of another kind, or an adapter's base is another model.
        UsageError: If a package for the quantisation is missing.
    """
    import torch

    folder = find_checkpoint(reference)
    spec = read_spec(folder)
    if quantisation is None and spec.base is not None:
        quantisation = spec.base.quantisation
    held = None if quantisation == "none" else quantisation
    options = loading_options(device, dtype or torch.float32, attention, held)
    if spec.kind == "model":
        model: nn.Module = _load_native(folder, options)
    else:
        model = _load_adapter(folder, spec, options)
    tokenizer = load_tokenizer(folder)
    model.to(device)
    model.eval()
    keep_gradients(model)
    return LoadedModel(model, tokenizer, spec, _published_files(folder, spec))


def read_config(folder: Path) -> InternVLConfig:
    """Read the dimensions of a model in transformers' native layout.

    Raises:
        CheckpointError: If the file is missing, unreadable or of another layout.
    """
    from transformers import InternVLConfig

    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError("Cannot load a model", where=folder, rule="config.json is missing")
    try:
        model_type = json.loads(path.read_bytes()).get("model_type")
    except (ValueError, AttributeError) as error:
        raise CheckpointError("Cannot load a model", where=path, rule=f"it must be a JSON object: {error}") from error
    if model_type != "internvl":
        raise CheckpointError(
            "Cannot load a model",
            where=path,
            rule=f"model_type must be 'internvl', the native layout of transformers, got {model_type!r}",
            action="Convert it with domainvl model import first",
        )
    config: InternVLConfig = InternVLConfig.from_pretrained(folder, local_files_only=True)
    return config


def _load_native(folder: Path, options: Mapping[str, Any]) -> InternVLForConditionalGeneration:
    from transformers import InternVLForConditionalGeneration

    read_config(folder)
    if not list(folder.glob("*.safetensors")):
        raise CheckpointError("Cannot load a model", where=folder, rule="there is no .safetensors file")
    model, report = InternVLForConditionalGeneration.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **options
    )
    problems = {kind: sorted(keys) for kind, keys in report.items() if keys}
    if problems:
        raise CheckpointError(
            "Cannot load a model", where=folder, rule=f"every tensor must be used once and fit: {problems}"
        )
    loaded: InternVLForConditionalGeneration = model
    return loaded


def _load_adapter(folder: Path, spec: CheckpointSpec, options: Mapping[str, Any]) -> nn.Module:
    from peft import PeftModel

    if spec.base is None:
        raise CheckpointError("Cannot load an adapter", where=folder, rule="its base is not recorded")
    base_folder = find_checkpoint(spec.base.name)
    found = hash_weights(base_folder)
    if found != spec.base.weights_sha256:
        raise CheckpointError(
            "Cannot load an adapter",
            where=folder,
            rule=f"its base {spec.base.name} must have weights {spec.base.weights_sha256[:12]}, got {found[:12]}",
            action="Restore the model that it was trained on",
        )
    adapted: nn.Module = PeftModel.from_pretrained(
        _load_native(base_folder, options),
        folder,
    )
    return adapted


def _published_files(folder: Path, spec: CheckpointSpec) -> Path | None:
    """Return the folder of published files: a model's own, an adapter's base's."""
    holder = folder if spec.base is None else find_checkpoint(spec.base.name)
    files = holder / PUBLISHED_FOLDER
    return files if files.is_dir() else None


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load the fast tokenizer of a checkpoint in transformers' layout.

    Raises:
        CheckpointError: If it is missing, unreadable or not InternVL's.
    """
    from transformers import PreTrainedTokenizerFast

    read_tokenizer(folder)
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    return tokenizer


def read_tokenizer(folder: Path) -> Tokenizer:
    """Read the tokenizer of a checkpoint, without transformers.

    Raises:
        CheckpointError: If it is missing, unreadable or not InternVL's.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError("Cannot load a tokenizer", where=folder, rule="tokenizer.json is missing")
    content = path.read_bytes()
    try:
        json.loads(content)
    except ValueError as error:  # not JSON, or not UTF-8
        raise CheckpointError("Cannot load a tokenizer", where=path, rule=f"it must be JSON: {error}") from error
    tokenizer = Tokenizer.from_buffer(content)
    unknown = [token for token in ADDED_TOKENS if tokenizer.token_to_id(token) is None]
    if unknown:
        raise CheckpointError(
            "Cannot load a tokenizer", where=path, rule=f"InternVL's special tokens are missing: {', '.join(unknown)}"
        )
    return tokenizer


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save a tokenizer.

    Raises:
        OutputError: If it cannot be written.
    """
    with _refused_writes(folder / "tokenizer.json"):
        tokenizer.save_pretrained(folder)


@contextmanager
def _refused_writes(path: Path) -> Iterator[None]:
    """Find in the errors of libraries written in Rust what the operating system said.

    Raises:
        OutputError: Instead of SafetensorError, and of plain Exception, where a file cannot be written.
    """
    try:
        yield
    except Exception as error:  # tokenizers raises nothing narrower where the disk is full
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        number = int(code[1])
        raise OutputError.of(OSError(number, os.strerror(number)), path) from error


def save_checkpoint(loaded: LoadedModel, folder: Path, weights: Mapping[str, torch.Tensor] | None = None) -> None:
    """Save a model or an adapter with its tokenizer and what belongs to it.

    Args:
        loaded: What to save; its spec says which kind it is.
        folder: Where; it is made if it is not there.
        weights: Taken instead of the model's own, which may be divided over several processes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if loaded.spec.kind == "adapter":
        with _refused_writes(folder):
            loaded.model.save_pretrained(folder, state_dict=weights)  # type: ignore[operator]
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty form of a model card
    else:
        # The legacy "-hf" key names that are the default do not load strictly (huggingface/transformers#43701).
        with _refused_writes(folder):
            loaded.internvl.save_pretrained(folder, state_dict=weights, save_original_format=False)
        if loaded.published is not None:
            shutil.copytree(loaded.published, folder / PUBLISHED_FOLDER, dirs_exist_ok=True)
    save_tokenizer(loaded.tokenizer, folder)
    write_spec(folder, loaded.spec)


def stored_dtype(folder: Path) -> str:
    """Return the type of the weights of a checkpoint on disk, by its name in torch."""
    dtype = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("dtype")
    return str(dtype or "float32")


def hash_weights(folder: Path) -> str:
    """Return one hash over all files of weights of a checkpoint, in order of their names."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        digest.update(f"{path.name} {hash_file(path)}\n".encode())
    return digest.hexdigest()
