"""Ids equal to sentencepiece's, to transformers' and to the official slow tokenizers'; typed markers stay text."""

import functools
import io
import itertools
import json
import random
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer, sentencepiece_model_pb2
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

from domainvl.errors import CheckpointError
from domainvl.model.published.tokenizer import load_published_tokenizer
from domainvl.model.stretches import stretch_encoders
from domainvl.model.tokens import ADDED_TOKENS

FRAGMENTS = [
    *["two ships and a pier", "The nodule measures 12.5 mm", "Größe 5 µm, Straße über Öl", "don't, they'LL we've"],
    *[
        "影像中有两艘船",
        "画像には船が二隻あります",
        "في الصورة سفينتان",
        "🚢🛰️👩‍👩‍👧 ✓",
        "e\u0301 a\u0308 o\u0338 \u0301",
    ],
    *[
        "tab\tnew\nline\r\n",
        "   many    spaces  ",
        "\u00a0\u3000\u2003",
        "1234567890 -600 HU [[12, 340]]",
        "def f(x):\n    return x",
    ],
    *[
        "▁ already ▁▁",
        "\x01\x07\x1b\x7f",
        "[UNUSED_TOKEN_1]",
        "[UNUSED_TOKEN_11]",
        "<s></s><unk>",
        "<0x41>",
        "abcbcabca",
        "",
    ],
]
CORPUS = FRAGMENTS + ["".join(parts) for parts in itertools.product(FRAGMENTS, FRAGMENTS)]
MATCHED = ["[UNUSED_TOKEN_1]", "[UNUSED_TOKEN_11]", "[UNUSED_TOKEN_12]", "ab", "abc", "bca", "  ", "▁▁", "\n"]

CHAT = {"<|im_end|>": False, "<|im_start|>": False}
PHI3 = {"<|endoftext|>": True, "<|assistant|>": True, "<|system|>": True, "<|end|>": True, "<|user|>": True}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@functools.cache
def trained(*, dummy: bool = False, byte_fallback: bool = True, matched: bool = False, **options: Any) -> bytes:
    """A small model, trained here."""
    options = {"model_type": "bpe", "vocab_size": 640 if byte_fallback else 300, **options}
    options = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False, **options}
    writer = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(text for text in FRAGMENTS * 3 if text),
        model_writer=writer,
        byte_fallback=byte_fallback,
        add_dummy_prefix=dummy,
        user_defined_symbols=MATCHED if matched else [],
        character_coverage=0.98,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return writer.getvalue()


def model_of(content: bytes) -> Any:
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(content)
    return model


def entry(content: str, *, rstrip: bool = False, special: bool = True) -> dict[str, Any]:
    flags = {"lstrip": False, "normalized": False, "rstrip": rstrip, "single_word": False}
    return {"content": content, **flags, "special": special}


def write_config(folder: Path, kind: str, first_id: int, markers: dict[str, bool], **config: Any) -> dict[str, int]:
    """Write tokenizer_config.json and added_tokens.json; return the added ids."""
    tokens = [*markers, *ADDED_TOKENS]
    ids = {token: first_id + index for index, token in enumerate(tokens)}
    decoder = {str(ids[token]): entry(token, rstrip=markers.get(token, False)) for token in tokens}
    config = {"tokenizer_class": kind, "additional_special_tokens": tokens, "model_max_length": 4096, **config}
    config["added_tokens_decoder"] = {**config.get("added_tokens_decoder", {}), **decoder}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "added_tokens.json").write_text(json.dumps(ids))
    return ids


def write_sp(folder: Path, content: bytes, kind: str, markers: dict[str, bool], **config: Any) -> dict[str, int]:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.model").write_bytes(content)
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    base = {str(index): entry(token) for index, token in enumerate(("<unk>", "<s>", "</s>"))}
    size = SentencePieceProcessor(model_proto=content).get_piece_size()
    ids = write_config(folder, kind, size, markers, **{"added_tokens_decoder": base, **roles, **config})
    return {"<unk>": 0, "<s>": 1, "</s>": 2, **ids}


@functools.cache
def loaded_sp(
    folder: Path, kind: str, *, dummy: bool, matched: bool, byte_fallback: bool = True, legacy: bool = False
) -> tuple[PreTrainedTokenizerFast, Callable[[str], list[int]]]:
    """A tokenizer and its reference."""
    content = trained(dummy=dummy, matched=matched, byte_fallback=byte_fallback)
    markers = CHAT if kind == "InternLM2Tokenizer" else PHI3
    ids = write_sp(folder / f"{kind}-{dummy}-{matched}-{byte_fallback}-{legacy}", content, kind, markers, legacy=legacy)
    tokenizer = load_published_tokenizer(folder / f"{kind}-{dummy}-{matched}-{byte_fallback}-{legacy}")
    by_llama = kind == "LlamaTokenizer" and not legacy
    return tokenizer, functools.partial(reference_ids, content, ids, markers, by_llama)


def reference_ids(
    content: bytes, ids: dict[str, int], markers: dict[str, bool], by_llama: bool, text: str
) -> list[int]:
    """Split at special tokens, strip, and let sentencepiece encode each stretch.

    LlamaTokenizer with legacy false switches sentencepiece's prefix off and puts one before a text that does not
    start with a special token.
    """
    model = model_of(content)
    if by_llama:
        model.normalizer_spec.add_dummy_prefix = False
    processor = SentencePieceProcessor(model_proto=model.SerializeToString())
    parts = [part for part in re.split(f"({'|'.join(map(re.escape, ids))})", text) if part]
    found = [1]
    for index, part in enumerate(parts):
        if part in ids:
            found.append(ids[part])
        else:
            stripped = part.lstrip() if index and markers.get(parts[index - 1]) else part
            found += processor.encode("▁" + part if by_llama and not index else stripped)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


SP_KINDS = [
    pytest.param("InternLM2Tokenizer", {"dummy": False, "matched": False}, id="internlm2"),
    pytest.param("InternLM2Tokenizer", {"dummy": True, "matched": False}, id="internlm2-dummy-prefix"),
    pytest.param("InternLM2Tokenizer", {"dummy": False, "matched": True}, id="internlm2-user-defined"),
    pytest.param("InternLM2Tokenizer", {"dummy": True, "matched": True}, id="internlm2-user-defined-dummy-prefix"),
    pytest.param(
        "InternLM2Tokenizer", {"dummy": True, "matched": True, "byte_fallback": False}, id="internlm2-unknown"
    ),
    pytest.param("LlamaTokenizer", {"dummy": True, "matched": False}, id="phi3"),
    pytest.param("LlamaTokenizer", {"dummy": True, "matched": True}, id="phi3-user-defined"),
    pytest.param("LlamaTokenizer", {"dummy": True, "matched": False, "legacy": True}, id="llama-legacy"),
]


@pytest.mark.parametrize(("kind", "options"), SP_KINDS)
def test_ids_are_those_of_sentencepiece(folder: Path, kind: str, options: dict[str, Any]) -> None:
    tokenizer, reference = loaded_sp(folder, kind, **options)
    texts = [*CORPUS, *with_markers(CHAT if kind == "InternLM2Tokenizer" else PHI3)]
    for text, ids in zip(texts, tokenizer(texts)["input_ids"], strict=True):
        assert ids == reference(text), text


def with_markers(markers: dict[str, bool]) -> list[str]:
    rng = random.Random(0)
    parts = [*FRAGMENTS, *markers, *ADDED_TOKENS, "<s>", " ", "\n", "  ", "x"]
    return ["".join(rng.choices(parts, k=rng.randint(2, 9))) for _ in range(300)]


@pytest.mark.parametrize(("kind", "options"), SP_KINDS)
def test_any_text_has_the_ids_of_sentencepiece(folder: Path, kind: str, options: dict[str, Any]) -> None:
    tokenizer, reference = loaded_sp(folder, kind, **options)
    # U+001C to U+001F are blanks for Python but not for the fast tokenizer, which matters where a marker strips.
    piece = TEXT.map(lambda text: re.sub("[\x1c-\x1f]", "", text)) | st.sampled_from(
        [*FRAGMENTS, *ADDED_TOKENS, "<|end|>", "<|im_end|>"]
    )

    @given(st.lists(piece, max_size=6).map("".join))
    def check(text: str) -> None:
        assert tokenizer(text)["input_ids"] == reference(text)

    check()


def test_runs_and_periods_are_joined_as_sentencepiece_does(folder: Path) -> None:
    tokenizer, reference = loaded_sp(folder, "InternLM2Tokenizer", dummy=False, matched=False)
    words = ["".join(letters) for length in range(1, 8) for letters in itertools.product("a b", repeat=length)]
    for text, ids in zip(words, tokenizer(words)["input_ids"], strict=True):
        assert ids == reference(text), text


@pytest.mark.parametrize(("kind", "options"), SP_KINDS)
def test_what_is_saved_gives_the_same_ids(folder: Path, tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    tokenizer, reference = loaded_sp(folder, kind, **options)
    tokenizer.save_pretrained(tmp_path)
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    plain = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    texts = [*FRAGMENTS, *with_markers(PHI3 | CHAT)]
    for text, ids in zip(texts, again(texts)["input_ids"], strict=True):
        assert ids == plain.encode(text).ids == tokenizer(text)["input_ids"]
    assert again("a", add_special_tokens=False)["input_ids"] == reference("a")[1:]


def test_special_tokens_keep_their_roles_and_flags(folder: Path, tmp_path: Path) -> None:
    write_sp(tmp_path, trained(dummy=True), "LlamaTokenizer", PHI3, legacy=False, eos_token="<|end|>", pad_token=None)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"]["2"] |= {"special": False, "rstrip": True}  # so Phi-3's </s> was published
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    load_published_tokenizer(tmp_path).save_pretrained(tmp_path / "saved")
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path / "saved")
    for token_id, flags in config["added_tokens_decoder"].items():
        token = again.added_tokens_decoder[int(token_id)]
        assert {name: getattr(token, name) for name in flags} == flags
    assert [again.bos_token_id, again.eos_token, again.unk_token_id, again.pad_token] == [1, "<|end|>", 0, None]
    assert again.model_max_length == 4096
    assert set(again.all_special_tokens) == {"<s>", "<unk>", *PHI3, *ADDED_TOKENS}


@pytest.mark.parametrize(("config", "bos"), [({}, [1]), ({"add_bos_token": False}, []), ({"bos_token": None}, [])])
def test_the_start_token_follows_the_config(tmp_path: Path, config: dict[str, Any], bos: list[int]) -> None:
    write_sp(tmp_path, trained(), "InternLM2Tokenizer", CHAT, **config)
    tokenizer = load_published_tokenizer(tmp_path)
    assert tokenizer("pier")["input_ids"] == bos + SentencePieceProcessor(model_proto=trained()).encode("pier")


def test_an_end_token_is_added_where_the_config_says_so(tmp_path: Path) -> None:
    write_sp(tmp_path, trained(), "LlamaTokenizer", PHI3, add_eos_token=True)
    assert load_published_tokenizer(tmp_path)("")["input_ids"] == [1, 2]


@pytest.mark.parametrize(("kind", "options"), SP_KINDS)
def test_stretches_have_the_ids_of_the_whole_text(folder: Path, kind: str, options: dict[str, Any]) -> None:
    tokenizer, _ = loaded_sp(folder, kind, **options)
    after_special, continuing = stretch_encoders(tokenizer.backend_tokenizer)
    model = model_of(trained(**{key: value for key, value in options.items() if key != "legacy"}))
    model.normalizer_spec.add_dummy_prefix = False
    processor = SentencePieceProcessor(model_proto=model.SerializeToString())
    for text in FRAGMENTS:
        if "<s>" not in text:
            whole = tokenizer(f"<img>{text}")["input_ids"]
            assert whole == [1, tokenizer.convert_tokens_to_ids("<img>"), *after_special.encode(text).ids], text
        assert continuing.encode(text).ids == processor.encode(text), text
        if options.get("byte_fallback", True) and "▁" not in text:
            assert after_special.decode(after_special.encode(text).ids) == text
            assert continuing.decode(continuing.encode(text).ids) == text


@pytest.mark.parametrize(("kind", "options"), SP_KINDS)
def test_a_special_token_typed_as_text_stays_text(folder: Path, kind: str, options: dict[str, Any]) -> None:
    tokenizer, _ = loaded_sp(folder, kind, **options)
    special = set(tokenizer.get_added_vocab().values()) - {tokenizer.unk_token_id}
    assert len(special) > 10
    for encoder, text in itertools.product(stretch_encoders(tokenizer.backend_tokenizer), tokenizer.get_added_vocab()):
        for typed in (text, f"a {text} b", text * 2):
            ids = encoder.encode(typed).ids
            assert not special & set(ids), typed
            if options.get("byte_fallback", True):
                assert encoder.decode(ids, skip_special_tokens=False) == typed


def test_stretch_encoders_read_a_token_that_is_not_special_as_text_too(tmp_path: Path) -> None:
    write_sp(tmp_path, trained(), "InternLM2Tokenizer", CHAT)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"]["2"]["special"] = False
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"eos_token": None, "pad_token": None}))
    tokenizer = load_published_tokenizer(tmp_path)
    assert tokenizer("</s>")["input_ids"] == [1, 2]
    assert all(2 not in encoder.encode("</s>").ids for encoder in stretch_encoders(tokenizer.backend_tokenizer))


def test_stretch_encoders_leave_the_tokenizer_as_it_is(folder: Path) -> None:
    tokenizer, reference = loaded_sp(folder, "InternLM2Tokenizer", dummy=True, matched=True)
    before = tokenizer.backend_tokenizer.to_str()
    stretch_encoders(tokenizer.backend_tokenizer)
    assert tokenizer.backend_tokenizer.to_str() == before
    assert tokenizer("a<|im_end|>")["input_ids"] == reference("a<|im_end|>")


def test_text_survives_decoding(folder: Path) -> None:
    for kind, dummy in (("InternLM2Tokenizer", True), ("InternLM2Tokenizer", False), ("LlamaTokenizer", True)):
        tokenizer, _ = loaded_sp(folder, kind, dummy=dummy, matched=False)
        for text in FRAGMENTS:
            if "▁" not in text and "<s>" not in text:
                assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


def test_a_special_token_may_be_a_user_defined_piece(tmp_path: Path) -> None:
    content = trained(matched=True)
    place = [piece.piece for piece in model_of(content).pieces].index("[UNUSED_TOKEN_11]")
    write_sp(
        tmp_path, content, "InternLM2Tokenizer", CHAT, added_tokens_decoder={str(place): entry("[UNUSED_TOKEN_11]")}
    )
    tokenizer = load_published_tokenizer(tmp_path)
    assert tokenizer("[UNUSED_TOKEN_11]")["input_ids"] == [1, place]
    for encoder in stretch_encoders(tokenizer.backend_tokenizer):
        assert place not in encoder.encode("[UNUSED_TOKEN_11]").ids


def test_a_special_token_takes_the_place_of_a_piece(tmp_path: Path) -> None:
    content = trained(matched=True)
    names = [piece.piece for piece in model_of(content).pieces]
    place = names.index("[UNUSED_TOKEN_11]")
    base = {str(index): entry(token) for index, token in enumerate(("<unk>", "<s>", "</s>"))}
    decoder = {**base, str(place): entry("<|plugin|>")}
    write_sp(tmp_path, content, "InternLM2Tokenizer", CHAT, added_tokens_decoder=decoder)
    tokenizer = load_published_tokenizer(tmp_path)
    assert len(tokenizer) == len(names) + len(CHAT) + len(ADDED_TOKENS)
    assert tokenizer("<|plugin|>")["input_ids"] == [1, place]
    assert tokenizer("[UNUSED_TOKEN_1][UNUSED_TOKEN_12]")["input_ids"][1:] == [
        names.index("[UNUSED_TOKEN_1]"),
        names.index("[UNUSED_TOKEN_12]"),
    ]
    for text in ("[UNUSED_TOKEN_11]", "<|plugin|>"):
        assert all(place not in encoder.encode(text).ids for encoder in stretch_encoders(tokenizer.backend_tokenizer))
    assert place not in tokenizer("[UNUSED_TOKEN_11]")["input_ids"]


def test_a_token_marked_normalized_is_found_in_the_raw_text(tmp_path: Path) -> None:
    ids = write_sp(tmp_path, trained(dummy=True), "InternLM2Tokenizer", CHAT)
    changed_token("<img>", normalized=True)(tmp_path)
    tokenizer = load_published_tokenizer(tmp_path)
    for text in ("<img>", "a<img>b", " <img> "):
        assert tokenizer(text)["input_ids"] == reference_ids(trained(dummy=True), ids, CHAT, False, text)


@pytest.mark.parametrize("flags_in_config", [False, True])
def test_a_folder_without_added_tokens_decoder(tmp_path: Path, flags_in_config: bool) -> None:
    ids = write_sp(tmp_path, trained(dummy=True), "LlamaTokenizer", PHI3, legacy=False)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del config["added_tokens_decoder"], config["additional_special_tokens"], config["bos_token"]
    tokens: list[Any] = [*PHI3, *ADDED_TOKENS]
    entries = [entry(token, rstrip=PHI3.get(token, False)) for token in tokens]
    named, flagged = (tokens, entries) if flags_in_config else (entries, None)
    roles = {"bos_token": {"content": "<s>"}, "additional_special_tokens": named}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(roles))
    config |= {"additional_special_tokens": flagged} if flagged else {}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_published_tokenizer(tmp_path)
    for text in with_markers(PHI3):
        assert tokenizer(text)["input_ids"] == reference_ids(trained(dummy=True), ids, PHI3, True, text), text


# Qwen2


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen2")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(FRAGMENTS * 3, trainer)
    tokenizer.model.save(str(folder))
    markers = {"<|endoftext|>": False, "<|im_start|>": False, "<|im_end|>": False}
    roles = {"bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    write_config(folder, "Qwen2Tokenizer", tokenizer.get_vocab_size(), markers, **roles)
    return folder


QWEN2_TEXTS = [*CORPUS, *with_markers({"<|endoftext|>": False, **CHAT})]


def test_qwen2_ids_are_those_of_transformers(qwen2: Path) -> None:
    tokenizer = load_published_tokenizer(qwen2)
    official = Qwen2Tokenizer(str(qwen2 / "vocab.json"), str(qwen2 / "merges.txt"))
    official.add_tokens([token for _, token in sorted(tokenizer.added_tokens_decoder.items())])
    assert official.get_vocab() == tokenizer.get_vocab()
    assert tokenizer(QWEN2_TEXTS)["input_ids"] == official(QWEN2_TEXTS)["input_ids"]


def test_qwen2_ids_are_those_of_the_definition(qwen2: Path, tmp_path: Path) -> None:
    """Byte-level BPE written out: NFC, words, bytes as characters, always the pair of the lowest rank."""
    vocabulary = json.loads((qwen2 / "vocab.json").read_text())
    lines = (qwen2 / "merges.txt").read_text().splitlines()[1:]
    ranks = {tuple(line.split(" ")): rank for rank, line in enumerate(lines)}
    added = json.loads((qwen2 / "added_tokens.json").read_text())
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    word = regex.compile(
        r"'(?i:s|t|re|ve|m|ll|d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )

    def encode(text: str) -> list[int]:
        ids = []
        for part in re.split(f"({'|'.join(map(re.escape, added))})", unicodedata.normalize("NFC", text)):
            if part in added:
                ids.append(added[part])
                continue
            for match in word.findall(part):
                symbols = [letters[byte] for byte in match.encode()]
                while pairs := [pair for pair in itertools.pairwise(symbols) if pair in ranks]:
                    best = min(pairs, key=ranks.__getitem__)
                    index = list(itertools.pairwise(symbols)).index(best)
                    symbols[index : index + 2] = ["".join(best)]
                ids += [vocabulary[symbol] for symbol in symbols]
        return ids

    tokenizer = load_published_tokenizer(qwen2)
    tokenizer.save_pretrained(tmp_path)
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    for text, ids, saved in zip(
        QWEN2_TEXTS, tokenizer(QWEN2_TEXTS)["input_ids"], again(QWEN2_TEXTS)["input_ids"], strict=True
    ):
        assert ids == saved == encode(text), text

    @given(st.lists(TEXT | st.sampled_from(FRAGMENTS), max_size=5).map("".join))
    def check(text: str) -> None:
        assert tokenizer(text)["input_ids"] == encode(text)

    check()
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (None, "<|im_end|>", "<|endoftext|>")


def test_qwen2_stretches(qwen2: Path) -> None:
    tokenizer = load_published_tokenizer(qwen2)
    image = tokenizer.convert_tokens_to_ids("<img>")
    for encoder in stretch_encoders(tokenizer.backend_tokenizer):
        for text in FRAGMENTS:
            assert tokenizer(f"<img>{text}")["input_ids"] == [image, *encoder.encode(text).ids]
        for typed in tokenizer.get_added_vocab():
            ids = encoder.encode(typed).ids
            assert not set(ids) & set(tokenizer.get_added_vocab().values())
            assert encoder.decode(ids, skip_special_tokens=False) == typed


def test_a_special_token_that_text_could_spell_is_refused(qwen2: Path, tmp_path: Path) -> None:
    for path in qwen2.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    vocabulary = json.loads((qwen2 / "vocab.json").read_text())
    word = max((token for token in vocabulary if token.isascii() and token.isalpha()), key=len)
    config = json.loads((qwen2 / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"][str(vocabulary[word])] = entry(word)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"'{word}' written in a text must not be the special token"):
        load_published_tokenizer(tmp_path)


def test_a_lone_tokenizer_json_is_used_as_it_is(qwen2: Path, tmp_path: Path) -> None:
    tokenizer = load_published_tokenizer(qwen2)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_bytes((qwen2 / "tokenizer_config.json").read_bytes())
    again = load_published_tokenizer(tmp_path)
    assert again(QWEN2_TEXTS)["input_ids"] == tokenizer(QWEN2_TEXTS)["input_ids"]
    assert again.eos_token == "<|im_end|>"


def test_the_slow_files_decide_over_tokenizer_json(qwen2: Path, tmp_path: Path) -> None:
    for path in qwen2.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "tokenizer.json").write_text("damaged")
    assert load_published_tokenizer(tmp_path).get_vocab() == load_published_tokenizer(qwen2).get_vocab()


# What is refused


def changed_config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def changed_token(token: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "tokenizer_config.json"
        config = json.loads(path.read_text())
        for entry in config["added_tokens_decoder"].values():
            if entry["content"] == token:
                entry.update(changes)
        path.write_text(json.dumps(config))

    return change


def without_token(token: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in ("tokenizer_config.json", "added_tokens.json"):
            content = json.loads((folder / name).read_text())
            content.pop(token, None)
            for entries in (content.get("added_tokens_decoder", {}),):
                for key in [key for key, value in entries.items() if value["content"] == token]:
                    del entries[key]
            if "additional_special_tokens" in content:
                content["additional_special_tokens"].remove(token)
            (folder / name).write_text(json.dumps(content))

    return change


def content_of(name: str, content: bytes | str) -> Callable[[Path], None]:
    return lambda folder: (
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode()) and None
    )


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size]) and None


def added_ids(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "added_tokens.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def without_normalizer(folder: Path) -> None:
    model = model_of(trained())
    model.ClearField("normalizer_spec")
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())


ANY_DAMAGE = [
    (removed("tokenizer_config.json"), "tokenizer_config.json: the file must be readable"),
    (content_of("tokenizer_config.json", "{"), "tokenizer_config.json: it must be JSON"),
    (content_of("tokenizer_config.json", "[]"), "tokenizer_config.json: it must be a JSON object, got list"),
    (content_of("tokenizer_config.json", b"\xff"), "tokenizer_config.json: it must be UTF-8"),
    (content_of("added_tokens.json", "{"), "added_tokens.json: it must be JSON"),
    (
        added_ids(**{"<img>": 7}),
        "added_tokens.json: '<img>' must have the id that tokenizer_config.json gives it, got 7",
    ),
    (added_ids(**{"<more>": 5000}), "'<more>' at 5000"),
    (added_ids(**{"<img>": "x"}), "added_tokens.json: it must map tokens to ids, got '<img>': 'x'"),
    (changed_config(tokenizer_class="BertTokenizer"), "tokenizer_class must be one of .*, got 'BertTokenizer'"),
    (changed_config(added_tokens_decoder={"x": {}}), "added_tokens_decoder must map ids to tokens, got 'x'"),
    (changed_config(eos_token=5), "a special token must have a text, got 5"),
    (changed_config(eos_token="<none>"), "the special token '<none>' must be in the vocabulary"),
    (changed_token("<img>", content="</img>"), "added_tokens_decoder must have a token once, got '</img>'"),
    (without_token("</box>"), "InternVL's special tokens, </box> missing"),
    (without_token("<quad>"), "added tokens must follow the vocabulary without a gap"),
]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        *ANY_DAMAGE,
        (removed("vocab.json"), "vocab.json: the file must be readable"),
        (removed("merges.txt"), "merges.txt: the file must be readable"),
        (content_of("vocab.json", "{"), "vocab.json: it must be JSON"),
        (content_of("vocab.json", '{"a": 1}'), "vocab.json: its ids must be the whole numbers from 0 to 0"),
        (content_of("vocab.json", '{"a": "0"}'), "vocab.json: its ids must be the whole numbers from 0 to 0"),
        (content_of("merges.txt", "#version: 0.2\n"), "merges.txt: it must have a pair"),
        (content_of("merges.txt", "#version: 0.2\na b c"), "merges.txt: line 2 must be two tokens"),
        (content_of("merges.txt", "a\n"), "merges.txt: line 1 must be two tokens"),
    ],
)
def test_damaged_qwen2_files(qwen2: Path, tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    for path in qwen2.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    load_published_tokenizer(tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        load_published_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        *ANY_DAMAGE,
        (removed("tokenizer.model"), "tokenizer.json: the file must be readable"),
        (cut("tokenizer.model", -100), "tokenizer.model: it must be a whole SentencePiece model"),
        (cut("tokenizer.model", 3000), "tokenizer.model: it must be a whole SentencePiece model"),
        (without_normalizer, "tokenizer.model: it must be a whole SentencePiece model"),
        (content_of("tokenizer.model", b""), "tokenizer.model: it must be a whole SentencePiece model"),
        (content_of("tokenizer.model", "version https://git-lfs"), "tokenizer.model: it must be a whole SentencePiece"),
        (changed_token("<img>", content="pier"), "'pier'"),
    ],
)
def test_damaged_sentencepiece_files(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    write_sp(tmp_path, trained(), "InternLM2Tokenizer", CHAT)
    load_published_tokenizer(tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        load_published_tokenizer(tmp_path)


def test_a_damaged_tokenizer_json(tmp_path: Path) -> None:
    write_config(tmp_path, "Qwen2Tokenizer", 0, CHAT)
    for content, message in (("{", "it must be JSON"), ("{}", "it must be a file of the tokenizers library")):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(CheckpointError, match=f"tokenizer.json: {message}"):
            load_published_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "unigram"}, "trainer_spec.model_type must be BPE, got UNIGRAM"),
        ({"treat_whitespace_as_suffix": True}, "trainer_spec.treat_whitespace_as_suffix must be False, got True"),
        ({"remove_extra_whitespaces": True}, "normalizer_spec.remove_extra_whitespaces must be False, got True"),
        ({"normalization_rule_name": "nfkc"}, "normalizer_spec.precompiled_charsmap must be empty .* 'nfkc'"),
    ],
)
def test_kinds_that_cannot_be_reproduced(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    write_sp(tmp_path, trained(**options), "InternLM2Tokenizer", CHAT)
    with pytest.raises(CheckpointError, match=f"tokenizer.model: {message}"):
        load_published_tokenizer(tmp_path)


def made(*pieces: tuple[str, float, int]) -> bytes:
    """A model of these pieces (text, score, type) besides the usual first ones."""
    model = model_of(trained())
    del model.pieces[3:]
    model.trainer_spec.byte_fallback = False
    for piece, score, kind in pieces:
        model.pieces.add(piece=piece, score=score, type=kind)
    return bytes(model.SerializeToString())


LETTERS = [(letter, -100.0 - index, 1) for index, letter in enumerate("▁abcdefghijklmnopqrstuvwxyz")]


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (
            [("ab", -1.0, 1), ("bc", -1.0, 1)],
            "pieces that compete must differ in score, got -1 for 'ab', 'bc'",
        ),
        ([("ab", -5.0, 1), ("bab", -3.0, 1), ("xy", -5.0, 1)], "pieces that compete .*, got -5 for 'ab', 'xy'"),
        ([("▁▁", -1.0, 1), ("▁▁▁", -9.0, 1), ("▁▁▁▁", -9.0, 1)], "pieces that compete .*, got -9 for '▁▁▁', '▁▁▁▁'"),
        ([("ab", -1.0, 5), ("abc", -2.0, 1)], "pieces of type UNUSED must not come about by joining, got 'ab'"),
        ([("é", -9.0, 3), ("eé", -1.0, 1)], "'é' must have the ids .* of sentencepiece"),
        ([("öü", -1.0, 1)], "'öü' must have the ids .* of sentencepiece"),
    ],
)
def test_pieces_that_cannot_be_reproduced(tmp_path: Path, pieces: list[tuple[str, float, int]], message: str) -> None:
    write_sp(tmp_path, made(*LETTERS, *pieces), "InternLM2Tokenizer", CHAT)
    with pytest.raises(CheckpointError, match=f"tokenizer.model: {message}"):
        load_published_tokenizer(tmp_path)


def test_equal_scores_that_do_not_compete(tmp_path: Path) -> None:
    content = made(*LETTERS, ("ab", -1.0, 1), ("cd", -1.0, 1), ("qqq", -1.0, 5), ("xy", -3.0, 4))
    write_sp(tmp_path, content, "InternLM2Tokenizer", CHAT)
    processor = SentencePieceProcessor(model_proto=content)
    for text in ("abcd", "cdab", "acdb", "xxyy", "qqq"):
        assert load_published_tokenizer(tmp_path)(text)["input_ids"] == [1, *processor.encode(text)]


def test_pieces_spelt_out_inside_pieces_spelt_out(tmp_path: Path) -> None:
    content = made(*LETTERS, ("bc", 0.0, 3), ("abc", 0.0, 3), ("xabc", 0.0, 3), ("yz", 0.0, 4))
    write_sp(tmp_path, content, "InternLM2Tokenizer", CHAT)
    processor = SentencePieceProcessor(model_proto=content)
    tokenizer = load_published_tokenizer(tmp_path)
    for text in ("bc", "abc", "xabc", "yzxabc", "xabcyz", "yzbcyz"):
        assert tokenizer(text)["input_ids"] == [1, *processor.encode(text)], text


def test_runs_of_blanks_of_one_score(tmp_path: Path) -> None:
    """So are Llama's runs of 2 to 16 blanks: all -1e9, of which sentencepiece joins the leftmost."""
    for lengths in (range(2, 17), (2, 4, 8), (2, 3, 5, 6)):
        content = made(*LETTERS, ("▁a", -1.0, 1), *(("▁" * length, -1e9, 1) for length in lengths))
        write_sp(tmp_path, content, "InternLM2Tokenizer", CHAT)
        tokenizer, processor = load_published_tokenizer(tmp_path), SentencePieceProcessor(model_proto=content)
        for text in (f"{before}{' ' * count}{after}" for count in range(40) for before in "b " for after in " ab"):
            assert tokenizer(text)["input_ids"] == [1, *processor.encode(text)], text


@pytest.mark.parametrize("place", [("ab", 30), ("a", 4)])
def test_a_special_token_in_the_place_of_ordinary_text(tmp_path: Path, place: tuple[str, int]) -> None:
    content = made(*LETTERS, ("ab", -1.0, 1))
    assert model_of(content).pieces[place[1]].piece == place[0]
    write_sp(tmp_path, content, "InternLM2Tokenizer", CHAT, added_tokens_decoder={str(place[1]): entry("<|x|>")})
    with pytest.raises(CheckpointError, match=f"id {place[1]} must mean one thing, got the piece '{place[0]}'"):
        load_published_tokenizer(tmp_path)


def test_a_piece_that_is_a_special_token_is_not_reached_by_joining(tmp_path: Path) -> None:
    content = made(*LETTERS, ("ab", -1.0, 1), ("abc", -2.0, 1), ("cde", -3.0, 1), ("de", -2.5, 1))
    ids = {piece.piece: index for index, piece in enumerate(model_of(content).pieces)}
    write_sp(tmp_path, content, "InternLM2Tokenizer", CHAT, added_tokens_decoder={str(ids["abc"]): entry("abc")})
    tokenizer = load_published_tokenizer(tmp_path)
    assert tokenizer("abc")["input_ids"] == [1, ids["abc"]]
    for encoder in stretch_encoders(tokenizer.backend_tokenizer):
        assert encoder.encode("abcde").ids == [ids["ab"], ids["cde"]]


# The official code's own outputs


@pytest.mark.parametrize("size", ["1b", "2b", "4b"])
def test_golden_samples(golden: Path, size: str) -> None:
    folder = golden / "checkpoints" / f"internvl2-{size}"
    tokenizer = load_published_tokenizer(folder)
    for sample in json.loads((folder / "tokenizer_samples.json").read_text()):
        assert tokenizer(sample["text"])["input_ids"] == sample["ids"]


SYSTEM = "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"


def serialised(conversation: dict[str, Any], size: str) -> str:
    """The official text: mini-internvl.md section 3.5; the InternLM2 path strips the text of turns (3.6)."""
    tiles = iter(conversation["tiles"])
    end = "<|end|>" if size == "4b" else "<|im_end|>"
    header = (lambda role: f"<|{role}|>\n") if size == "4b" else (lambda role: f"<|im_start|>{role}\n")
    text = f"{header('system')}{SYSTEM}{end}"
    for turn in conversation["conversations"]:
        value = turn["value"].strip() if size == "2b" else turn["value"]
        while "<image>" in value:
            value = value.replace("<image>", f"<img>{'<IMG_CONTEXT>' * 16 * next(tiles)}</img>", 1)
        text += header("user" if turn["from"] == "human" else "assistant") + value + end
    return text


@pytest.mark.parametrize("size", ["1b", "2b", "4b"])
def test_golden_conversations(golden: Path, size: str) -> None:
    folder = golden / "checkpoints" / f"internvl2-{size}"
    tokenizer = load_published_tokenizer(folder)
    after_special, _ = stretch_encoders(tokenizer.backend_tokenizer)
    tokens = {token.content: (token_id, token.rstrip) for token_id, token in tokenizer.added_tokens_decoder.items()}
    conversations = json.loads((folder / "conversations.json").read_text())
    assert len(conversations) == 7
    for conversation in conversations:
        text = serialised(conversation, size)
        assert size != "1b" or text == conversation["text"]
        assert tokenizer(text)["input_ids"] == conversation["input_ids"]
        ids = [] if size == "1b" else [1]
        strips = False
        for part in filter(None, re.split(f"({'|'.join(map(re.escape, tokens))})", text)):
            ids += [tokens[part][0]] if part in tokens else after_special.encode(part.lstrip() if strips else part).ids
            strips = part in tokens and tokens[part][1]
        assert ids == conversation["input_ids"]


@pytest.mark.parametrize("size", ["1b", "2b", "4b"])
def test_golden_text_that_goes_on(golden: Path, size: str) -> None:
    """A header that ends in a line break and the answer behind it, apart: the ids of both together."""
    tokenizer = load_published_tokenizer(golden / "checkpoints" / f"internvl2-{size}")
    after_special, continuing = stretch_encoders(tokenizer.backend_tokenizer)
    start = "<img>" if size == "4b" else "<|im_start|>"
    bos = [] if size == "1b" else [1]
    for text in ("two ships", "影像", "  "):
        apart = [*after_special.encode("assistant\n").ids, *continuing.encode(text).ids]
        together = tokenizer(f"{start}assistant\n{text}")["input_ids"]
        assert together == [*bos, tokenizer.convert_tokens_to_ids(start), *apart]
