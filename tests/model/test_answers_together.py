"""Answers to many questions, of all kinds at once, are those of the official loop, which asks each by itself."""

import math
from pathlib import Path

import pytest
import torch
from mixed_questions import QUESTIONS, answer_one_at_a_time, ask, mixed_samples, small_loaded, write_images

from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.generation import GeneratedAnswer, generate_answers, pixel_values
from domainvl.model.preprocessing import TileReader
from domainvl.schema import Image, Sample, Turn

MAX_NEW_TOKENS = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def images(folder: Path) -> list[Image]:
    return write_images(folder, [1, 3, 13, 1, 13])


@pytest.fixture(scope="module")
def samples(images: list[Image]) -> list[Sample]:
    return mixed_samples(images)


@pytest.fixture(scope="module")
def like(untrained: Path) -> LoadedModel:
    return load_model(str(untrained))


def answer(loaded: LoadedModel, samples: list[Sample], folder: Path, **settings: object) -> dict[str, GeneratedAnswer]:
    reader = TileReader(folder, loaded.spec.preprocessing)
    given = list(generate_answers(loaded, samples, reader, **{"max_new_tokens": MAX_NEW_TOKENS, **settings}))
    found = {one.sample_id: one for one in given}
    assert len(found) == len(given) == len(samples)
    return found


def require_equal(found: dict[str, GeneratedAnswer], wanted: dict[str, GeneratedAnswer]) -> None:
    assert {key: (one.text, one.token_count, one.cut_off) for key, one in found.items()} == {
        key: (one.text, one.token_count, one.cut_off) for key, one in wanted.items()
    }
    for key, one in found.items():
        assert one.likelihood == pytest.approx(wanted[key].likelihood, abs=1e-5, rel=1e-4), key


KINDS = {"qwen2": {}, "llama": {}, "phi3": {}, "phi3 with a window": {"sliding_window": 40}}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, like: LoadedModel) -> LoadedModel:
    return small_loaded(like, request.param.split()[0], **KINDS[request.param])


@pytest.fixture(scope="module")
def official(kind: LoadedModel, samples: list[Sample], folder: Path) -> dict[str, GeneratedAnswer]:
    return answer_one_at_a_time(kind, samples, TileReader(folder, kind.spec.preprocessing), MAX_NEW_TOKENS)


def test_the_questions_are_of_all_kinds(
    kind: LoadedModel, samples: list[Sample], official: dict[str, GeneratedAnswer]
) -> None:
    tiles = {sum(grid.tile_count for grid in kind.spec.preprocessing.grids(sample.images)) for sample in samples}
    assert {0, 1, 3, 13} <= tiles
    assert len({one.token_count for one in official.values()}) > 2  # rows leave a batch at different times
    assert {one.cut_off for one in official.values()} == {True, False}
    assert len({one.text for one in official.values()}) > len(samples) // 2


@pytest.mark.parametrize("batch_size", [1, 32])
def test_answers_are_those_of_the_official_loop(
    kind: LoadedModel, samples: list[Sample], official: dict[str, GeneratedAnswer], folder: Path, batch_size: int
) -> None:
    require_equal(answer(kind, samples, folder, batch_size=batch_size), official)


def test_a_run_can_be_resumed_with_the_samples_that_are_left(
    kind: LoadedModel, samples: list[Sample], official: dict[str, GeneratedAnswer], folder: Path
) -> None:
    left = samples[1::3]
    require_equal(answer(kind, left, folder), {sample.id: official[sample.id] for sample in left})


def changes_at(kind: str, border: int) -> dict[str, object]:
    """Return what makes a language model change how it tells positions at some length."""
    if kind == "llama":
        rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
        return {"rope_parameters": rope, "max_position_embeddings": border}
    factors = {"short_factor": [1.0] * 16, "long_factor": [4.0] * 16, "original_max_position_embeddings": border}
    return {"rope_parameters": {"rope_type": "longrope", "rope_theta": 10_000.0, "factor": 4.0, **factors}}


@pytest.mark.parametrize("kind_name", ["llama", "phi3"])
@pytest.mark.parametrize("border", [45, 70, 250])
def test_borders_of_the_positions_do_not_show(
    like: LoadedModel, samples: list[Sample], folder: Path, kind_name: str, border: int
) -> None:
    """At each border there are prompts before it and beyond it, and answers that cross it."""
    changes = changes_at(kind_name, border)
    some, alone = samples[::2], {}
    for sample in some:  # each with a model that has seen nothing before
        fresh = small_loaded(like, kind_name, **changes)
        reader = TileReader(folder, fresh.spec.preprocessing)
        alone |= answer_one_at_a_time(fresh, [sample], reader, MAX_NEW_TOKENS)
    together = small_loaded(like, kind_name, **changes)
    lengths = [length_of(together, sample) for sample in some]
    assert min(lengths) + MAX_NEW_TOKENS <= border < max(lengths)
    assert any(length <= border < length + MAX_NEW_TOKENS for length in lengths)
    require_equal(answer(together, some, folder, batch_size=7), alone)
    require_equal(answer(together, some[::-1], folder, batch_size=32), alone)


def length_of(loaded: LoadedModel, sample: Sample) -> int:
    tile_counts = [grid.tile_count for grid in loaded.spec.preprocessing.grids(sample.images)]
    return len(loaded.encoder().encode(sample.turns[:-1], tile_counts).input_ids)


def options_of(sample: Sample) -> list[str] | None:
    if sample.id.startswith("text"):
        return None
    return ["red", "blue", "red square", "A", "<box>1</box>"][: 2 + len(sample.id) % 4]


def log_probability(loaded: LoadedModel, sample: Sample, reader: TileReader, text: str) -> float:
    """Of an answer and its end, from one pass over the whole conversation."""
    turns = [*sample.turns[:-1], Turn(role="assistant", text=text)]
    tile_counts = [grid.tile_count for grid in loaded.spec.preprocessing.grids(sample.images)]
    encoder = loaded.encoder()
    prompt = encoder.encode(sample.turns[:-1], tile_counts).input_ids
    ids = encoder.encode(turns, tile_counts).input_ids
    end_id = loaded.tokenizer.convert_tokens_to_ids("<|im_end|>")
    stop = len(ids) - ids[::-1].index(end_id)
    with torch.inference_mode():
        pixels = pixel_values(loaded, reader.read(sample.images))
        logits = loaded.internvl(input_ids=torch.tensor([ids[:stop]]), pixel_values=pixels).logits[0]
    certainties = logits.log_softmax(-1)
    return sum(float(certainties[index - 1, ids[index]]) for index in range(len(prompt), stop))


def test_options_are_as_probable_as_their_text_with_its_end(
    kind: LoadedModel, samples: list[Sample], official: dict[str, GeneratedAnswer], folder: Path
) -> None:
    found = answer(kind, samples, folder, batch_size=4, options_of=options_of)
    require_equal(found, official)
    reader = TileReader(folder, kind.spec.preprocessing)
    for sample in samples:
        options = options_of(sample)
        given = found[sample.id].options
        if options is None:
            assert given is None
            continue
        assert given is not None
        assert list(given) == options
        each = torch.tensor([log_probability(kind, sample, reader, option) for option in options]).double()
        assert list(given.values()) == pytest.approx(each.softmax(0).tolist(), abs=1e-5)


@pytest.mark.parametrize("kind_name", ["llama", "phi3"])
def test_options_at_a_border_are_those_of_the_question_alone(
    like: LoadedModel, samples: list[Sample], folder: Path, kind_name: str
) -> None:
    changes = changes_at(kind_name, border=70)
    found = answer(small_loaded(like, kind_name, **changes), samples, folder, options_of=options_of)
    for sample in samples[::5]:
        fresh = small_loaded(like, kind_name, **changes)
        alone = answer(fresh, [sample], folder, options_of=options_of)[sample.id].options
        assert found[sample.id].options == (None if alone is None else pytest.approx(alone, abs=1e-5))


@pytest.mark.parametrize("kind_name", ["llama", "phi3"])
def test_odds_do_not_change_with_a_longer_option_that_crosses_a_border(
    like: LoadedModel, samples: list[Sample], folder: Path, kind_name: str
) -> None:
    changes = changes_at(kind_name, border=length_of(small_loaded(like, kind_name), samples[0]) + 3)
    odds = []
    for options in (["red", "blue"], ["red", "blue", "red square, red square, red square"]):
        loaded = small_loaded(like, kind_name, **changes)
        found = answer(loaded, samples[:1], folder, options_of=lambda _, options=options: options)[
            samples[0].id
        ].options
        assert found is not None
        odds.append(math.log(found["red"] / found["blue"]))
    assert odds[0] == pytest.approx(odds[1], abs=1e-4)


def test_no_options_are_none(kind: LoadedModel, images: list[Image], folder: Path) -> None:
    sample = ask("a", QUESTIONS[0], images[:1])
    assert answer(kind, [sample], folder)["a"].options is None
    assert answer(kind, [sample], folder, options_of=lambda _: [])["a"].options is None
    assert answer(kind, [sample], folder, options_of=lambda _: ["x", "x"])["a"].options == {"x": 1.0}


def test_the_images_of_many_questions_are_encoded_once(
    like: LoadedModel, images: list[Image], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = small_loaded(like, "qwen2")
    tower, read = loaded.internvl.model.vision_tower, []
    language_model = loaded.internvl.model.language_model
    tower.register_forward_pre_hook(
        lambda _, __, named: read.append(("tiles", len(named["pixel_values"]))), with_kwargs=True
    )
    language_model.register_forward_pre_hook(
        lambda _, __, named: read.append(("tokens", named["inputs_embeds"].shape[0] * named["inputs_embeds"].shape[1])),
        with_kwargs=True,
    )
    questions = [ask(str(number), QUESTIONS[number % 5], [images[2]]) for number in range(10)]
    answer(loaded, questions, folder, batch_size=4, max_new_tokens=1)
    assert sum(count for what, count in read if what == "tiles") == 13
    visual = 13 * loaded.spec.preprocessing.tokens_per_tile
    tokens = sum(count for what, count in read if what == "tokens")
    assert visual < tokens < 2 * visual + 10 * 40  # once the image, and ten questions of up to 40 tokens


def test_answers_come_as_their_batches_are_complete(kind: LoadedModel, samples: list[Sample], folder: Path) -> None:
    reader, seen = TileReader(folder, kind.spec.preprocessing), []
    given = generate_answers(
        kind, samples, reader, batch_size=4, max_new_tokens=2, on_progress=lambda *two: seen.append(two)
    )
    for count, _ in enumerate(given, start=1):
        assert count - 4 <= (seen[-1][0] if seen else 0) < count
    assert seen[-1] == (len(samples), len(samples))
