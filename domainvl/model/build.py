"""Building models from nothing, in transformers' native InternVL architecture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.model.chat import CHAT_FORMATS
from domainvl.model.sizes import Vocabulary, tiny_config
from domainvl.model.tokens import ADDED_TOKENS, IMAGE_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import InternVLForConditionalGeneration, PreTrainedTokenizerFast


def train_tokenizer(texts: Iterable[str], out: Path, *, vocabulary_size: int) -> PreTrainedTokenizerFast:
    """Train a small byte-level BPE tokenizer with single digits and InternVL's special tokens.

    Args:
        texts: What to train on.
        out: Folder to save it in.
        vocabulary_size: Number of tokens, the special ones included.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    hermes = CHAT_FORMATS["Hermes-2"]
    special = ["<|endoftext|>", "<|im_start|>", hermes.end, *ADDED_TOKENS]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|endoftext|>", eos_token=hermes.end)
    fast.save_pretrained(out)
    return fast


def build_tiny(tokenizer: PreTrainedTokenizerFast, *, seed: int) -> InternVLForConditionalGeneration:
    """Build an untrained model of about one million parameters that can be trained on a CPU in minutes.

    Args:
        tokenizer: Decides the size of the vocabulary.
        seed: Of the initialisation.
    """
    import torch
    from transformers import InternVLForConditionalGeneration

    config = tiny_config(
        Vocabulary(
            size=len(tokenizer),
            image_id=int(tokenizer.convert_tokens_to_ids(IMAGE_CONTEXT)),
            end_id=tokenizer.eos_token_id,
            padding_id=tokenizer.pad_token_id,
        )
    )
    torch.manual_seed(seed)
    model = InternVLForConditionalGeneration(config)
    # Native initialisation leaves these at zero, where they learn slowly; patches embed to values of about one.
    with torch.no_grad():
        embeddings = model.model.vision_tower.embeddings
        embeddings.position_embeddings.normal_(0.0, 0.3)
        embeddings.cls_token.normal_(0.0, 0.3)
    return model
