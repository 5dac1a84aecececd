"""A SentencePiece BPE model as a fast tokenizer with the same ids.

What cannot be reproduced exactly is refused, and what was built is compared with sentencepiece before it is
handed out: a tokenizer that is nearly right trains and answers on other ids than the published model, silently.

Types, fields and the meaning of scores: sentencepiece, ``src/sentencepiece_model.proto`` and ``src/bpe_model.cc``.
"""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

SPACE = "▁"
"""How SentencePiece writes a blank inside pieces (U+2581)."""

_NORMAL, _UNKNOWN, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 4, 5, 6  # ModelProto.SentencePiece.Type
_BPE = 2  # TrainerSpec.ModelType


class Prefix(enum.Enum):
    """Where a tokenizer puts a blank that the text does not have."""

    NONE = enum.auto()
    EACH_STRETCH = enum.auto()
    """Before each stretch of text between special tokens: sentencepiece's own dummy prefix."""
    TEXT_START = enum.auto()
    """Only before a text that does not start with a special token: LlamaTokenizer with ``legacy`` false."""


def read_model(file: Path) -> Any:
    """Read a SentencePiece model that can be reproduced exactly.

    Args:
        file: The ``tokenizer.model``.

    Returns:
        The ``ModelProto``.

    Raises:
        CheckpointError: If the file is missing, damaged or no SentencePiece model, or of a kind that is not supported.
    """
    from google.protobuf.message import DecodeError
    from sentencepiece import SentencePieceProcessor

    model = _empty_model()
    try:
        content = file.read_bytes()
        model.ParseFromString(content)
        if not (model.pieces and model.HasField("trainer_spec") and model.HasField("normalizer_spec")):
            raise ValueError("it has no pieces, trainer_spec or normalizer_spec")
        SentencePieceProcessor(model_proto=content)
    except (OSError, DecodeError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            "Cannot read a tokenizer",
            where=file,
            rule=f"it must be a whole SentencePiece model: {error}",
            action="Download the file again",
        ) from error
    _refuse_other_kinds(file, model)
    return model


def _empty_model() -> Any:
    from sentencepiece import sentencepiece_model_pb2

    return sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]


def _refuse_other_kinds(file: Path, model: Any) -> None:
    kinds = model.trainer_spec.ModelType
    supported = [
        ("trainer_spec.model_type", kinds.Name(model.trainer_spec.model_type), kinds.Name(_BPE)),
        ("trainer_spec.treat_whitespace_as_suffix", model.trainer_spec.treat_whitespace_as_suffix, False),
        ("normalizer_spec.remove_extra_whitespaces", model.normalizer_spec.remove_extra_whitespaces, False),
        ("normalizer_spec.escape_whitespaces", model.normalizer_spec.escape_whitespaces, True),
    ]
    for field, value, wanted in supported:
        if value != wanted:
            raise _unsupported(file, f"{field} must be {wanted}, got {value}")
    if model.normalizer_spec.precompiled_charsmap:
        name = model.normalizer_spec.name
        raise _unsupported(file, f"normalizer_spec.precompiled_charsmap must be empty (identity), got that of {name!r}")


def build_tokenizer(file: Path, model: Any, added: Mapping[int, str], prefix: Prefix) -> Tokenizer:
    """Build the tokenizer of a model's pieces; special tokens are not added yet.

    Args:
        file: Where the model comes from, for messages.
        model: The model, from :func:`read_model`.
        added: Special tokens by id. One that has the id of a piece takes its place: the text of that piece no
            longer gives this id. InternLM2 names unused pieces so (92542 ``[UNUSED_TOKEN_145]`` is ``<|im_end|>``).
        prefix: Where a blank is put.

    Raises:
        CheckpointError: If ids contradict each other or the pieces cannot be reproduced exactly.
    """
    from tokenizers import Tokenizer, models

    vocabulary = _vocabulary(file, model, added)
    special = {model.pieces[token_id].piece for token_id in added if token_id < len(model.pieces)}
    special |= set(added.values())
    merges = _merges(file, model, special)
    _refuse_reachable(file, model, added)
    matched = [p.piece for p in model.pieces if p.type == _USER_DEFINED and p.piece not in special]
    unknown = next(index for index, piece in enumerate(model.pieces) if piece.type == _UNKNOWN)
    options: dict[str, Any] = {
        "unk_token": added.get(unknown, model.pieces[unknown].piece),
        "fuse_unk": True,  # sentencepiece writes a run of unknown characters as one
        "byte_fallback": model.trainer_spec.byte_fallback,
    }
    splits = []
    if matched:
        splits = [_split_off(matched), *_lookup_guards(models.BPE(vocabulary, merges, **options), vocabulary, matched)]
        options["ignore_merges"] = True
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, **options))
    _set_pipeline(tokenizer, Prefix.NONE, splits)
    _compare_with_sentencepiece(file, model, tokenizer, special)
    _set_pipeline(tokenizer, prefix, splits)
    return tokenizer


def _vocabulary(file: Path, model: Any, added: Mapping[int, str]) -> dict[str, int]:
    names = {index: piece.piece for index, piece in enumerate(model.pieces)}
    names |= {token_id: token for token_id, token in added.items() if token_id < len(names)}
    vocabulary: dict[str, int] = {}
    for token_id, name in [*names.items(), *((i, token) for i, token in added.items() if i not in names)]:
        if vocabulary.setdefault(name, token_id) != token_id:
            rule = f"a token must have one id, got {vocabulary[name]} and {token_id} for {name!r}"
            raise CheckpointError("Cannot read a tokenizer", where=file, rule=rule)
    return {name: token_id for name, token_id in vocabulary.items() if token_id in names}


def _merges(file: Path, model: Any, special: set[str]) -> list[tuple[str, str]]:
    """Return the pairs that may be joined, the best first.

    sentencepiece joins the two neighbours whose joined text is the piece of the best score, of equal ones the
    leftmost. A piece that is a special token never comes about in text, so nothing may be joined to it.
    """
    scores = {p.piece: p.score for p in model.pieces if p.type == _NORMAL and p.piece not in special}
    pairs = [(scores[piece], left, right) for piece in scores for left, right in _cuts(piece, scores)]
    # Of one score, the longest result first: so a run of blanks grows from its left end, as it does where the
    # leftmost pair counts (Llama's runs of 2 to 16 blanks all score -1e9). Of one result, the longer left part.
    pairs.sort(key=lambda pair: (-pair[0], -len(pair[1] + pair[2])))
    _refuse_ties(file, scores, pairs)
    for piece in model.pieces:
        if piece.type == _UNUSED and piece.piece not in special and any(_cuts(piece.piece, scores)):
            raise _unsupported(file, f"pieces of type UNUSED must not come about by joining, got {piece.piece!r}")
    return [(left, right) for _, left, right in pairs]


def _cuts(piece: str, symbols: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for cut in range(len(piece) - 1, 0, -1):
        if piece[:cut] in symbols and piece[cut:] in symbols:
            yield piece[:cut], piece[cut:]


def _refuse_ties(file: Path, scores: Mapping[str, float], pairs: list[tuple[float, str, str]]) -> None:
    """Refuse different pieces of one score where it matters that sentencepiece joins the leftmost first.

    It does not among runs of one character that all score the same, nor where none of their parts can be the other's
    and no joined piece has a better score than its parts.
    """
    joined = {left + right for _, left, right in pairs}
    run_scores: dict[str, set[float]] = {}
    for piece in joined:
        if len(set(piece)) == 1:
            run_scores.setdefault(piece[0], set()).add(scores[piece])
    ordered = all(score <= scores[part] for score, *parts in pairs for part in parts if part in joined)
    for score, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
        tied = [(left, right) for _, left, right in group]
        ending: dict[str, set[str]] = {}
        for left, right in tied:
            ending.setdefault(right if ordered else "", set()).add(left + right)
        for left, right in tied:
            runs = len(set(left + right)) == len(run_scores.get(left[0], ())) == 1
            others = ending.get(left if ordered else "", set()) - {left + right}
            if any(not runs or set(other) != {left[0]} for other in others):
                names = ", ".join(map(repr, sorted({*others, left + right})[:3]))
                raise _unsupported(file, f"pieces that compete must differ in score, got {score:g} for {names}")


def _refuse_reachable(file: Path, model: Any, added: Mapping[int, str]) -> None:
    """Refuse a special token in the place of a piece that ordinary text gives."""
    normal = {piece.piece: piece.score for piece in model.pieces if piece.type == _NORMAL}
    for token_id, token in added.items():
        old = model.pieces[token_id] if token_id < len(model.pieces) else None
        if old is None or old.piece == token:
            continue
        reachable = old.type == _NORMAL and (len(old.piece) == 1 or any(_cuts(old.piece, normal)))
        if reachable or old.type == _BYTE:
            rule = f"id {token_id} must mean one thing, got the piece {old.piece!r} and the added token {token!r}"
            raise CheckpointError("Cannot read a tokenizer", where=file, rule=rule)


def _exactly(text: str) -> str:
    return "".join(f"\\x{{{ord(character):X}}}" for character in text)


def _split_off(pieces: Iterable[str]) -> Any:
    """Take user-defined pieces out of the text first, of several at one place the longest."""
    from tokenizers import Regex, pre_tokenizers

    longest_first = sorted(pieces, key=lambda piece: (-len(piece), piece))
    return pre_tokenizers.Split(Regex("|".join(map(_exactly, longest_first))), "isolated")


def _lookup_guards(bpe: BPE, vocabulary: Mapping[str, int], matched: Iterable[str]) -> list[Any]:
    r"""Cut stretches that are spelt as a token but must not be it, such as ``<s>`` written out.

    User-defined pieces get their ids by ``ignore_merges``: a stretch that stands in the vocabulary is that token.
    Where joining gives another result, the stretch is cut behind its first piece, which changes nothing else.
    """
    from tokenizers import Regex, pre_tokenizers

    cuts: dict[str, int] = {}
    for name in vocabulary.keys() - set(matched):
        tokens = bpe.tokenize(name)
        if [token.id for token in tokens] != [vocabulary[name]]:
            ends = {token.offsets[1] for token in tokens}  # in bytes of UTF-8
            lengths = (length for length in range(1, len(name)) if len(name[:length].encode()) in ends)
            cuts[name] = next(lengths, 0)
    if not cuts:
        return []
    rounds = 1
    rests = {name[cut:] for name, cut in cuts.items() if cut} & cuts.keys()
    while rests:
        rounds += 1
        rests = {rest[cuts[rest] :] for rest in rests if cuts[rest]} & cuts.keys()
    alternatives = (f"{_exactly(name[:cut])}(?={_exactly(name[cut:])}\\z)" for name, cut in sorted(cuts.items()) if cut)
    return [pre_tokenizers.Split(Regex(rf"\A(?:{'|'.join(alternatives)})"), "isolated")] * rounds


def _set_pipeline(tokenizer: Tokenizer, prefix: Prefix, splits: list[Any]) -> None:
    from tokenizers import decoders, normalizers, pre_tokenizers

    blanks = normalizers.Replace(" ", SPACE)
    prepended = [normalizers.Prepend(SPACE), blanks]
    tokenizer.normalizer = normalizers.Sequence(prepended) if prefix is Prefix.EACH_STRETCH else blanks
    # Metaspace alone puts no blank before a text that begins with one; here the text has only ▁, so it always does.
    at_start = [
        pre_tokenizers.Metaspace(replacement=" ", prepend_scheme="first", split=False),
        pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never", split=False),
    ]
    steps = [*(at_start if prefix is Prefix.TEXT_START else []), *splits]
    if steps:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    strip = [] if prefix is Prefix.NONE else [decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )


def _compare_with_sentencepiece(file: Path, model: Any, tokenizer: Tokenizer, special: set[str]) -> None:
    """Compare on every piece alone and twice in a row, which meets each pair that may be joined and its repeats."""
    from sentencepiece import SentencePieceProcessor

    plain = _empty_model()
    plain.CopyFrom(model)
    plain.normalizer_spec.add_dummy_prefix = False
    processor = SentencePieceProcessor(model_proto=plain.SerializeToString())
    texts = [piece.piece * times for piece in model.pieces for times in (1, 2)]
    # sentencepiece itself gives the id of a special token for the text of the ordinary piece in whose place it is.
    taken = [p.piece for p in model.pieces if p.type in (_NORMAL, _USER_DEFINED) and p.piece in special]
    if taken:
        spelt_out = re.compile("|".join(map(re.escape, taken)))
        texts = [text for text in texts if not spelt_out.search(text)]
    wanted = processor.encode(texts, out_type=int)
    for text, ids, encoding in zip(texts, wanted, tokenizer.encode_batch(texts, add_special_tokens=False), strict=True):
        if encoding.ids != ids:
            raise _unsupported(file, f"{text!r} must have the ids {ids} of sentencepiece, converted {encoding.ids}")


def _unsupported(file: Path, rule: str) -> CheckpointError:
    return CheckpointError(
        "Cannot reproduce a tokenizer exactly", where=file, rule=rule, action="Report the model with this message"
    )
