"""How many tokens a sample has: tiles as training cuts them, text as a checkpoint's tokenizer reads it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from domainvl.model.checkpoint import find_checkpoint, read_spec, read_tokenizer
from domainvl.model.encoding import ConversationEncoder
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
            preprocessing, encoder = spec.preprocessing, ConversationEncoder(read_tokenizer(folder), spec.chat, 1)
        if max_tiles is not None:
            preprocessing = preprocessing.model_copy(update={"max_tiles": max_tiles})
        return cls(preprocessing, encoder)


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
