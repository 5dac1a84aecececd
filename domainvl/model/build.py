"""Building models from nothing, in transformers' native InternVL architecture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.model.chat import CHAT_FORMATS
from domainvl.model.encoding import ADDED_TOKENS, IMAGE_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import InternVLForConditionalGeneration, PreTrainedTokenizerFast

TINY_TILE_SIDE_PX = 64
TINY_PATCH_SIDE_PX = 8
TINY_TOKENS_PER_TILE = 16
"""(64 / 8 * 0.5) squared, by the pixel shuffle of InternVL."""


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
    from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLVisionConfig, Qwen2Config

    # With transformers' default spread of 0.02 a model this small stays on a plateau for hundreds of steps.
    spread = 0.1
    vision = InternVLVisionConfig(
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=256,
        image_size=[TINY_TILE_SIDE_PX, TINY_TILE_SIDE_PX],
        patch_size=[TINY_PATCH_SIDE_PX, TINY_PATCH_SIDE_PX],
        attention_bias=True,
        use_qk_norm=False,
        norm_type="layer_norm",
        use_absolute_position_embeddings=True,
        layer_scale_init_value=0.1,
        use_mean_pooling=True,
        initializer_range=spread,
    )
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=384,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        initializer_range=spread,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = InternVLConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=int(tokenizer.convert_tokens_to_ids(IMAGE_CONTEXT)),
        image_seq_length=TINY_TOKENS_PER_TILE,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = InternVLForConditionalGeneration(config)
    # Native initialisation leaves these at zero, where they learn slowly; patches embed to values of about one.
    with torch.no_grad():
        embeddings = model.model.vision_tower.embeddings
        embeddings.position_embeddings.normal_(0.0, 0.3)
        embeddings.cls_token.normal_(0.0, 0.3)
    return model
