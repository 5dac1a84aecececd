"""Models from local folders: what they say is what transformers says, and a folder without one is refused clearly."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    CLIPModel,
    SiglipModel,
    ViTForImageClassification,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from domainvl.corpus.scoring.aesthetics import AestheticPredictor
from domainvl.corpus.scoring.classifiers import TextClassifier, UnsafeImages, find_label
from domainvl.corpus.scoring.clip import Clip
from domainvl.corpus.scoring.weights import check_folder, identity, load_weights
from domainvl.errors import CheckpointError, InputNotFoundError, UsageError

CPU = torch.device("cpu")
TEXTS = ["a cat", "b", "longer dog", "fog on sea"]


@pytest.fixture(scope="module")
def pictures():
    noise = np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3), np.uint8)
    return [PillowImage.fromarray(pixels) for pixels in noise]


def test_cosines_are_those_of_the_whole_model(clip_folder, pictures):
    clip = Clip(clip_folder, device=CPU, batch_size=3)
    pixels = CLIPImageProcessorPil.from_pretrained(clip_folder)(images=pictures, return_tensors="pt")
    tokens = AutoTokenizer.from_pretrained(clip_folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        whole = CLIPModel.from_pretrained(clip_folder)(**tokens, **pixels)
    expected = whole.image_embeds @ whole.text_embeds.T
    images = clip.encode_images([clip.prepare(picture) for picture in pictures])
    texts, cut_count = clip.encode_texts(TEXTS)
    np.testing.assert_allclose(images @ texts.T, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    assert (clip.width, cut_count) == (8, 0)


def test_siglip_gets_texts_of_full_length(siglip_folder, pictures):
    clip = Clip(siglip_folder, device=CPU, batch_size=2)
    texts = ["w1 w2", "w3", "w4 w5 w6 w7"]
    pixels = ViTImageProcessorPil.from_pretrained(siglip_folder)(images=pictures, return_tensors="pt")
    tokens = AutoTokenizer.from_pretrained(siglip_folder)(
        texts, padding="max_length", max_length=12, return_tensors="pt"
    )
    with torch.no_grad():
        whole = SiglipModel.from_pretrained(siglip_folder)(**tokens, **pixels)
    images = clip.encode_images([clip.prepare(picture) for picture in pictures])
    expected = (whole.image_embeds @ whole.text_embeds.T).numpy()
    np.testing.assert_allclose(images @ clip.encode_texts(texts)[0].T, expected, atol=1e-5)


def test_a_long_text_is_cut_at_a_token_and_counted(clip_folder):
    """Begin, 14 letters and end are the 16 tokens that the model reads."""
    clip = Clip(clip_folder, device=CPU, batch_size=8)
    features, cut_count = clip.encode_texts(["abcdefghijklmn", "abcdefghijklmnopq", "abcdefghijklmnxyz"])
    assert cut_count == 2
    np.testing.assert_allclose(features[1], features[2], atol=1e-6)


def test_the_size_of_a_batch_changes_nothing(clip_folder, pictures):
    one, many = (Clip(clip_folder, device=CPU, batch_size=size) for size in (1, 64))
    texts = [*TEXTS, "a rather long text", "x" * 30]
    np.testing.assert_allclose(one.encode_texts(texts)[0], many.encode_texts(texts)[0], atol=1e-5)
    prepared = [one.prepare(picture) for picture in pictures]
    alone = np.concatenate([one.encode_images([picture]) for picture in prepared])
    np.testing.assert_allclose(alone, many.encode_images(prepared), atol=1e-5)


def aesthetic_weights(width: int = 3) -> dict[str, torch.Tensor]:
    """Layers that sum what they get, and add 1, 2, 3, 4 and 5."""
    inner = {0: width, 2: 2, 4: 2, 6: 2, 7: 2}
    outer = {0: 2, 2: 2, 4: 2, 6: 2, 7: 1}
    tensors = {}
    for bias, layer in enumerate(inner, start=1):
        tensors[f"layers.{layer}.weight"] = torch.ones(outer[layer], inner[layer])
        tensors[f"layers.{layer}.bias"] = torch.full((outer[layer],), float(bias))
    return tensors


def test_the_aesthetic_score_is_that_computed_by_hand(tmp_path):
    """Features (0.6, 0, 0.8) sum to 1.4; + 1 = 2.4; x 2 + 2 = 6.8; x 2 + 3 = 16.6; x 2 + 4 = 37.2; x 2 + 5 = 79.4.

    Features (0, -1, 0): -1 + 1 = 0, 2, 7, 18, 41: a negative value between would show an activation.
    """
    torch.save(aesthetic_weights(), tmp_path / "linear.pth")
    features = np.array([[0.6, 0, 0.8], [0, -1, 0], [-3, 0, 0]], np.float32)
    # (-3, 0, 0): -2, -2, -1, 2, 9
    expected = [79.4, 41, 9]
    np.testing.assert_allclose(AestheticPredictor(tmp_path / "linear.pth", width=3)(features), expected, rtol=1e-6)
    folder = tmp_path / "folder"
    folder.mkdir()
    save_file(aesthetic_weights(), folder / "linear.safetensors")
    np.testing.assert_allclose(AestheticPredictor(folder, width=3)(features), expected, rtol=1e-6)


def test_a_predictor_of_another_width_is_refused(tmp_path):
    save_file(aesthetic_weights(768), tmp_path / "linear.safetensors")
    with pytest.raises(CheckpointError, match="width 768, and those of --clip have 512"):
        AestheticPredictor(tmp_path / "linear.safetensors", width=512)


class _Code:
    def __reduce__(self):
        return print, ("code of a stranger",)


@pytest.mark.parametrize("fault", ["missing", "relu", "code", "names", "no-tensors", "damaged", "shape"])
def test_a_file_that_is_no_predictor_is_refused(tmp_path, fault, capsys):
    path = tmp_path / ("ava+logos-l14-reluMSE.pth" if fault == "relu" else "linear.pth")
    tensors = aesthetic_weights()
    if fault == "names":
        tensors["layers.8.bias"] = tensors.pop("layers.7.bias")
    if fault == "shape":
        tensors["layers.4.weight"] = torch.ones(2, 5)
    content = {"code": {"a": _Code()}, "no-tensors": [1, 2]}.get(fault, tensors)
    if fault == "damaged":
        path.write_bytes(b"PK\x03\x04 half a file")
    elif fault != "missing":
        torch.save(content, path)
    with pytest.raises(InputNotFoundError if fault == "missing" else CheckpointError, match="aesthetic predictor"):
        AestheticPredictor(path, width=3)
    assert "stranger" not in capsys.readouterr().out


def test_the_probability_of_an_unsafe_image_is_the_model_s(nsfw_folder, pictures):
    scorer = UnsafeImages(nsfw_folder, None, device=CPU)
    pixels = ViTImageProcessorPil.from_pretrained(nsfw_folder)(images=pictures, return_tensors="pt")
    with torch.no_grad():
        logits = ViTForImageClassification.from_pretrained(nsfw_folder)(**pixels).logits.numpy()
    expected = np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1)
    np.testing.assert_allclose(scorer([scorer.prepare(picture) for picture in pictures]), expected, atol=1e-6)
    other = UnsafeImages(nsfw_folder, "Normal", device=CPU)
    np.testing.assert_allclose(other([other.prepare(pictures[0])]), 1 - expected[:1], atol=1e-6)


def probability(folder, words: list[str]) -> float:
    tokens = AutoTokenizer.from_pretrained(folder)(" ".join(words), return_tensors="pt")
    with torch.no_grad():
        logits = BertForSequenceClassification.from_pretrained(folder)(**tokens).logits[0]
    return float(torch.softmax(logits, 0)[1])


def test_a_long_text_is_the_mean_of_its_parts_by_length(toxic_folder):
    """19 words are parts of 8, 8 and 3: the model has 12 positions, 2 of them for RoBERTa's sake and 2 for marks."""
    words = [f"w{n}" for n in range(19)]
    parts = [probability(toxic_folder, words[begin : begin + 8]) for begin in (0, 8, 16)]
    expected = (8 * parts[0] + 8 * parts[1] + 3 * parts[2]) / 19
    for size in (1, 2, 8):
        scorer = TextClassifier("toxic_prob", toxic_folder, None, device=CPU, batch_size=size)
        assert scorer(" ".join(words)) == pytest.approx(expected, abs=1e-6)
    assert len({round(part, 4) for part in parts}) == 3
    assert scorer("w1 w2") == pytest.approx(probability(toxic_folder, ["w1", "w2"]), abs=1e-6)


def test_labels_that_do_not_exclude_each_other_have_their_own_probability(toxic_folder, tmp_path):
    folder = shutil.copytree(toxic_folder, tmp_path / "several")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "problem_type": "multi_label_classification"}))
    of_label = [
        TextClassifier("score", folder, label, device=CPU, batch_size=1)("w1 w2 w3") for label in ("fine", "toxic")
    ]
    odds = [np.log(value / (1 - value)) for value in of_label]
    alone = probability(toxic_folder, ["w1", "w2", "w3"])
    assert odds[1] - odds[0] == pytest.approx(np.log(alone / (1 - alone)), abs=1e-5)


@pytest.mark.parametrize("kind", [None, "regression"])
def test_one_answer_alone_is_a_probability_unless_the_model_was_trained_for_regression(toxic_folder, tmp_path, kind):
    folder = tmp_path / "single"
    config = BertConfig.from_pretrained(toxic_folder, num_labels=1, problem_type=kind)
    torch.manual_seed(4)
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(toxic_folder)
    tokenizer.save_pretrained(folder)
    with torch.no_grad():
        logit = float(model(**tokenizer("w1 w2", return_tensors="pt")).logits)
    expected = logit if kind else 1 / (1 + np.exp(-logit))
    scorer = TextClassifier("quality", folder, None, device=CPU, batch_size=1)
    assert scorer("w1 w2") == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("labels", "wanted", "words", "found"),
    [
        (["normal", "nsfw"], None, ["nsfw"], 1),
        (["not_nsfw", "nsfw"], None, ["nsfw"], 1),
        (["safe", "nsfw_image"], None, ["nsfw", "porn"], 1),
        (["a", "b"], "B", ["a"], 1),
        (["only"], None, ["x"], 0),
    ],
)
def test_the_label_is_found_by_its_name(tmp_path, labels, wanted, words, found):
    assert find_label(dict(enumerate(labels)), wanted, words, tmp_path, "--x") == found


@pytest.mark.parametrize(
    ("labels", "wanted"), [(["LABEL_0", "LABEL_1"], None), (["nsfw-a", "nsfw-b"], None), (["a", "b"], "c")]
)
def test_a_label_that_is_not_clear_must_be_named(tmp_path, labels, wanted):
    with pytest.raises(UsageError, match=", ".join(labels) + ".*--nsfw-label"):
        find_label(dict(enumerate(labels)), wanted, ["nsfw"], tmp_path, "--nsfw-label")


def test_a_folder_without_a_model_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(InputNotFoundError, match="--clip.*no such folder.*Nothing is downloaded"):
        check_folder(tmp_path / "none", "--clip")
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        check_folder(tmp_path, "--clip")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no weights"):
        check_folder(tmp_path, "--clip")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin, which can hold code\. .*convert"):
        check_folder(tmp_path, "--clip")


def test_a_model_with_a_part_missing_is_refused(toxic_folder, tmp_path):
    """A classifier whose last layer starts from random numbers would answer at random."""
    folder = shutil.copytree(toxic_folder, tmp_path / "half")
    tensors = {
        name: value for name, value in load_file(folder / "model.safetensors").items() if "classifier" not in name
    }
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"2 are not, such as classifier\.bias"):
        load_weights(BertForSequenceClassification, folder, "--text-classifier x")


def test_a_model_of_another_kind_is_refused(toxic_folder):
    with pytest.raises(CheckpointError, match="features of images and of texts, got a BertModel"):
        Clip(toxic_folder, device=CPU, batch_size=1)


@pytest.mark.parametrize("damage", ["cut", "no-json"])
def test_a_damaged_checkpoint_is_refused(toxic_folder, tmp_path, damage):
    folder = shutil.copytree(toxic_folder, tmp_path / "damaged")
    if damage == "cut":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:100])
    else:
        (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        load_weights(BertModel, folder, "--clip")


def test_a_model_is_known_by_what_is_in_it(toxic_folder, tmp_path):
    copy = shutil.copytree(toxic_folder, tmp_path / toxic_folder.name)
    assert identity(copy) == identity(toxic_folder)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert identity(copy)["sha256"] != identity(toxic_folder)["sha256"]
