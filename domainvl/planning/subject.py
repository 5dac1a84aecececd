"""What is planned for: a size by name, or a checkpoint of which only the small files are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.errors import CheckpointError
from domainvl.model.checkpoint import find_checkpoint, load_tokenizer, read_config, read_spec
from domainvl.model.encoding import ConversationEncoder
from domainvl.model.preprocessing import Preprocessing
from domainvl.model.sizes import SIZE_NAMES, recognise_size, size_config

if TYPE_CHECKING:
    from transformers import InternVLConfig


@dataclass(frozen=True)
class Subject:
    """A model as far as planning needs it.

    Attributes:
        name: As it was named.
        size: Its size by name; None where it has none.
        config: Its dimensions.
        preprocessing: How samples become its input, the recipe's part left aside.
        folder: Of its checkpoint; None for a size alone.
    """

    name: str
    size: str | None
    config: InternVLConfig
    preprocessing: Preprocessing
    folder: Path | None

    def encoder(self) -> ConversationEncoder | None:
        """Return what encodes conversations for it; None for a size alone, which has no tokenizer.

        Raises:
            CheckpointError: If its tokenizer cannot be read.
        """
        if self.folder is None:
            return None
        tokenizer = load_tokenizer(self.folder)
        spec = read_spec(self.folder)
        return ConversationEncoder(tokenizer.backend_tokenizer, spec.chat, spec.preprocessing.tokens_per_tile)


def find_subject(reference: str) -> Subject:
    """Find a model by the name of a size, or as :func:`domainvl.model.checkpoint.find_checkpoint` does.

    Raises:
        CheckpointError: If there is none, or it is no whole model in the native layout.
    """
    if reference in SIZE_NAMES and reference != "tiny":  # tiny ships with its tokenizer
        config = size_config(reference)
        preprocessing = Preprocessing(
            tile_side_px=config.vision_config.image_size[0], tokens_per_tile=config.image_seq_length
        )
        return Subject(reference, reference, config, preprocessing, None)
    try:
        folder = find_checkpoint(reference)
    except CheckpointError as error:
        raise CheckpointError(
            "Cannot plan for a model",
            where=reference,
            rule=error.rule,
            action=f"Name a size, one of {', '.join(SIZE_NAMES)}, or the folder of a checkpoint",
        ) from error
    spec = read_spec(folder)
    if spec.kind != "model":
        raise CheckpointError(
            "Cannot plan for a model",
            where=folder,
            rule=f"it must be a whole model, got an {spec.kind}",
            action="Name the model that the adapter was trained on, or merge them",
        )
    config = read_config(folder)
    return Subject(reference, recognise_size(config), config, spec.preprocessing, folder)
