"""Models and servers that translate: what they are given, what is made of what they say, what is refused."""

from __future__ import annotations

import shutil

import pytest
import torch
from chat_server import chat_server, completion
from tiny_translators import LONGEST, PAIRS, write_m2m, write_marian

from domainvl.corpus.translating.translators import EndpointTranslator, LocalTranslator
from domainvl.endpoint import EndpointSettings
from domainvl.errors import CheckpointError, InputNotFoundError, StoppedError, UsageError

SOURCES = [source for source, _ in PAIRS]
TARGETS = [target for _, target in PAIRS]
WRITE = {
    "marian": lambda folder: write_marian(folder),
    "marian of several": lambda folder: write_marian(folder, languages=("deu", "nld")),
    "m2m": write_m2m,
}
CODES = {"marian": (None, None), "marian of several": (None, "deu"), "m2m": ("en", "de")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make each model once."""
    made = {}

    def folder(kind):
        if kind not in made:
            made[kind] = WRITE[kind](tmp_path_factory.mktemp("models") / kind.replace(" ", "-"))
        return made[kind]

    return folder


def load(folder, codes=(None, None), batch_size=4):
    device = torch.device("cpu")
    return LocalTranslator(folder, device=device, source_code=codes[0], target_code=codes[1], batch_size=batch_size)


@pytest.mark.parametrize("kind", WRITE)
def test_a_model_says_what_it_was_taught(folder, kind):
    translator = load(folder(kind), CODES[kind])
    assert translator.translate(SOURCES) == TARGETS
    # One by one too: what fills a batch up does not count.
    assert [translator.translate([source])[0] for source in SOURCES] == TARGETS
    assert translator.name == folder(kind).name


@pytest.mark.parametrize("kind", ["marian", "m2m"])
def test_what_is_too_long_is_not_cut(folder, kind):
    translator = load(folder(kind), CODES[kind])
    # A letter is a token, and the end is one.
    assert translator.translate(["a red car", "a" * LONGEST, "red"]) == ["ein rotes auto", None, "rot"]
    assert translator.translate(["a" * LONGEST]) == [None]


def test_a_translation_without_an_end_is_none(folder):
    translator = load(folder("marian"))
    with torch.no_grad():
        # It never wants to end; its settings force an end on it at the last place.
        translator._model.final_logits_bias[0, 0] = -1e9
    assert translator.translate(SOURCES) == [None] * len(SOURCES)


@pytest.mark.parametrize(
    ("kind", "codes", "expected"),
    [
        ("marian", ("en", None), "--source-code is for models of many source languages"),
        ("marian", (None, "deu"), "it has no '>>deu<<'"),
        ("marian of several", (None, "fra"), "it has no '>>fra<<'"),
        ("m2m", (None, None), "needs --source-code and --target-code"),
        ("m2m", ("en", None), "needs --source-code and --target-code"),
        ("m2m", ("en", "deu_Latn"), "it has no 'deu_Latn'"),
        ("m2m", ("english", "de"), "it has no 'english'"),
    ],
)
def test_languages_that_a_model_does_not_know(folder, kind, codes, expected):
    with pytest.raises(UsageError, match=expected):
        load(folder(kind), codes)


def test_what_the_translations_depend_on(folder, tmp_path):
    one = load(folder("marian")).identity
    copy = shutil.copytree(folder("marian"), tmp_path / "copy")
    assert load(copy).identity == one
    assert load(copy, batch_size=5).identity != one
    settings = copy / "generation_config.json"
    settings.write_text(settings.read_text().replace('"num_beams": 1', '"num_beams": 2') + "\n")
    assert load(copy).identity != one


def test_what_is_no_model(folder, tmp_path):
    with pytest.raises(InputNotFoundError):
        load(tmp_path / "none")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    shutil.copy(folder("marian") / "config.json", pickled)
    (pickled / "pytorch_model.bin").write_bytes(b"code")
    with pytest.raises(CheckpointError, match="must be safetensors"):
        load(pickled)


def endpoint(url, **chosen):
    return EndpointTranslator(EndpointSettings(url, "big", **chosen), "zh-Hant")


def test_a_server_is_told_the_rules_and_given_the_line():
    with chat_server(lambda asked: completion(f"T {asked['messages'][1]['content']}")) as (url, seen):
        lines = [f"line {number}" for number in range(20)]
        translator = endpoint(url, parallel=3)
        assert translator.translate(lines) == [f"T {line}" for line in lines]
        assert translator.translate(["with (1) of"]) == ["T with (1) of"]
    assert sorted(asked["messages"][1]["content"] for asked in seen[:20]) == sorted(lines)
    for asked in seen:
        system = asked["messages"][0]["content"]
        assert asked["temperature"] == 0
        assert asked["model"] == "big"
        assert "zh-Hant" in system
        assert ("(1)" in system, "[1]" in system) == ((True, False) if asked is seen[-1] else (False, True))


def test_a_server_that_does_not_finish():
    def answer(asked):
        return completion("half", finish="length" if "long" in asked["messages"][1]["content"] else "stop")

    with chat_server(answer) as (url, _):
        assert endpoint(url).translate(["short", "long"]) == ["half", None]


@pytest.mark.parametrize(("reply", "error"), [((401, "no key"), UsageError), ({"choices": []}, StoppedError)])
def test_a_server_that_refuses(reply, error):
    with chat_server(lambda _: reply) as (url, _), pytest.raises(error):
        endpoint(url).translate(["line"])


def test_what_a_server_translates_depends_on_its_model_not_on_its_address():
    assert endpoint("http://a/v1").identity == endpoint("http://b/v1").identity
    assert endpoint("http://a/v1").name == "big"
