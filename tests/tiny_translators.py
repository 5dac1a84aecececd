"""Translation models of a few thousand weights that know a handful of sentences by heart, for tests.

Trained in half a second, they say what they were taught and nothing else, so that a test knows what comes out.
"""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import torch

PAIRS = (
    ("a red car", "ein rotes auto"),
    ("a car of [1]", "ein auto von [1]"),
    ("where is the car?", "wo ist das auto?"),
    ("is it red?", "ist es rot?"),
    ("red", "rot"),
    ("the car", "das auto"),
)
"""What they translate, as they are given it."""

LONGEST = 64
"""Tokens that they have positions for; one is a letter."""

_SIZES = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": LONGEST,
    "dropout": 0.0,
    "num_beams": 1,
}


def write_marian(folder: Path, *, languages: tuple[str, ...] = ()) -> Path:
    """Write a Marian model; of several languages where such are named, of which the first is the one it learns."""
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    folder.mkdir(parents=True)
    model_proto, pieces = _letters()
    marks = [f">>{language}<<" for language in languages]
    names = ["</s>", "<unk>", *pieces, *marks, "<pad>"]
    for side in ("source", "target"):
        (folder / f"{side}.spm").write_bytes(model_proto)
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = MarianTokenizer(
            source_spm=str(folder / "source.spm"),
            target_spm=str(folder / "target.spm"),
            vocab=str(folder / "vocab.json"),
            source_lang="en",
            target_lang="de",
        )
    torch.manual_seed(0)
    pad = names.index("<pad>")
    config = MarianConfig(
        vocab_size=len(names),
        pad_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=0,
        decoder_start_token_id=pad,
        **_SIZES,
    )
    prefix = f"{marks[0]} " if marks else ""
    return _train(MarianMTModel(config), tokenizer, prefix, folder)


def write_m2m(folder: Path) -> Path:
    """Write an M2M100 model that learns from English to German; it knows the names of a hundred languages."""
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer

    folder.mkdir(parents=True)
    model_proto, pieces = _letters()
    (folder / "letters.spm").write_bytes(model_proto)
    names = ["<s>", "<pad>", "</s>", "<unk>", *pieces]
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "letters.spm"), src_lang="en", tgt_lang="de")
    torch.manual_seed(0)
    config = M2M100Config(
        vocab_size=max(tokenizer.lang_code_to_id.values()) + 1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
        **_SIZES,
    )
    return _train(M2M100ForConditionalGeneration(config), tokenizer, "", folder)


def _letters() -> tuple[bytes, list[str]]:
    """Make a tokenizer of single letters; returns its model and its pieces."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for pair in PAIRS for line in pair]),
        model_writer=model,
        vocab_size=64,
        hard_vocab_limit=False,
        model_type="char",
        pad_id=-1,
        bos_id=-1,
        eos_id=0,
        unk_id=1,
        minloglevel=9,
    )
    read = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [read.id_to_piece(number) for number in range(read.get_piece_size())]
    return model.getvalue(), [piece for piece in pieces if piece not in ("</s>", "<unk>")]


def _train(model: Any, tokenizer: Any, prefix: str, folder: Path) -> Path:
    """Learn the sentences by heart and write what came of it."""
    from transformers.utils import logging

    sources, targets = [prefix + source for source, _ in PAIRS], [target for _, target in PAIRS]
    batch = tokenizer(sources, text_target=targets, padding=True, return_tensors="pt")
    batch["labels"] = batch["labels"].masked_fill(batch["labels"] == tokenizer.pad_token_id, -100)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(150):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    finally:
        logging.enable_progress_bar()
    return folder
