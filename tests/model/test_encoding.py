"""Token ids and the answer mask, token by token."""

import itertools
import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from domainvl.errors import DatasetError
from domainvl.model.chat import Chat
from domainvl.model.encoding import ConversationEncoder
from domainvl.schema import Turn

TOKENS_PER_TILE = 16


@pytest.fixture(scope="module")
def tokenizer(untrained: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(untrained)


@pytest.fixture(scope="module")
def encoder(tokenizer: PreTrainedTokenizerFast) -> ConversationEncoder:
    return ConversationEncoder(tokenizer, Chat(format="Hermes-2", system_message=None), TOKENS_PER_TILE)


def turns(*texts: str) -> tuple[Turn, ...]:
    return tuple(Turn(role="assistant" if index % 2 else "human", text=text) for index, text in enumerate(texts))


def test_mask_token_by_token(encoder: ConversationEncoder, tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = encoder.encode(turns("<image>\nA?", "12", "B?", "no"), [1])
    runs = [
        (supervised, tokenizer.decode([token for _, token in run]))
        for supervised, run in itertools.groupby(
            zip(encoded.supervised, encoded.input_ids, strict=True), key=lambda pair: pair[0]
        )
    ]
    image = "<img>" + "<IMG_CONTEXT>" * TOKENS_PER_TILE + "</img>"
    assert runs == [
        (False, f"<|im_start|>user\n{image}\nA?<|im_end|><|im_start|>assistant\n"),
        (True, "12<|im_end|>"),
        (False, "<|im_start|>user\nB?<|im_end|><|im_start|>assistant\n"),
        (True, "no<|im_end|>"),
    ]


def test_each_tile_is_its_visual_tokens(encoder: ConversationEncoder, tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = encoder.encode(turns("Image-1: <image>\nImage-2: <image>\nA?", "b"), [3, 1])
    tokens = tokenizer.convert_ids_to_tokens(list(encoded.input_ids))
    first, second = (index for index, token in enumerate(tokens) if token == "<img>")
    assert tokens[first + 1 : first + 1 + 48] == ["<IMG_CONTEXT>"] * 48
    assert tokens[first + 49] == "</img>"
    assert tokens[second + 1 : second + 18] == ["<IMG_CONTEXT>"] * 16 + ["</img>"]
    assert not any(encoded.supervised[: second + 18])


def test_prompt_ids_are_a_prefix_of_the_training_ids(encoder: ConversationEncoder) -> None:
    conversation = turns("<image>\nDetect <ref>a b</ref>", "<ref>a b</ref><box>[[1, 20, 300, 999]]</box>")
    whole, prompt = encoder.encode(conversation, [1]), encoder.encode(conversation[:1], [1])
    assert whole.input_ids[: len(prompt.input_ids)] == prompt.input_ids
    assert whole.supervised == (False,) * len(prompt.input_ids) + (True,) * (
        len(whole.input_ids) - len(prompt.input_ids)
    )


@pytest.mark.parametrize("tile_counts", [[], [1, 1]])
def test_placeholders_and_images_must_match(encoder: ConversationEncoder, tile_counts: list[int]) -> None:
    with pytest.raises(DatasetError, match=f"got 1 and {len(tile_counts)}"):
        encoder.encode(turns("<image>\nA?", "b"), tile_counts)


def test_equals_the_official_code(golden: Path) -> None:
    """Ids and labels of the seven golden conversations of InternVL2-1B, made by the official trainer."""
    folder = golden / "checkpoints" / "internvl2-1b"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = ConversationEncoder(tokenizer, Chat(format="Hermes-2"), TOKENS_PER_TILE)
    cases = json.loads((folder / "conversations.json").read_text(encoding="utf-8"))
    assert len(cases) == 7
    for case in cases:
        encoded = encoder.encode(turns(*(part["value"] for part in case["conversations"])), case["tiles"])
        assert list(encoded.input_ids) == case["input_ids"]
        assert list(encoded.supervised) == [label != -100 for label in case["labels"]]
