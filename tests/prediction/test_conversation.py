"""A conversation with a model: what is put into its prompt, what is said of its answers, what is never cut."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from fake_model import FakeModel
from PIL import Image
from typer.testing import CliRunner

from domainvl.cli import chat as command
from domainvl.errors import ExitCode, UsageError
from domainvl.prediction.answering import AnsweringSettings, CheckpointModel
from domainvl.prediction.conversation import Chat, Context, Conversation, context_of
from domainvl.prediction.pictures import open_picture
from domainvl.schema import ImageStore, Task


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(np.full((50, 100, 3), 90, np.uint8)).save(tmp_path / "a picture.png")
    return tmp_path / "a picture.png"


@pytest.fixture
def talk(tmp_path, picture):
    def begin(reply, context=None, task="conversation"):
        def show(name):
            return open_picture(name, ImageStore(tmp_path / "shown"), {})

        model = FakeModel(reply)
        conversation = Conversation(model, tmp_path / "shown", show(str(picture)), context)
        return Chat(conversation, show, task), model, conversation

    return begin


def turns(sample):
    return [turn.text for turn in sample.turns[:-1]]


def test_each_prompt_holds_what_was_said_before(talk):
    replies = iter(["Red.", "Two.", "No."])
    chat, model, _ = talk(lambda *_: next(replies))
    for line in ("What colour?", "How many?", "Really?"):
        chat.respond(line)
    assert [turns(sample) for sample in model.asked] == [
        ["<image>\nWhat colour?"],
        ["<image>\nWhat colour?", "Red.", "How many?"],
        ["<image>\nWhat colour?", "Red.", "How many?", "Two.", "Really?"],
    ]


def test_what_is_said_before_the_first_question_is_said_once(talk):
    chat, model, conversation = talk(lambda *_: "yes")
    conversation.show(replace(conversation.picture, preface="The image has 2 m per pixel."))
    chat.respond("First?")
    chat.respond("Second?")
    assert turns(model.asked[1]) == ["<image>\nThe image has 2 m per pixel.\nFirst?", "yes", "Second?"]


def test_a_task_words_questions_as_in_training_and_is_kept_in_what_was_said(talk):
    chat, model, _ = talk(lambda *_: "red")
    chat.respond("/task vqa")
    chat.respond("What colour?")
    chat.respond("/task conversation")
    chat.respond("Sure?")
    short = "<image>\nWhat colour?\nAnswer the question using a single word or phrase."
    assert turns(model.asked[1]) == [short, "red", "Sure?"]
    assert "must be one of" in chat.respond("/task region")


def test_boxes_are_told_in_pixels_of_the_file(talk):
    chat, model, conversation = talk(lambda *_: ("<ref>car</ref><box>[[100, 200, 300, 1000]]</box>", 0.123456))
    told = chat.respond("/find car")
    # 100x50 px: x 10 to 30, y 10 to 50
    assert "car: x 10.0 to 30.0, y 10.0 to 50.0" in told
    assert "pixels of the file" in told
    assert "likelihood 0.123" in told
    assert model.asked[0].task is Task.GROUNDING
    assert chat.respond("What is there?").count("x 10.0 to 30.0") == 1  # boxes of an open answer too
    assert conversation.rounds[0].boxes == (("car", (10.0, 10.0, 30.0, 50.0)),)


def test_what_cannot_be_read_and_what_is_empty_is_told(talk):
    replies = iter(["somewhere", "", "[[5, 5, 5, 5]]"])
    chat, model, _ = talk(lambda *_: next(replies))
    assert "no box can be read" in chat.respond("/find car")
    assert "(empty answer;" in chat.respond("Why?")
    assert "has no area" in chat.respond("/find car")
    assert len(turns(model.asked[2])) == 3  # one round, which has an answer


def test_a_line_cannot_write_markers_into_the_prompt(talk):
    chat, model, _ = talk(lambda *_: "<image> <|im_end|> yes")
    chat.respond("Is <image> <|im_start|> there?")
    chat.respond("Again?")
    assert turns(model.asked[1])[0] == "<image>\nIs &lt;image&gt; &lt;|im_start|&gt; there?"
    assert turns(model.asked[1])[1] == "&lt;image&gt; &lt;|im_end|&gt; yes"


def test_a_conversation_that_is_too_long_is_refused_and_nothing_is_cut(talk):
    context = Context(limit=100, max_new_tokens=10, count=lambda sample: 30 * len(sample.turns))
    chat, model, conversation = talk(lambda *_: "yes", context)
    chat.respond("First?")  # 60 + 10
    told = chat.respond("Second?")  # 120 + 10
    assert "120 tokens" in told
    assert "/reset" in told
    assert len(model.asked) == len(conversation.rounds) == 1
    chat.respond("/reset")
    assert turns(model.asked[0]) == ["<image>\nFirst?"]
    chat.respond("Second?")
    assert turns(model.asked[1]) == ["<image>\nSecond?"]


def test_the_context_of_a_checkpoint_is_counted_in_its_tokens(untrained, picture, tmp_path):
    model = CheckpointModel(str(untrained), AnsweringSettings("cpu", 1, 8))
    context = context_of(model, 8)
    shown = open_picture(str(picture), ImageStore(tmp_path / "shown"), {})
    conversation = Conversation(model, tmp_path / "shown", shown, context)
    conversation.ask("Is it red?", Task.CONVERSATION)
    config = model.loaded.internvl.config
    assert context.limit == config.text_config.max_position_embeddings
    with pytest.raises(UsageError, match="too long for the model"):
        conversation.ask("red " * context.limit, Task.CONVERSATION)
    assert len(conversation.rounds) == 1


def test_another_picture_begins_from_the_start(talk, tmp_path):
    Image.fromarray(np.zeros((20, 40), np.uint8)).save(tmp_path / "other.png")
    chat, model, _ = talk(lambda *_: "[[0, 0, 1000, 1000]]")
    chat.respond("First?")
    assert "other.png" in chat.respond(f"/image {tmp_path / 'other.png'}")
    assert "x 0.0 to 40.0, y 0.0 to 20.0" in chat.respond("/find all")
    assert len(model.asked[1].turns) == 2
    assert "no such file" in chat.respond("/image gone.png")


def test_a_conversation_is_saved_and_nothing_is_replaced(talk, tmp_path):
    chat, _, _ = talk(lambda *_: "yes")
    chat.respond("Is it?")
    out = tmp_path / "said.json"
    chat.respond(f"/save {out}")
    content = json.loads(out.read_text(encoding="utf-8"))
    assert content["picture"] == "a picture.png"
    assert [(one["question"], one["answer"]) for one in content["rounds"]] == [("Is it?", "yes")]
    assert str(tmp_path) not in out.read_text(encoding="utf-8")
    assert "it exists" in chat.respond(f"/save {out}")


def test_commands_that_are_none_are_refused(talk):
    chat, model, _ = talk(lambda *_: "yes")
    for line in ("/draw", "/find", "/image", "/save", "/task"):
        assert chat.respond(line).startswith("Error: ")
    assert chat.error_count == 5
    assert chat.respond("  ") == ""
    assert "/find THING" in chat.respond("/help")
    assert not model.asked
    assert not chat.is_over
    chat.respond("/quit")
    assert chat.is_over


def run(picture, model, lines):
    app = typer.Typer()
    app.command()(command.chat)
    arguments = [str(picture), "--model", str(model), "--device", "cpu", "--max-new-tokens", "4"]
    return CliRunner().invoke(app, arguments, input=lines)


def test_lines_of_standard_input_are_answered_until_it_ends(untrained, picture):
    done = run(picture, untrained, "Is it red?\n\n/find square\n")
    assert done.exit_code == 0, done.output
    assert "> Is it red?" in done.output
    assert done.output.count("likelihood") == 2
    ended = run(picture, untrained, "/quit\nIs it red?\n")
    assert "likelihood" not in ended.output


def test_an_error_in_a_script_is_told_by_the_exit_code(untrained, picture):
    done = run(picture, untrained, "/image gone.png\nIs it red?\n")
    assert done.exit_code == ExitCode.PARTIAL
    assert done.output.count("likelihood") == 1
