"""Models of a few thousand random weights in the layout of real checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

WORDS = [f"w{n}" for n in range(30)]
SIDE_PX = 16
TOWER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, between [CLS] and [SEP]."""
    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    )


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory) -> Path:
    """A CLIP that reads 16 tokens, one a letter, and has features of width 8."""
    folder = tmp_path_factory.mktemp("clip") / "tiny-clip"
    letters = [chr(code) for code in range(33, 127)]
    names = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {name: index for index, name in enumerate(names)}
    end = vocabulary["<|endoftext|>"]
    text = {**TOWER, "vocab_size": len(names), "max_position_embeddings": 16, "eos_token_id": end, "pad_token_id": end}
    vision = {**TOWER, "image_size": SIDE_PX, "patch_size": 8}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    size = {"height": SIDE_PX, "width": SIDE_PX}
    CLIPImageProcessorPil(size={"shortest_edge": SIDE_PX}, crop_size=size).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def siglip_folder(tmp_path_factory) -> Path:
    """A SigLIP that reads 12 tokens, one a word."""
    folder = tmp_path_factory.mktemp("siglip") / "tiny-siglip"
    text = {**TOWER, "vocab_size": 40, "max_position_embeddings": 12, "projection_size": 16}
    vision = {**TOWER, "image_size": SIDE_PX, "patch_size": 8}
    torch.manual_seed(1)
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    size = {"height": SIDE_PX, "width": SIDE_PX}
    ViTImageProcessorPil(size=size).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def nsfw_folder(tmp_path_factory) -> Path:
    """An image classifier with the labels normal and nsfw."""
    folder = tmp_path_factory.mktemp("nsfw") / "tiny-nsfw"
    torch.manual_seed(2)
    config = ViTConfig(**TOWER, image_size=SIDE_PX, patch_size=8, id2label={0: "normal", 1: "nsfw"})
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": SIDE_PX, "width": SIDE_PX}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def toxic_folder(tmp_path_factory) -> Path:
    """A text classifier with the labels fine and toxic that reads 10 tokens, 8 of them words."""
    folder = tmp_path_factory.mktemp("toxic") / "tiny-toxic"
    torch.manual_seed(3)
    labels = {0: "fine", 1: "toxic"}
    config = BertConfig(**TOWER, vocab_size=40, max_position_embeddings=12, id2label=labels, initializer_range=1.0)
    BertForSequenceClassification(config).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder
