"""The tokenizer of a published InternVL checkpoint, built from its files without the checkpoint's own code.

Its ids are those of the slow tokenizers with which the models were trained (``use_fast=False``): Qwen2's byte-level
BPE (1B), InternLM2's bare SentencePiece model (2B), Phi-3's Llama tokenizer (4B).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.errors import CheckpointError
from domainvl.model.published.json_files import read_object
from domainvl.model.published.sp_model import Prefix, build_tokenizer, read_model
from domainvl.model.stretches import stretch_encoders
from domainvl.model.tokens import ADDED_TOKENS

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer
    from transformers import PreTrainedTokenizerFast

_FAILURE = "Cannot read a tokenizer"
_ACTION = "Download the checkpoint's tokenizer files again"

_CONFIG = "tokenizer_config.json"
_ADDED = "added_tokens.json"
_SPECIAL = "special_tokens_map.json"
_FAST = "tokenizer.json"
_MODEL = "tokenizer.model"
_VOCABULARY = "vocab.json"
_MERGES = "merges.txt"

_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")
_FLAGS = ("lstrip", "rstrip", "normalized", "single_word", "special")

_QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2 divides a text into words (transformers, ``models/qwen2/tokenization_qwen2.py``, PRETOKENIZE_REGEX)."""


def load_published_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a published checkpoint.

    The files of the slow tokenizer decide; ``tokenizer.json`` is used, as it is, only where there are none of them.

    Known differences from the slow tokenizers, none of which a conversation of InternVL meets: the text of a piece
    whose id a special token has taken (InternLM2's ``[UNUSED_TOKEN_145]``) is ordinary text here; the characters
    U+001C to U+001F are no blanks that a token could strip; U+0338 behind a special token of Qwen2 does not undo it.

    Args:
        folder: The checkpoint, with ``tokenizer_config.json`` and the files of one family.

    Returns:
        A tokenizer that ``save_pretrained`` writes whole and ``PreTrainedTokenizerFast.from_pretrained`` reads back.

    Raises:
        CheckpointError: If a file is missing or damaged, files contradict each other, the kind of tokenizer is
            unknown or cannot be reproduced exactly, or InternVL's special tokens are missing.
    """
    config = _read_object(folder / _CONFIG)
    roles = _read_object(folder / _SPECIAL) if (folder / _SPECIAL).is_file() else {}
    named = _named_tokens(folder, roles, config)
    added = _added_tokens(folder, config, named)
    backend = _backend(folder, config, {token_id: token.content for token_id, token in added.items()})
    known = {token.content for token in added.values()}
    for token in named.values():
        if token.content not in known:  # <s> of a folder that lists only the tokens on top of tokenizer.model
            added[_vocabulary_id(folder, backend, token.content)] = token
    if (folder / _MODEL).is_file():
        added = {token_id: _found_in_raw_text(token) for token_id, token in added.items()}
    backend.add_tokens([token for _, token in sorted(added.items())])
    _check(folder, backend, added)
    return _wrap(folder, {**roles, **config}, backend, {token.content: token for token in added.values()})


def _backend(folder: Path, config: Mapping[str, Any], added: Mapping[int, str]) -> Tokenizer:
    if not any((folder / name).is_file() for name in (_MODEL, _VOCABULARY, _MERGES)):
        return _read_fast(folder)
    kind = str(config.get("tokenizer_class")).removesuffix("Fast")
    builders = {"Qwen2Tokenizer": _qwen2, "InternLM2Tokenizer": _internlm2, "LlamaTokenizer": _llama}
    if kind not in builders:
        known = ", ".join(builders)
        raise _error(folder / _CONFIG, f"tokenizer_class must be one of {known}, got {config.get('tokenizer_class')!r}")
    return builders[kind](folder, config, added)


def _read_fast(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    content = json.dumps(_read_object(folder / _FAST))
    try:
        return Tokenizer.from_str(content)
    except Exception as error:  # tokenizers raises nothing narrower
        raise _error(folder / _FAST, f"it must be a file of the tokenizers library: {error}") from error


def _qwen2(folder: Path, _config: Mapping[str, Any], _added: Mapping[int, str]) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocabulary = _read_object(folder / _VOCABULARY)
    if sorted(vocabulary.values(), key=str) != sorted(range(len(vocabulary)), key=str):
        raise _error(folder / _VOCABULARY, f"its ids must be the whole numbers from 0 to {len(vocabulary) - 1}")
    tokenizer = Tokenizer(models.BPE(vocabulary, _merges(folder, vocabulary)))
    tokenizer.normalizer = normalizers.NFC()
    words = pre_tokenizers.Split(Regex(_QWEN2_PATTERN), "isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _merges(folder: Path, vocabulary: Mapping[str, int]) -> list[tuple[str, str]]:
    path = folder / _MERGES
    merges = []
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip() or (number == 1 and line.startswith("#version:")):
            continue
        left, _, right = line.strip().partition(" ")
        if not {left, right, left + right} <= vocabulary.keys():
            raise _error(path, f"line {number} must be two tokens of {_VOCABULARY} that join to a third, got {line!r}")
        merges.append((left, right))
    if not merges:
        raise _error(path, "it must have a pair of tokens on each line, got none")
    return merges


def _internlm2(folder: Path, _config: Mapping[str, Any], added: Mapping[int, str]) -> Tokenizer:
    file = folder / _MODEL
    model = read_model(file)
    return build_tokenizer(file, model, added, _model_prefix(model))


def _llama(folder: Path, config: Mapping[str, Any], added: Mapping[int, str]) -> Tokenizer:
    file = folder / _MODEL
    model = read_model(file)
    prefix = _model_prefix(model)
    if config.get("legacy") is False:  # LlamaTokenizer then switches sentencepiece's own prefix off
        prefix = Prefix.TEXT_START if config.get("add_prefix_space", True) else Prefix.NONE
    return build_tokenizer(file, model, added, prefix)


def _model_prefix(model: Any) -> Prefix:
    return Prefix.EACH_STRETCH if model.normalizer_spec.add_dummy_prefix else Prefix.NONE


def _named_tokens(folder: Path, roles: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, AddedToken]:
    """Return the tokens that have a role, by content; ``special_tokens_map.json`` fills in what the config lacks."""
    from tokenizers import AddedToken

    named: dict[str, AddedToken] = {}
    for name, source in ((_SPECIAL, roles), (_CONFIG, config)):
        for value in (*(source.get(role) for role in _ROLES), *(source.get("additional_special_tokens") or ())):
            if value is None:
                continue
            content = _content(value, folder / name)
            flags = _flags(value) if isinstance(value, dict) else {}
            if flags or content not in named:
                named[content] = AddedToken(content, **{"normalized": False, **flags, "special": True})
    return named


def _flags(entry: Mapping[str, Any]) -> dict[str, bool]:
    return {flag: bool(entry[flag]) for flag in _FLAGS if flag in entry}


def _content(value: Any, path: Path) -> str:
    content = value.get("content") if isinstance(value, dict) else value
    if not isinstance(content, str) or not content:
        raise _error(path, f"a special token must have a text, got {value!r}")
    return content


def _added_tokens(folder: Path, config: Mapping[str, Any], named: Mapping[str, AddedToken]) -> dict[int, AddedToken]:
    """Return the tokens with an id of their own, from the config and from ``added_tokens.json``."""
    from tokenizers import AddedToken

    added: dict[int, AddedToken] = {}
    ids: dict[str, int] = {}
    for key, entry in (config.get("added_tokens_decoder") or {}).items():
        if not key.isdecimal() or not isinstance(entry, dict):
            raise _error(folder / _CONFIG, f"added_tokens_decoder must map ids to tokens, got {key!r}: {entry!r}")
        content = _content(entry, folder / _CONFIG)
        added[int(key)] = AddedToken(content, **_flags(entry))
        if ids.setdefault(content, int(key)) != int(key):
            rule = f"added_tokens_decoder must have a token once, got {content!r} at {ids[content]} and {key}"
            raise _error(folder / _CONFIG, rule)
    path = folder / _ADDED
    for content, token_id in (_read_object(path) if path.is_file() else {}).items():
        if not isinstance(token_id, int):
            raise _error(path, f"it must map tokens to ids, got {content!r}: {token_id!r}")
        other = added.setdefault(token_id, named.get(content, AddedToken(content, normalized=False)))
        if other.content != content or ids.setdefault(content, token_id) != token_id:
            rule = f"{content!r} must have the id that {_CONFIG} gives it, got {token_id}, there {other.content!r}"
            raise _error(path, rule)
    return added


def _found_in_raw_text(token: AddedToken) -> AddedToken:
    """Return a token that is looked for before a prefix is put: so do the slow tokenizers, whatever the flag says."""
    from tokenizers import AddedToken

    return AddedToken(token.content, **{flag: getattr(token, flag) for flag in _FLAGS} | {"normalized": False})


def _vocabulary_id(folder: Path, backend: Tokenizer, content: str) -> int:
    token_id = backend.token_to_id(content)
    if token_id is None:
        raise _error(folder / _CONFIG, f"the special token {content!r} must be in the vocabulary")
    return int(token_id)


def _check(folder: Path, backend: Tokenizer, added: Mapping[int, AddedToken]) -> None:
    _, as_text = stretch_encoders(backend)
    for token_id, token in added.items():
        found = backend.token_to_id(token.content)
        if found != token_id:
            raise _error(
                folder / _CONFIG,
                f"added tokens must follow the vocabulary without a gap, got {token.content!r} at {token_id} "
                f"instead of {found}",
            )
        unknown = token.content == getattr(backend.model, "unk_token", None)  # what any odd character gives
        if not unknown and token_id in as_text.encode(token.content).ids:
            raise _error(folder / _CONFIG, f"{token.content!r} written in a text must not be the special token")
    missing = [token for token in ADDED_TOKENS if token not in _contents(backend)]
    if missing:
        raise _error(folder / _CONFIG, f"it must have InternVL's special tokens, {', '.join(missing)} missing")


def _contents(backend: Tokenizer) -> set[str]:
    return {token.content for token in backend.get_added_tokens_decoder().values()}


def _wrap(
    folder: Path, config: Mapping[str, Any], backend: Tokenizer, added: Mapping[str, AddedToken]
) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    extra: Sequence[Any] = config.get("additional_special_tokens") or ()
    options: dict[str, Any] = {
        role: added[_content(config[role], folder / _CONFIG)] for role in _ROLES if config.get(role) is not None
    }
    for key in ("model_max_length", "clean_up_tokenization_spaces"):
        if key in config:
            options[key] = config[key]
    if (folder / _MODEL).is_file():  # both slow tokenizers add <s> unless told otherwise
        options["add_bos_token"] = config.get("add_bos_token", True)
        options["add_eos_token"] = config.get("add_eos_token", False)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        extra_special_tokens=[added[_content(token, folder / _CONFIG)] for token in extra],
        **options,
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise _error(path, f"the file must be readable: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _error(path, f"it must be UTF-8: {error}") from error


def _read_object(path: Path) -> dict[str, Any]:
    return read_object(path, what=_FAILURE, action=_ACTION)


def _error(where: Path, rule: str) -> CheckpointError:
    return CheckpointError(_FAILURE, where=where, rule=rule, action=_ACTION)
