"""A whole data set in another language: what is translated and what stays, what fails, what goes on after a kill."""

from __future__ import annotations

import json
import re

import pytest
from pseudo_language import PseudoTranslator, pseudo
from varied import write_varied
from whole_sets import Given, content_of, images_of, samples_of, write_set

from domainvl.corpus.translating.dataset import TranslationSettings, memory_path, translate_dataset
from domainvl.errors import NothingToDoError, StoppedError, UsageError
from domainvl.evaluation.items import score
from domainvl.evaluation.predictions import Prediction
from domainvl.schema import WORDING_VERSION, ChoiceAnswer, Object, Task, TextAnswer, read_manifest, word_sample
from domainvl.schema.operations.few_shot import FewShotSettings, few_shot_dataset
from domainvl.schema.record import from_record, to_record
from domainvl.schema.validation import validate
from domainvl.schema.writer import REJECTS_NAME


def run(dataset, translator=None, *, name="out", terms=None, memory=None, **chosen):
    out = dataset.parent / name
    settings = TranslationSettings(language="xx", terms=terms or {}, **chosen)
    summary = translate_dataset(
        dataset,
        out,
        settings,
        translator or PseudoTranslator(),
        memory=memory or memory_path(out),
        progress=lambda done, total: None,
    )
    return out, summary


def rejects_of(folder):
    return [json.loads(line) for line in (folder / REJECTS_NAME).read_text("utf-8").splitlines()]


def faults_of(folder):
    return {code: count for code, count in validate(folder).counts.items() if count}


def without_words(text):
    """What a pseudo translation of a text must have in common with it."""
    return re.sub(r"[^\W\d_]+|[«»]", "", text)


EXPECTED = {
    "colour": [
        "<image>\n«which» «colour» «has» «the» «car»?\nAnswer the question using a single word or phrase.",
        "«red»",
    ],
    "side": ["<image>\n«is» «it» «left» «or» «right»?\nAnswer the question using a single word or phrase.", "«left»"],
    # What is measured stays, and so does yes.
    "any": [
        "<image>\n«the» «image» «has» 0.3 m «per» «pixel».\n«is» «there» «any» «car»?\n"
        "Answer the question using a single word or phrase.",
        "yes",
    ],
    "many": [
        "<image>\n«how» «many» «instances» «of» «fire» «truck» «are» «there»?\n"
        "Answer the question using a single word or phrase.",
        "1",
    ],
    "kind": [
        "<image>\n«which» «fits»: «road», «city» «street»?\nAnswer with one word or short phrase.",
        "«city» «street»",
    ],
    "choice": [
        "<image>\n«which» «is» «it»? Please select the correct answer from the following options: "
        "A. «a» «car» B. «a» «bus»",
        "A",
    ],
    "where": [
        "<image>\nPlease provide the bounding box coordinate of the region this sentence describes: "
        "<ref>«the» «fire» «truck»</ref>",
        "<ref>«the» «fire» «truck»</ref><box>[[250, 200, 450, 400]]</box>",
    ],
    "all": [
        "<image>\nPlease detect and label all objects in the following image and mark their positions.",
        "<ref>«car»</ref><box>[[50, 200, 150, 400]]</box>\n<ref>«fire» «truck»</ref><box>[[250, 200, 450, 400]]</box>",
    ],
    "say": ["<image>\n«describe» «it».", "«a» «car».\n\n- «two» «trucks», 3.5 m «apart»."],
    # In free text yes is a word as others are; names are called what the objects are.
    "talk": [
        "<image>\n«what» «is» «at» <box>[[50, 200, 150, 400]]</box>?",
        "«a» <ref>«car»</ref><box>[[50, 200, 150, 400]]</box> «of» 4.5 m.",
        "«and» «the» <ref>«car»</ref>?",
        "«yes»",
    ],
    "go on": [
        "<image>\n«what» «is» «at» <box>[[50, 200, 150, 400]]</box>?",
        "«a» <ref>«car»</ref><box>[[50, 200, 150, 400]]</box> «of» 4.5 m.",
        "«is» «it» «near»?",
        "Yes",
        "«is» «it» «red»?\nAnswer the question using a single word or phrase.",
        "no",
    ],
}


def test_what_is_translated_and_what_stays(scenes):
    out, summary = run(scenes)
    after = samples_of(out)
    assert (summary.translated_count, summary.failed, summary.left_out, int(summary.exit_code)) == (39, {}, {}, 0)
    for key, expected in EXPECTED.items():
        assert [turn.text for turn in after[f"scene0/{key}@xx"].turns] == expected
    assert after["scene0/colour@xx"].answer.accepted == ("«dark» «red»",)
    assert {thing.label for sample in after.values() for thing in sample.objects} == {"«car»", "«fire» «truck»"}


@pytest.mark.parametrize("keep_source", [False, True])
def test_the_rest_of_the_data_set_is_as_before(scenes, keep_source):
    out, _ = run(scenes, keep_source=keep_source)
    before, after = samples_of(scenes), samples_of(out)
    translated = {name: sample for name, sample in after.items() if sample.provenance.translation}
    assert set(translated) == {f"{name}@xx" for name in before}
    assert {name: sample for name, sample in after.items() if name not in translated} == (before if keep_source else {})
    for name, sample in translated.items():
        source = before[name.removesuffix("@xx")]
        for field in ("domain", "task", "images", "split", "fixed_split", "group", "phrasing", "warnings"):
            assert getattr(sample, field) == getattr(source, field)
        assert [thing.box_px for thing in sample.objects] == [thing.box_px for thing in source.objects]
        told = sample.provenance.translation
        assert (told.language, told.by, told.source_id) == ("xx", "pseudo", source.id)
        assert word_sample(sample) == sample.turns
        assert from_record(to_record(sample)) == sample
        for own, other in zip(sample.turns, source.turns, strict=True):
            assert without_words(own.text) == without_words(other.text)
    assert faults_of(out) == {}
    assert content_of(out).keys() >= images_of(before.values())


def test_the_hash_tells_the_source(scenes):
    """sha256 of '["<image>\\nDescribe it.", ...]', of the JSON that Python writes."""
    import hashlib

    out, _ = run(scenes)
    source = samples_of(scenes)["scene0/choice"]
    text = json.dumps([turn.text for turn in source.turns])
    told = samples_of(out)["scene0/choice@xx"].provenance.translation
    assert told.source_sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_right_answers_are_still_right(scenes):
    out, _ = run(scenes)
    for sample in samples_of(out).values():
        answer = Prediction(sample_id=sample.id, text=sample.turns[-1].text, likelihood=1.0)
        assert score(sample, answer).correct


def test_each_line_is_asked_once_and_long_ones_beside_long_ones(scenes):
    translator = PseudoTranslator(batch_size=3)
    run(scenes, translator)
    assert len(translator.seen) == len(set(translator.seen))
    # Labels come first.
    labels = ["car", "red", "left", "a bus", "a car", "dark red", "fire truck", "city street"]
    assert translator.seen[: len(labels)] == labels
    # Nothing without words is asked for, and no digit but a marker's.
    assert all(re.search(r"[a-z]", re.sub(r"\[\d\]", "", line)) for line in translator.seen)


def inflect(line):
    """Translate so that what becomes of a word depends on how long its line is."""
    return re.sub(r"[^\W\d_]+", lambda word: word[0].lower() + "abcdefghij"[len(line) % 10], line)


def test_classes_are_called_the_same_in_questions_about_others(tmp_path):
    kind = {"task": Task.CLASSIFICATION, "question": "Which kind?", "answer": TextAnswer(text="avenue")}
    other = {"question": "Is it an avenue or not?", "answer": TextAnswer(text="no")}
    # In free text a word is what the line makes of it.
    free = {"task": Task.CAPTION, "question": "Describe it.", "answer": TextAnswer(text="This is an avenue.")}
    dataset = write_set(
        tmp_path / "one", [Given(name, fields=one) for name, one in zip("abc", (kind, other, free), strict=True)]
    )
    out, _ = run(dataset, PseudoTranslator(inflect))
    after = samples_of(out)
    assert after["a@xx"].answer.text == "avenueg"  # 6 letters
    assert " avenueg " in after["b@xx"].question
    assert after["c@xx"].answer.text.endswith(" avenuei.")  # 18 letters


def test_labels_are_called_the_same_in_questions(scenes):
    out, _ = run(scenes, PseudoTranslator(inflect))
    after = samples_of(out)
    label = after["scene0/all@xx"].objects[1].label
    assert label.startswith("fire")
    assert label in after["scene0/many@xx"].question
    kind = after["scene0/kind@xx"]
    assert kind.answer.text in kind.question
    side = after["scene0/side@xx"]
    assert side.answer.text in side.question.split()


def test_terms(scenes):
    out, _ = run(scenes, terms={"fire truck": "Feuerwehr", "car": None})
    after = samples_of(out)
    assert after["scene0/many@xx"].question == "«how» «many» «instances» «of» Feuerwehr «are» «there»?"
    assert after["scene0/all@xx"].turns[-1].text == (
        "<ref>car</ref><box>[[50, 200, 150, 400]]</box>\n<ref>Feuerwehr</ref><box>[[250, 200, 450, 400]]</box>"
    )
    assert after["scene0/choice@xx"].answer.options == ("«a» car", "«a» «bus»")


DAMAGE = {
    "lost": lambda line: pseudo(re.sub(r"[\[(]1[\])]", "", line, count=1)),
    "repeated": lambda line: pseudo(re.sub(r"([\[(]1[\])])", r"\1 \1", line, count=1)),
    "invented": lambda line: pseudo(line) + " 7",
    "empty": lambda line: "",
    "lines": lambda line: pseudo(line) + "\nx",
    "too-long": lambda line: None,
}


@pytest.mark.parametrize("reason", DAMAGE)
def test_damage_keeps_the_source(scenes, reason):
    damage = lambda line: DAMAGE[reason](line) if "apart" in line else pseudo(line)  # noqa: E731
    out, summary = run(scenes, PseudoTranslator(damage))
    before, after = samples_of(scenes), samples_of(out)
    names = [f"scene{number}/say" for number in range(3)]
    assert summary.failed == {reason: 3}
    assert int(summary.exit_code) == 8
    assert summary.translated_count == 36
    assert all(after[name] == before[name] and f"{name}@xx" not in after for name in names)
    told = rejects_of(out)
    assert [(one["input"], one["stage"], one["reason"], one["severity"]) for one in told] == [
        (name, "translate", reason, "failed") for name in names
    ]
    assert faults_of(out) == {}


def test_a_damaged_line_is_tried_once_more_with_other_markers(scenes):
    translator = PseudoTranslator(lambda line: pseudo(line.replace("[1]", "")))
    _, summary = run(scenes, translator)
    assert summary.failed == {}
    assert "- Two trucks, [1] apart." in translator.seen
    assert "- Two trucks, (1) apart." in translator.seen


def test_a_failed_label_keeps_all_samples_that_are_about_it(scenes):
    translator = PseudoTranslator(lambda line: pseudo(line) + ("1" if line == "fire truck" else ""))
    out, summary = run(scenes, translator)
    # All of these scenes have a fire truck.
    assert (summary.translated_count, summary.failed) == (0, {"invented": 39})
    assert samples_of(out) == samples_of(scenes)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"task": Task.MULTIPLE_CHOICE, "answer": ChoiceAnswer(options=("big", "large"), correct=0)},
            {"same": 1},
        ),
        # Options that were the same before are none the less so after.
        ({"task": Task.MULTIPLE_CHOICE, "answer": ChoiceAnswer(options=("big", "Big."), correct=0)}, {}),
        ({"objects": [Object(id="1", label="big"), Object(id="2", label="large")]}, {"same": 1}),
        ({"objects": [Object(id="1", label="big"), Object(id="2", label="big")]}, {}),
        ({"answer": TextAnswer(text="big", accepted=("large",))}, {}),
    ],
)
def test_what_is_told_apart_must_stay_so(tmp_path, fields, expected):
    dataset = write_set(tmp_path / "one", [Given("a", fields=fields)])
    translator = PseudoTranslator(lambda line: pseudo(line.lower().replace("large", "big")))
    out, summary = run(dataset, translator)
    assert summary.failed == expected
    assert len(samples_of(out)) == 1


def test_held_out_samples_as_they_were(scenes):
    out, summary = run(scenes, train_only=True)
    before, after = samples_of(scenes), samples_of(out)
    assert (summary.translated_count, summary.unchanged_count) == (13, 26)
    assert all(after[name] == sample for name, sample in before.items() if sample.group != "scene0")


def test_some_samples_only(scenes):
    out, summary = run(scenes, limit=3)
    assert summary.translated_count == len(samples_of(out)) == 3
    assert {sample.split for sample in samples_of(out).values()} == {"train", "val", "test"}


def test_a_data_set_of_every_kind(tmp_path):
    """Strange texts too: marks that are none, line breaks of all kinds; one sample whose turns are its own."""
    write_varied(tmp_path / "varied")
    out, summary = run(tmp_path / "varied")
    assert summary.left_out == {"other-wording": 1}
    assert summary.failed == {}
    assert {one["input"] for one in rejects_of(out)} == {"turns"}
    assert {sample.provenance.wording for sample in samples_of(out).values()} == {WORDING_VERSION}
    before, after = samples_of(tmp_path / "varied"), samples_of(out)
    for name, source in before.items():
        if name != "turns":
            assert without_words(after[f"{name}@xx"].question) == without_words(source.question)
    # One image of the data set is in two splits, and another with the sample that is left out.
    assert faults_of(out) == {"image-in-two-splits": 1}


def test_solved_examples_are_left_out(scenes):
    few_shot_dataset(scenes, scenes.parent / "shots", FewShotSettings(shots=1, same_group=True, held_out_too=True))
    with pytest.raises(NothingToDoError):
        run(scenes.parent / "shots")


class Killed(Exception):
    pass


def test_a_killed_run_goes_on(scenes):
    whole, _ = run(scenes, name="whole")
    asked = PseudoTranslator()
    run(scenes, asked, name="again")

    def fail(line, left=[12]):  # noqa: B006
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return pseudo(line)

    first = PseudoTranslator(fail)
    out = scenes.parent / "out"
    with pytest.raises(Killed):
        run(scenes, first)
    assert not out.exists()
    memory = memory_path(out)
    # A line that the kill cut off.
    with memory.open("ab") as file:
        file.write(b'{"key": "12')
    second = PseudoTranslator()
    run(scenes, second)
    assert first.seen[:12] + second.seen == asked.seen
    lacks_name = lambda folder: {path: data for path, data in content_of(folder).items() if path.endswith(".jsonl")}  # noqa: E731
    assert lacks_name(out) == lacks_name(whole)


def test_failures_are_asked_for_again_and_terms_too(scenes):
    memory = scenes.parent / "memory.jsonl"
    run(scenes, PseudoTranslator(DAMAGE["invented"]), memory=memory)
    second = PseudoTranslator()
    assert run(scenes, second, memory=memory, name="two")[1].failed == {}
    assert second.seen
    third = PseudoTranslator()
    run(scenes, third, memory=memory, name="three", terms={"truck": "Laster"})
    assert third.seen
    assert all("[" in line for line in third.seen)


def test_translations_of_another_model_are_refused(scenes):
    memory = scenes.parent / "memory.jsonl"
    run(scenes, memory=memory)
    other = PseudoTranslator()
    other.identity = {"model": "other"}
    with pytest.raises(UsageError, match="model was pseudo and is other"):
        run(scenes, other, memory=memory, name="b")
    assert other.seen == []
    memory.write_text("something else\n")
    with pytest.raises(UsageError, match="does not say what it is about"):
        run(scenes, memory=memory, name="c")


def test_a_server_that_went_away_leaves_what_it_said(scenes):
    def stop(line):
        if len(line) > 12:
            raise StoppedError("Cannot ask the server")
        return pseudo(line)

    with pytest.raises(StoppedError):
        run(scenes, PseudoTranslator(stop))
    second = PseudoTranslator()
    run(scenes, second)
    assert "red" not in second.seen


def test_rejects_and_notes_are_handed_on(scenes):
    out, _ = run(scenes)
    manifest = read_manifest(out)
    assert manifest["settings"]["language"] == "xx"
    assert "39 samples were translated into xx by pseudo" in manifest["notes"][0]
    assert manifest["licence"] == "CC0-1.0"


@pytest.mark.parametrize(
    ("chosen", "expected"), [({"language": "German!"}, "got 'German!'"), ({"language": "de", "limit": 0}, "got 0")]
)
def test_settings_are_checked(scenes, chosen, expected):
    settings = TranslationSettings(terms={}, **chosen)
    with pytest.raises(UsageError, match=expected):
        translate_dataset(
            scenes,
            scenes.parent / "x",
            settings,
            PseudoTranslator(),
            memory=scenes.parent / "m",
            progress=lambda done, total: None,
        )
