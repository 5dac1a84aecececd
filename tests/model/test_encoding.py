"""Token ids and the answer mask, token by token."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from domainvl.errors import CheckpointError, DatasetError
from domainvl.model.chat import INTERNVL2_SYSTEM_MESSAGE, V1_5_SYSTEM_MESSAGES, Chat
from domainvl.model.encoding import ConversationEncoder, EncodedConversation, Mark
from domainvl.model.tokens import ADDED_TOKENS
from domainvl.schema import Turn

TOKENS_PER_TILE = 16
CHAT_TOKENS = {
    "Hermes-2": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "internlm2-chat": ["<s>", "</s>", "<|im_start|>", "<|im_end|>"],
    "phi3-chat": ["<s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
}


@pytest.fixture(scope="module")
def tokenizer(untrained: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(untrained)


@pytest.fixture(scope="module")
def encoder(tokenizer: PreTrainedTokenizerFast) -> ConversationEncoder:
    chat = Chat(format="Hermes-2", system_message=None)
    return ConversationEncoder(tokenizer.backend_tokenizer, chat, TOKENS_PER_TILE)


def turns(*texts: str) -> tuple[Turn, ...]:
    return tuple(Turn(role="assistant" if index % 2 else "human", text=text) for index, text in enumerate(texts))


def character_tokenizer(template: str) -> Tokenizer:
    """Each byte is a token, and so is each special token; Phi-3's markers take the blanks to their right."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    eats = template == "phi3-chat"
    made.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False, rstrip=eats and token.startswith("<|"))
            for token in CHAT_TOKENS[template]
        ]
    )
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ADDED_TOKENS])
    return made


def spoken(made: Tokenizer, encoded: EncodedConversation) -> list[tuple[bool, str]]:
    """Runs of supervised and other tokens, special tokens written out."""
    pairs = zip(encoded.supervised, encoded.input_ids, strict=True)
    return [
        (supervised, made.decode([token for _, token in run], skip_special_tokens=False))
        for supervised, run in itertools.groupby(pairs, key=lambda pair: pair[0])
    ]


IMAGE = "<img><IMG_CONTEXT><IMG_CONTEXT></img>"
VARIANTS = {
    (template, version): message
    for template in CHAT_TOKENS
    for version, message in (("internvl2", INTERNVL2_SYSTEM_MESSAGE), ("v1-5", V1_5_SYSTEM_MESSAGES[template]))
}


def expected_tokens(template: str, system: str) -> list[str]:
    """The conversation of the test below, written from the table of templates, one token an element."""
    if template == "phi3-chat":  # the line break after a marker is part of the marker
        head = ["<s>", "<|system|>", *system, "<|end|>", "<|user|>"]
        between = ["<|end|>", "<|assistant|>"]
        again = ["<|end|>", "<|user|>"]
        last = ["<|end|>"]
    else:
        bos = ["<s>"] if template == "internlm2-chat" else []
        head = [*bos, "<|im_start|>", *"system\n", *system, "<|im_end|>", "<|im_start|>", *"user\n"]
        between = ["<|im_end|>", "<|im_start|>", *"assistant\n"]
        again = ["<|im_end|>", "<|im_start|>", *"user\n"]
        last = ["<|im_end|>"]
    image = ["<img>", "<IMG_CONTEXT>", "<IMG_CONTEXT>", "</img>"]
    return [*head, *image, *"\nA?", *between, *"12", *again, *"B?", *between, *"no", *last]


@pytest.mark.parametrize(("template", "version"), VARIANTS)
def test_six_variants_token_by_token(template: str, version: str) -> None:
    made = character_tokenizer(template)
    system = VARIANTS[template, version]
    encoded = ConversationEncoder(made, Chat(format=template, system_message=system), 2).encode(
        turns("<image>\nA?", "12", "B?", "no"), [1]
    )
    expected = []
    for token in expected_tokens(template, system):
        whole = made.token_to_id(token) if len(token) > 1 else None
        expected += [whole] if whole is not None else made.encode(token, add_special_tokens=False).ids
    assert list(encoded.input_ids) == expected
    end = "<|end|>" if template == "phi3-chat" else "<|im_end|>"
    assert [text for supervised, text in spoken(made, encoded) if supervised] == [f"12{end}", f"no{end}"]


def test_mask_token_by_token(encoder: ConversationEncoder, tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = encoder.encode(turns("<image>\nA?", "12", "B?", "no"), [1])
    image = "<img>" + "<IMG_CONTEXT>" * TOKENS_PER_TILE + "</img>"
    assert spoken(tokenizer.backend_tokenizer, encoded) == [
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


def test_text_only_and_video(encoder: ConversationEncoder, tokenizer: PreTrainedTokenizerFast) -> None:
    made = tokenizer.backend_tokenizer
    assert spoken(made, encoder.encode(turns("A?", "b"), []))[1] == (True, "b<|im_end|>")
    frames = "".join(f"Frame-{number}: <image>\n" for number in (1, 2, 3))
    encoded = encoder.encode(turns(frames + "A?", "b", "C?", "d"), [1, 1, 1])
    tokens = tokenizer.convert_ids_to_tokens(list(encoded.input_ids))
    assert tokens.count("<IMG_CONTEXT>") == 3 * TOKENS_PER_TILE
    assert [text for supervised, text in spoken(made, encoded) if supervised] == ["b<|im_end|>", "d<|im_end|>"]


@pytest.mark.parametrize("template", CHAT_TOKENS)
@settings(max_examples=60, deadline=None)
@given(
    question=st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    answer=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip),
)
def test_prompt_ids_begin_the_training_ids(template: str, question: str, answer: str) -> None:
    """Whatever stands at the border: blanks, line breaks, combining characters, quoted markers."""
    made = ConversationEncoder(character_tokenizer(template), Chat(format=template), 2)
    conversation = turns(question + " <|im_end|><|end|>", answer)
    whole, prompt = made.encode(conversation, []), made.encode(conversation[:1], [])
    assert whole.input_ids[: len(prompt.input_ids)] == prompt.input_ids
    assert whole.supervised == (False,) * len(prompt.input_ids) + (True,) * (
        len(whole.input_ids) - len(prompt.input_ids)
    )


@pytest.mark.parametrize("template", CHAT_TOKENS)
def test_a_quoted_marker_ends_no_turn(template: str) -> None:
    made = character_tokenizer(template)
    chat = Chat(format=template, system_message=None)
    quoted = "Does <|im_end|>, <|end|>, <s>, <IMG_CONTEXT> or <|endoftext|> end it?"
    encoded = ConversationEncoder(made, chat, 2).encode(turns(quoted, quoted), [])
    plain = ConversationEncoder(made, chat, 2).encode(turns("?", "?"), [])
    special = {token for token, added in made.get_added_tokens_decoder().items() if added.special}
    assert [token for token in encoded.input_ids if token in special] == [
        token for token in plain.input_ids if token in special
    ]
    assert made.decode(list(encoded.input_ids), skip_special_tokens=False).count(quoted) == 2


def test_markup_is_one_token_each(encoder: ConversationEncoder, tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = encoder.encode(turns("<ref>a</ref><box>[[1, 2, 3, 4]]</box><quad></quad><img></img>", "b"), [])
    tokens = tokenizer.convert_ids_to_tokens(list(encoded.input_ids))
    for token in ("<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>", "<img>", "</img>"):
        assert tokens.count(token) == 1


@pytest.mark.parametrize("tile_counts", [[], [1, 1]])
def test_placeholders_and_images_must_match(encoder: ConversationEncoder, tile_counts: list[int]) -> None:
    with pytest.raises(DatasetError, match=f"got 1 and {len(tile_counts)}"):
        encoder.encode(turns("<image>\nA?", "b"), tile_counts)


def test_a_tokenizer_without_the_formats_markers_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    made = ConversationEncoder(tokenizer.backend_tokenizer, Chat(format="phi3-chat"), TOKENS_PER_TILE)
    with pytest.raises(CheckpointError, match=r"<s>, which the chat format phi3-chat needs"):
        made.encode(turns("A?", "b"), [])


def last_index(values: Sequence[int], wanted: int) -> int:
    return len(values) - 1 - list(values)[::-1].index(wanted)


def test_last_image_token(encoder: ConversationEncoder, tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = encoder.encode(turns("<image>\nA?", "b"), [2])
    context = int(tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"))
    assert encoder.last_image_token(encoded.input_ids) == last_index(encoded.input_ids, context)
    assert encoder.last_image_token(encoder.encode(turns("A?", "b"), []).input_ids) == -1


BOS = {"Hermes-2": "", "internlm2-chat": "<s>", "phi3-chat": "<s>"}
END_OF_TEXT = {"Hermes-2": "<|endoftext|>", "internlm2-chat": "</s>", "phi3-chat": "<|endoftext|>"}


@pytest.mark.parametrize("template", CHAT_TOKENS)
def test_a_document_token_by_token(template: str) -> None:
    """By hand: one token a byte; the loss counts text and end, but not the tags, the tiles and the first token."""
    made = character_tokenizer(template)
    encoder = ConversationEncoder(made, Chat(format=template), 2)
    encoded = encoder.encode_document(["A b\n", Mark.IMAGE, "\n c", " d ", Mark.IMAGE, Mark.IMAGE], [1, 2, 1])
    image, two = IMAGE, IMAGE.replace("</img>", "") + "<IMG_CONTEXT><IMG_CONTEXT></img>"
    runs = [
        (False, BOS[template] or "A"),
        (True, "A b\n" if BOS[template] else " b\n"),
        (False, image),
        (True, "\n c d "),
        (False, two + image),
        (True, END_OF_TEXT[template]),
    ]
    assert spoken(made, encoded) == runs


@pytest.mark.parametrize("template", CHAT_TOKENS)
@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), min_size=1, max_size=4),
    ends=st.booleans(),
)
def test_what_the_loss_counts_of_a_document_is_its_text(template: str, texts: list[str], ends: bool) -> None:
    """Blanks around images and special tokens that are written in the text included."""
    made = character_tokenizer(template)
    texts = [f"{text} <s></s><|end|><|endoftext|><img> \n" for text in texts]
    parts = [part for text in texts for part in (Mark.IMAGE, text)]
    encoded = ConversationEncoder(made, Chat(format=template), 2).encode_document(parts, [1] * len(texts), ends=ends)
    counted = [token for token, counts in zip(encoded.input_ids, encoded.supervised, strict=True) if counts]
    if ends:
        assert counted.pop() == made.token_to_id(END_OF_TEXT[template])
    special = set(made.get_added_tokens_decoder())
    assert not special.intersection(counted)
    assert made.decode(counted, skip_special_tokens=False) == "".join(texts)
    assert made.token_to_id("<IMG_CONTEXT>") in encoded.input_ids


def test_the_lengths_of_the_parts_of_a_document_add_up(encoder: ConversationEncoder) -> None:
    texts = ["What colour", " is the square?", "What", " is it?\n"]
    parts = [texts[0], texts[1], Mark.IMAGE, texts[2], texts[3]]
    lengths = [len(encoder.text_ids(text, after_text=after)) for text, after in zip(texts, [0, 1, 0, 1], strict=True)]
    assert len(encoder.encode_document(parts, [3]).input_ids) == sum(lengths) + 3 * TOKENS_PER_TILE + 2 + 1
    assert len(encoder.encode_document(parts, [3], ends=False).input_ids) == sum(lengths) + 3 * TOKENS_PER_TILE + 2


def test_a_document_of_nothing_and_one_whose_images_are_missing(encoder: ConversationEncoder) -> None:
    assert encoder.encode_document([], [], ends=False) == EncodedConversation((), ())
    with pytest.raises(DatasetError, match="got 1 and 0"):
        encoder.encode_document(["a", Mark.IMAGE], [])


def test_phi3_ends_texts_with_its_own_token() -> None:
    """Its tokenizer has Llama's ``</s>`` too, which it never says."""
    made = character_tokenizer("phi3-chat")
    made.add_special_tokens([AddedToken("</s>", special=True, normalized=False, rstrip=True)])
    encoded = ConversationEncoder(made, Chat(format="phi3-chat"), 2).encode_document(["a"], [])
    assert encoded.input_ids[-1] == made.token_to_id("<|endoftext|>")


def test_a_tokenizer_without_an_end_of_text_is_refused() -> None:
    made = character_tokenizer("internlm2-chat")
    other = Tokenizer.from_str(made.to_str().replace("</s>", "</other>"))
    encoder = ConversationEncoder(other, Chat(format="internlm2-chat"), 2)
    with pytest.raises(CheckpointError, match="endoftext"):
        encoder.encode_document(["a"], [])


@pytest.mark.parametrize("template", CHAT_TOKENS)
def test_a_sentencepiece_tokenizer_gives_the_text_back(template: str) -> None:
    """Where a prefix marks the beginning of a word, as Llama's and Phi-3's normaliser does."""
    letters = ["▁", *"abc", *CHAT_TOKENS[template], *ADDED_TOKENS]
    made = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Replace("▁", " ")
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in letters[4:]])
    encoded = ConversationEncoder(made, Chat(format=template), 1).encode_document(["a b", " c", Mark.IMAGE, "a"], [1])
    text = spoken(made, encoded)
    # The prefix stands where a text begins, never where it goes on.
    assert "".join(part for _, part in text) == f"{BOS[template]} a b c{IMAGE_OF_ONE} a{END_OF_TEXT[template]}"


IMAGE_OF_ONE = "<img><IMG_CONTEXT></img>"
