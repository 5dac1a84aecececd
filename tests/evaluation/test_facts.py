"""What is known of a sample: raw names stay, common ones are added, bins have the edges that are stated."""

from __future__ import annotations

from collections import Counter

import pytest
from converted import Converted
from protocol_cases import make_case_sample

from domainvl.converters.benchmarks.generate_medical_choices import generate_gmai_mmbench, generate_omni_med_vqa
from domainvl.converters.benchmarks.generate_medical_vqa import generate_slake
from domainvl.converters.drivelm.generate import generate_drivelm
from domainvl.converters.driving.words import DISTANCE_EDGES_M as SPOKEN_EDGES_M
from domainvl.converters.geotiff.generate import generate_scenes
from domainvl.converters.nuscenes.generate import generate_dataroot
from domainvl.evaluation.facts import DISTANCE_EDGES_M, sample_facts
from domainvl.schema import TextAnswer

TEXT = {"kind": "text", "text": "lung"}


def facts_of(**row) -> dict[str, str]:
    return sample_facts(make_case_sample(row.pop("id", "set/part/question-1"), **{"answer": TEXT, **row}))


def test_a_sample_says_what_it_is_and_what_its_id_begins_and_ends_with():
    facts = facts_of(domain="medical", converter="vqa-rad")
    expected = {
        "domain": "medical",
        "task": "vqa",
        "answer": "text",
        "converter": "vqa-rad",
        "id_prefix": "set",
        "id_suffix": "question-1",
    }
    assert facts.items() >= expected.items()


def test_raw_details_keep_their_names_and_never_replace_what_a_sample_is():
    facts = facts_of(details={"image_organ": "CHEST", "task": "other", "listed": [1], "row": 3})
    assert (facts["image_organ"], facts["body_part"], facts["task"], facts["row"]) == ("CHEST", "CHEST", "vqa", "3")
    assert "listed" not in facts


@pytest.mark.parametrize(
    ("details", "name", "value"),
    [
        ({"modality_type": "CT"}, "modality", "CT"),
        ({"modality": "MR", "modality_type": "CT"}, "modality", "MR"),
        ({"content_type": "Organ"}, "question_type", "Organ"),
        ({"template_type": "exist"}, "question_type", "exist"),
        ({"location": "Abdomen"}, "body_part", "Abdomen"),
        ({"image_source": "GoogleEarth"}, "sensor", "GoogleEarth"),
        ({"gsd_m": 0.29}, "gsd", "under 0.3 m a pixel"),
        ({"gsd_m": 0.3}, "gsd", "0.3 to 1 m a pixel"),
        ({"gsd_m": "10"}, "gsd", "10 to 30 m a pixel"),
        ({"gsd_m": 30}, "gsd", "30 m a pixel and more"),
        ({"gsd_m": 0}, "gsd", None),
        ({"gsd_m": "unknown"}, "gsd", None),
        ({"drivelm": {"category": "planning"}}, "question_type", "planning"),
    ],
)
def test_common_names(details, name, value):
    assert facts_of(details=details).get(name) == value


@pytest.mark.parametrize(
    ("size_px", "name"),
    [
        ((448, 100), "up to 448 px"),
        ((100, 449), "449 to 896 px"),
        ((896, 896), "449 to 896 px"),
        ((1793, 1), "more than 1792 px"),
    ],
)
def test_images_are_told_apart_by_the_tiles_that_they_span(size_px, name):
    assert facts_of(size_px=size_px)["image_size"] == name


@pytest.mark.parametrize(("text", "known"), [("yes", True), ("No.", True), ("not", False)])
def test_questions_with_yes_or_no_for_a_true_answer_are_known(text, known):
    assert ("yes_no" in facts_of(answer={"kind": "text", "text": text})) == known


def test_a_measure_tells_its_unit():
    assert facts_of(task="area", answer={"kind": "measure", "value": 3, "unit": "%"})["unit"] == "%"


@pytest.mark.parametrize(
    ("boxes", "size"),
    [
        ([["a", [0, 0, 31, 33]]], "small"),  # 1023 px2
        ([["a", [0, 0, 32, 32]]], "medium"),
        ([["a", [0, 0, 96, 96]]], "large"),
        ([["a", [0, 0, 10, 10]], ["a", [0, 0, 20, 20]]], "small"),
        ([["a", [0, 0, 10, 10]], ["a", [0, 0, 96, 96]]], "mixed"),
    ],
)
def test_objects_have_cocos_sizes(boxes, size):
    assert facts_of(task="grounding", answer=None, boxes=boxes)["object_size"] == size


def test_the_camera_is_that_of_what_the_answer_names():
    sample = make_case_sample("s", task="grounding", boxes=[["car", [0, 0, 10, 10]]], domain="driving")
    front, back = (sample.images[0].model_copy(update={"view": view}) for view in ("CAM_FRONT", "CAM_BACK"))
    thing = sample.objects[0].model_copy(update={"image": 1})
    shown = sample.model_copy(update={"images": (back, front), "objects": (thing,)})
    assert sample_facts(shown)["camera"] == "CAM_FRONT"
    assert sample_facts(shown.model_copy(update={"answer": TextAnswer(text="yes")}))["camera"] == "mixed"
    assert "camera" not in sample_facts(shown.model_copy(update={"domain": "medical"}))


def test_distances_have_the_borders_in_which_the_converters_speak():
    assert DISTANCE_EDGES_M == SPOKEN_EDGES_M


def test_medical_benchmarks_are_broken_down_by_their_own_groups(tmp_path):
    generate_omni_med_vqa(tmp_path / "omni", image_count=2)
    omni = Converted("omni-med-vqa", tmp_path / "omni", tmp_path / "omni-set").samples.values()
    assert Counter(sample_facts(sample)["question_type"] for sample in omni) == {
        "Modality Recognition": 2,
        "Disease Diagnosis": 2,
    }
    assert {sample_facts(sample)["modality"] for sample in omni} == {"Fundus Photography"}
    generate_gmai_mmbench(tmp_path / "gmai", row_count=4)
    gmai = [sample_facts(s) for s in Converted("gmai-mmbench", tmp_path / "gmai", tmp_path / "g").samples.values()]
    assert all(facts["question_type"] == facts["clinical vqa task"] for facts in gmai)
    assert {facts["perceptual granularity"] for facts in gmai} == {
        "Box Level",
        "Contour Level",
        "Image Level",
        "Mask Level",
    }
    generate_slake(tmp_path / "slake", image_count=6, seed=0)
    slake = [sample_facts(s) for s in Converted("slake", tmp_path / "slake", tmp_path / "s").samples.values()]
    assert {facts["body_part"] for facts in slake if facts["task"] == "vqa"} == {"Abdomen"}
    assert all("object_size" in facts for facts in slake if facts["task"] == "grounding")


def test_driving_sets_tell_camera_distance_and_kind_of_question(tmp_path):
    generate_dataroot(tmp_path / "root", scene_count=1, frames_per_scene=1, seed=0)
    samples = Converted("nuscenes", tmp_path / "root", tmp_path / "set").samples.values()
    asked = [(sample, sample_facts(sample)) for sample in samples if sample_facts(sample)["task"] == "region"]
    assert asked
    for sample, facts in asked:
        thing = sample.answer_objects()[0]
        low, _, high = facts["distance"].removesuffix(" m").partition(" to ")
        assert float(low) <= thing.attributes["distance_m"] < float(high)
        assert facts["camera"] == sample.images[thing.image].view
    generate_drivelm(tmp_path / "drivelm", scene_count=1, frames_per_scene=1, seed=0)
    drivelm = Converted("drivelm", tmp_path / "drivelm", tmp_path / "drivelm-set", val_fraction=0, test_fraction=0)
    kinds = {sample_facts(sample)["question_type"] for sample in drivelm.samples.values()}
    assert kinds == {"perception", "prediction", "planning", "behavior"}


def test_scenes_tell_the_size_of_a_pixel(tmp_path):
    generate_scenes(tmp_path / "scenes", scene_count=1, seed=0)
    labels = tmp_path / "scenes" / "labels.geojson"
    samples = Converted("geotiff", tmp_path / "scenes", tmp_path / "set", labels=labels).samples.values()
    facts = [sample_facts(sample) for sample in samples]
    assert facts
    for known in facts:
        low, _, high = known["gsd"].removesuffix(" m a pixel").partition(" to ")
        assert float(low) <= float(known["gsd_m"]) < float(high)


def test_boxes_are_oriented_where_each_that_is_asked_for_is():
    turned, upright = ("ship", [400, 400, 200, 100, 30]), ("ship", [0, 0, 100, 100])

    def oriented(**truth):
        return sample_facts(make_case_sample("s", task="detection", **truth)).get("oriented")

    assert oriented(oriented=[turned]) == oriented(oriented=[turned], ignored=[upright]) == "true"
    assert oriented(oriented=[turned], boxes=[upright]) is oriented(boxes=[upright]) is oriented() is None
