"""Profiles: which rules a field uses, with which numbers. YAML beside this module, or a user's own file."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError

from domainvl.corpus.filtering.rules import LANGUAGES, NORMALISERS, RULES, SCORE_PREFIX, Rule, rule_of
from domainvl.errors import RecipeError
from domainvl.interleaved.documents import TextKind
from domainvl.yaml_files import parse_yaml, read_mapping, read_text

PROFILES = ("general", "technical", "medical", "remote-sensing", "driving")
"""Names of the profiles that come with the package."""

_WHAT = "Cannot load a profile"
_FLAGGED_WORDS = "flagged_words.txt"
_ORIGINAL = "general"  # the profile that extends none


class Bounds(BaseModel):
    """The range within which a score is kept.

    Attributes:
        min: Lower bound.
        max: Upper bound.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min: float | None = None
    max: float | None = None


class Check(NamedTuple):
    """A rule with the numbers of a profile.

    Attributes:
        order: Its place among the rules.
        code: The rule.
        least: Lower bound; none where infinite.
        most: Upper bound.
        kinds: Kinds of text that it is for; all where None.
        numbers: All its numbers.
    """

    order: int
    code: str
    least: float
    most: float
    kinds: tuple[TextKind, ...] | None
    numbers: Mapping[str, float]

    @classmethod
    def of(cls, order: int, rule: Rule, numbers: Mapping[str, float]) -> Check:
        """Put a rule and its numbers together."""
        least, most = numbers.get("min", float("-inf")), numbers.get("max", float("inf"))
        return cls(order, rule.code, least, most, rule.kinds, numbers)

    def broken_bound(self, value: float) -> float | None:
        """Return the bound that a value breaks."""
        if value < self.least:
            return self.least
        return self.most if value > self.most else None


class Profile(BaseModel):
    """A profile with all that it extends.

    Attributes:
        name: Its name.
        extends: The profile that it was written as changes to.
        rules: For codes of rules: False where off, True for the published numbers, or numbers that replace some.
        scores: For names of scores of documents, such as ``fluency_prob``, the range that is kept. OmniCorpus
            publishes no cut-off, so that none is used by default; a document without the score is kept.
        flagged_words: The words that the rules on flagged words count; not empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    extends: str | None = None
    rules: Mapping[str, bool | dict[str, float]] = {}
    scores: Mapping[str, Bounds] = {}
    flagged_words: tuple[str, ...]

    @cached_property
    def thresholds(self) -> dict[str, dict[str, float]]:
        """The numbers of the rules that are on, by code, in the order of the table; scores last."""
        found: dict[str, dict[str, float]] = {}
        for code, rule in RULES.items():
            changed = self.rules.get(code, True)
            if changed is not False:
                found[code] = {**rule.published, **(changed if isinstance(changed, dict) else {})}
        for name, bounds in self.scores.items():
            found[SCORE_PREFIX + name] = bounds.model_dump(exclude_none=True)
        return found

    def checks(self, language: str) -> Mapping[str, Check]:
        """Return the rules that are on and for a language, by code, in the order of the table."""
        return self._checks[language]

    @cached_property
    def _checks(self) -> dict[str, dict[str, Check]]:
        return {
            language: {
                code: Check.of(order, rule_of(code), numbers)
                for order, (code, numbers) in enumerate(self.thresholds.items())
                if language in rule_of(code).languages
            }
            for language in LANGUAGES
        }

    @cached_property
    def normalisers(self) -> frozenset[str]:
        """The rules that are on and change texts before they are measured."""
        return frozenset(NORMALISERS) & self.thresholds.keys()

    @cached_property
    def measuring_key(self) -> str:
        """Hash of what measuring depends on; where it is another, texts must be measured again."""
        content = json.dumps([sorted(self.normalisers), sorted(self.flagged_words)])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def load_profile(name_or_path: str | Path) -> Profile:
    """Load a profile by name or from a YAML file.

    Args:
        name_or_path: One of :data:`PROFILES`, or a file. It has the keys of :class:`Profile`; ``flagged_words`` names
            a text file of one word a line, beside the profile; ``extends`` is ``general`` where it says nothing.

    Raises:
        RecipeError: If it cannot be read, or names a rule or number that there is not.
    """
    return _load(str(name_or_path), ())


def with_settings(profile: Profile, settings: Iterable[str]) -> Profile:
    """Change single numbers of a profile.

    Args:
        profile: The profile.
        settings: Such as ``hf-digits.max=0.9``, ``hf-digits=off`` or ``hf-digits=on``.

    Raises:
        RecipeError: If one cannot be read, or names a rule or number that there is not.
    """
    rules: dict[str, Any] = {code: _copied(value) for code, value in profile.rules.items()}
    for setting in settings:
        path, equals, text = setting.partition("=")
        code, dot, key = path.strip().partition(".")
        value = parse_yaml(text, setting, what=_WHAT)
        if not equals or not code:
            _refuse(setting, "it must be RULE=on, RULE=off or RULE.NUMBER=VALUE")
        held = rules.get(code)
        rules[code] = {**(held if isinstance(held, dict) else {}), key: value} if dot else value
    return _checked({**profile.model_dump(), "rules": rules}, "--set")


def _copied(value: bool | dict[str, float]) -> bool | dict[str, float]:
    return dict(value) if isinstance(value, dict) else value


def _load(name_or_path: str, seen: tuple[str, ...]) -> Profile:
    if name_or_path in seen:
        _refuse(name_or_path, f"it extends itself, by way of {' and '.join(seen)}")
    source, where = _find(name_or_path)
    content = read_mapping(source, where, what=_WHAT)
    parent_name = content.get("extends", None if name_or_path == _ORIGINAL else _ORIGINAL)
    words_name = content.pop("flagged_words", None)
    content["extends"] = parent_name
    if words_name is not None:
        content["flagged_words"] = _words(_beside(name_or_path, str(words_name)), str(words_name))
    if parent_name is None:
        content.setdefault("flagged_words", _words(_package() / _FLAGGED_WORDS, _FLAGGED_WORDS))
        return _checked(content, where)
    parent = _load(_parent_path(name_or_path, str(parent_name)), (*seen, name_or_path))
    return _checked(_extended(parent, content, where), where)


def _extended(parent: Profile, content: dict[str, Any], where: str) -> dict[str, Any]:
    """Merge rule by rule and number by number."""
    for key in ("rules", "scores"):
        if not isinstance(content.get(key, {}), dict):
            _refuse(where, f"{key} must be a mapping, got {type(content[key]).__name__}")
    rules: dict[str, Any] = {code: _copied(value) for code, value in parent.rules.items()}
    for code, value in content.get("rules", {}).items():
        held = rules.get(code)
        rules[code] = {**held, **value} if isinstance(held, dict) and isinstance(value, dict) else value
    return {
        "flagged_words": parent.flagged_words,
        **content,
        "rules": rules,
        "scores": {
            **{name: bounds.model_dump() for name, bounds in parent.scores.items()},
            **content.get("scores", {}),
        },
    }


def _package() -> Traversable:
    return resources.files(__package__)


def _find(name_or_path: str) -> tuple[Traversable | Path, str]:
    if name_or_path in PROFILES:
        file = f"{name_or_path.replace('-', '_')}.yaml"
        return _package() / file, name_or_path
    if not Path(name_or_path).is_file():
        known = ", ".join(PROFILES)
        raise RecipeError(_WHAT, where=name_or_path, rule=f"there is no such file, and profiles are {known}")
    return Path(name_or_path), name_or_path


def _beside(name_or_path: str, file: str) -> Traversable | Path:
    return _package() / file if name_or_path in PROFILES else Path(name_or_path).parent / file


def _parent_path(name_or_path: str, parent: str) -> str:
    return parent if parent in PROFILES or name_or_path in PROFILES else str(Path(name_or_path).parent / parent)


def _words(source: Traversable | Path, where: str) -> tuple[str, ...]:
    lines = read_text(source, where, what=_WHAT).splitlines()
    words = tuple(sorted({line.strip().lower() for line in lines if line.strip() and not line.startswith("#")}))
    for word in words:
        if not word.isalnum():
            _refuse(where, f"a flagged word must be letters and digits, got {word!r}")
    return words


def _checked(content: dict[str, Any], where: str) -> Profile:
    for code, value in content.get("rules", {}).items():
        _check_rule(str(code), value, where)
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        told = [(".".join(map(str, one["loc"])), one) for one in error.errors()]
        stray = [place for place, one in told if one["type"] == "extra_forbidden"]
        if stray:
            _refuse(where, f"there is no key {', '.join(stray)}; keys are {', '.join(Profile.model_fields)}")
        place, first = told[0]
        seen = "" if first["type"] == "missing" else f", got {first['input']!r}"
        _refuse(where, f"{place}: {first['msg']}{seen}")


def _check_rule(code: str, value: object, where: str) -> None:
    rule = RULES.get(code)
    if rule is None:
        alike = difflib.get_close_matches(code, RULES, cutoff=0.5)
        known = f"did you mean {' or '.join(alike)}?" if alike else f"rules are such as {next(iter(RULES))}"
        _refuse(where, f"there is no rule {code!r}; {known}")
    if isinstance(value, bool):
        return
    if not isinstance(value, dict):
        _refuse(where, f"the rule {code} must be on, off or numbers by name, got {value!r}")
    for key, number in value.items():
        if key not in rule.published:
            known = ", ".join(rule.published) or "none: it is on or off"
            _refuse(where, f"the rule {code} has no number {key!r}; it has {known}")
        if not _is_number(number):
            _refuse(where, f"{key} of the rule {code} must be a number of 0 or more, got {number!r}")


def _is_number(value: object) -> bool:
    """Say whether a value is a number that a measure can have: all are counts, lengths and shares."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except ValueError:
        return False
    return math.isfinite(number) and number >= 0  # YAML takes 1e3 for a text


def _refuse(where: str, rule: str) -> NoReturn:
    raise RecipeError(_WHAT, where=where, rule=rule, action="See domainvl/corpus/filtering/general.yaml for the form")
