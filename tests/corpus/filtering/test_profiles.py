"""Profiles: what may stand in them, how they extend each other, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from domainvl.corpus.filtering.profiles import Profile, load_profile, with_settings
from domainvl.corpus.filtering.rules import RULES
from domainvl.errors import RecipeError


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_general_is_as_published() -> None:
    assert load_profile("general").thresholds == {code: dict(rule.published) for code, rule in RULES.items()}


def test_a_file_extends_general_where_it_says_nothing(tmp_path: Path) -> None:
    profile = load_profile(write(tmp_path, "name: mine\nrules:\n  hf-digits: off\n  image-aspect: {max: 3}\n"))
    assert "hf-digits" not in profile.thresholds
    assert profile.thresholds["image-aspect"] == {"min": 0.5, "max": 3}
    assert profile.thresholds["gopher-words"] == {"min": 50, "max": 100_000}


def test_what_a_parent_changed_is_kept_number_by_number(tmp_path: Path) -> None:
    write(tmp_path, "name: parent\nrules:\n  image-aspect: {min: 0.1}\n  hf-digits: off\n", "parent.yaml")
    child = "name: child\nextends: parent.yaml\nrules:\n  image-aspect: {max: 9}\n  hf-digits: on\n"
    profile = load_profile(write(tmp_path, child))
    assert profile.thresholds["image-aspect"] == {"min": 0.1, "max": 9}
    assert profile.thresholds["hf-digits"] == RULES["hf-digits"].published


def test_words_stand_beside_the_profile(tmp_path: Path) -> None:
    write(tmp_path, "# ours\nHouse\n\nriver\n", "words.txt")
    profile = load_profile(write(tmp_path, "name: mine\nflagged_words: words.txt\n"))
    assert profile.flagged_words == ("house", "river")
    assert profile.measuring_key != load_profile("general").measuring_key


def test_numbers_leave_the_measuring_key_alone_and_normalisers_do_not() -> None:
    general = load_profile("general")
    assert with_settings(general, ["hf-digits.max=0.5", "hf-uppercase=off"]).measuring_key == general.measuring_key
    assert with_settings(general, ["hf-urls=off"]).measuring_key != general.measuring_key


def test_settings_change_single_numbers() -> None:
    profile = with_settings(load_profile("medical"), ["image-side.min=100", "hf-digits=on", "hf-phone.min=2e1"])
    assert profile.thresholds["image-side"] == {"min": 100}
    assert profile.thresholds["hf-digits"] == RULES["hf-digits"].published
    assert profile.thresholds["hf-phone"] == {"min": 20}
    assert profile.thresholds["image-aspect"] == load_profile("medical").thresholds["image-aspect"]


def test_a_profile_survives_json() -> None:
    profile = load_profile("driving")
    assert Profile.model_validate_json(profile.model_dump_json()).thresholds == profile.thresholds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nrules: {hf-digitz: off}", "no rule 'hf-digitz'; did you mean hf-digits"),
        ("name: a\nrules: {zzzzzz: off}", "no rule 'zzzzzz'; rules are such as"),
        ("name: a\nrules: {image-side: {min: abc}}", "min of the rule image-side must be a number .* got 'abc'"),
        ("name: a\nrules: {image-side: {min: -5}}", "min of the rule image-side must be .* 0 or more, got -5"),
        ("name: a\nrules: {image-side: {min: .inf}}", "must be a number .* got inf"),
        ("name: a\nrules: {image-side: {min: true}}", "must be a number .* got True"),
        ("name: a\nrules: {image-side: 150}", "image-side must be on, off or numbers by name, got 150"),
        ("name: a\nscores: {fluency_prob: {min: much}}", "scores.fluency_prob.min: .* got 'much'"),
        ("name: a\nrules: {hf-digits: {maximum: 1}}", "no number 'maximum'; it has max, near_image"),
        ("name: a\nrules: {hf-urls: {max: 1}}", "it is on or off"),
        ("name: a\nrules: {hf-digits: {max: much}}", "rule hf-digits .* got 'much'"),
        ("name: a\nrules: [hf-digits]", "rules must be a mapping"),
        ("name: a\nruls: {}\nscore: {}", "no key ruls, score; keys are name, extends, rules, scores"),
        ("name: a\nname: b", "stands twice"),
        ("name: a\nextends: nowhere.yaml", "no such file"),
        ("name: a\nextends: mine.yaml", "extends itself"),
        ("name: a\nscores: {fluency_prob: {least: 1}}", "scores.fluency_prob.least"),
        ("name: a\nflagged_words: none.txt", "none.txt"),
        ("rules: {}", "name"),
    ],
)
def test_what_is_wrong_in_a_profile_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_profile(write(tmp_path, text))


@pytest.mark.parametrize(
    "setting", ["hf-digits", "=1", "hf-digits.most=1", "nothing=off", "hf-digits.max=[", "hf-digits.max=x"]
)
def test_what_is_wrong_in_a_setting_is_told(setting: str) -> None:
    with pytest.raises(RecipeError):
        with_settings(load_profile("general"), [setting])


def test_a_bad_number_in_a_setting_is_told_with_the_value() -> None:
    with pytest.raises(RecipeError, match="--set: min of the rule image-side must be a number .* got 'nan'"):
        with_settings(load_profile("general"), ["image-side.min=nan"])


def test_a_name_that_is_no_profile_is_told() -> None:
    with pytest.raises(RecipeError, match="profiles are general, technical, medical, remote-sensing, driving"):
        load_profile("radiology")
