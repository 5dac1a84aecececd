"""How many tokens a sample has: tiles as training cuts them, text as a checkpoint's tokenizer reads it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainvl.errors import CheckpointError
from domainvl.model.checkpoint import find_checkpoint, read_spec
from domainvl.model.encoding import ADDED_TOKENS, ConversationEncoder
from domainvl.model.preprocessing import Preprocessing
from domainvl.schema import Sample
from domainvl.schema.sample import IMAGE_PLACEHOLDER
from domainvl.viewing.tally import summarise


@dataclass(frozen=True)
class TokenRules:
    """What decides how many tokens a sample has.

    Attributes:
        preprocessing: How images become tiles.
        encoder: Encodes conversations, one token an image; None where no checkpoint is named.
    """

    preprocessing: Preprocessing
    encoder: ConversationEncoder | None = None

    @classmethod
    def load(cls, reference: str | None, *, max_tiles: int | None) -> TokenRules:
        """Read tokenizer and preprocessing of a checkpoint, without its weights.

        Args:
            reference: Name or folder of the checkpoint; without one, text is counted in characters and words.
            max_tiles: Tile limit; where None, the checkpoint's, or the default of the published scripts.

        Raises:
            CheckpointError: If the checkpoint or its tokenizer cannot be read.
        """
        if reference is None:
            preprocessing, encoder = Preprocessing(), None
        else:
            folder = find_checkpoint(reference)
            spec = read_spec(folder)
            preprocessing, encoder = spec.preprocessing, ConversationEncoder(_read_tokenizer(folder), spec.chat, 1)
        if max_tiles is not None:
            preprocessing = preprocessing.model_copy(update={"max_tiles": max_tiles})
        return cls(preprocessing, encoder)


class _Tokenizer:
    """Gives a tokenizer of the library tokenizers the two methods of transformers' that the encoder calls."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, text: str, *, add_special_tokens: bool, return_offsets_mapping: bool) -> dict[str, Any]:
        encoding = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return {"input_ids": encoding.ids, "offset_mapping": encoding.offsets}

    def convert_tokens_to_ids(self, token: str) -> int | None:
        found: int | None = self._tokenizer.token_to_id(token)
        return found


def _read_tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError("Cannot count tokens", where=folder, rule="tokenizer.json is missing")
    content = path.read_bytes()
    try:
        json.loads(content)
    except ValueError as error:  # not JSON, or not UTF-8
        raise CheckpointError("Cannot count tokens", where=path, rule=f"it must be JSON: {error}") from error
    tokenizer = Tokenizer.from_buffer(content)
    unknown = [token for token in ADDED_TOKENS if tokenizer.token_to_id(token) is None]
    if unknown:
        raise CheckpointError(
            "Cannot count tokens", where=path, rule=f"InternVL's special tokens are missing: {', '.join(unknown)}"
        )
    return _Tokenizer(tokenizer)


class TextTally:
    """Lengths of conversations: characters and words always, tokens where there is a tokenizer."""

    def __init__(self) -> None:
        self.lengths: dict[str, Counter[int]] = defaultdict(Counter)

    def add(self, sample: Sample, rules: TokenRules, visual_tokens: int) -> None:
        """Count a sample's conversation."""
        for role in ("human", "assistant"):
            text = " ".join(turn.text.replace(IMAGE_PLACEHOLDER, "") for turn in sample.turns if turn.role == role)
            self.lengths[f"{role}_characters"][len(text)] += 1
            self.lengths[f"{role}_words"][len(text.split())] += 1
        if rules.encoder is not None:
            image_count = len(sample.images)
            encoded = rules.encoder.encode(sample.turns, [1] * image_count)
            text_tokens = len(encoded.input_ids) - image_count
            self.lengths["text_tokens"][text_tokens] += 1
            self.lengths["answer_tokens"][sum(encoded.supervised)] += 1
            self.lengths["all_tokens"][text_tokens + visual_tokens] += 1

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; what was not counted is None."""
        names = [f"{role}_{unit}" for role in ("human", "assistant") for unit in ("characters", "words")]
        names += ["text_tokens", "answer_tokens", "all_tokens"]
        total = sum(number * times for number, times in self.lengths.get("all_tokens", {}).items())
        return {name: summarise(self.lengths.get(name, {})) for name in names} | {"all_tokens_total": total or None}
