"""nuImages: tables and images become questions about hand-drawn boxes; what is broken costs itself only."""

from __future__ import annotations

import hashlib
import json
import random

import numpy as np
import pytest
from converted import Converted
from PIL import Image as PillowImage

from domainvl.converters.nuimages import CONVERTER, inspection
from domainvl.converters.nuimages import convert as convert_module
from domainvl.converters.nuimages.generate import generate_nuimages
from domainvl.errors import ExitCode, NothingToDoError, UsageError
from domainvl.schema import CountAnswer, Split, Task

COLOURS = {
    "car": (200, 40, 40), "truck": (40, 70, 200), "pedestrian": (60, 200, 90), "traffic cone": (250, 140, 20),
    "bicycle": (230, 220, 60),
}  # fmt: skip
MINI = "v1.0-mini"


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nuimages")
    generate_nuimages(folder, image_count=12, seed=3)
    return folder


@pytest.fixture(scope="module")
def done(release, tmp_path_factory):
    return Converted(CONVERTER, release, tmp_path_factory.mktemp("done") / "out", val_fraction=0.4, split_seed=1)


@pytest.fixture
def mini(tmp_path):
    """A version of one log of two images; the first has two cars and a cone, the second a pedestrian."""
    folder = tmp_path / "root"
    generate_nuimages(folder, image_count=2, seed=5, versions=[MINI])
    tables = Tables(folder / MINI)
    tables["object_ann"] = [
        tables.thing(0, "a0", "vehicle.car", [10, 90, 60, 120], "vehicle.moving"),
        tables.thing(0, "a1", "vehicle.car", [100, 90, 160, 130], "vehicle.parked"),
        tables.thing(0, "a2", "movable_object.trafficcone", [200, 90, 214, 110]),
        tables.thing(1, "a3", "human.pedestrian.adult", [306, 80, 320, 120], "pedestrian.standing"),
    ]
    tables.write()
    return tables


class Tables(dict):
    """Tables of a version, to be changed; ``folder.parent`` is the data root."""

    def __init__(self, folder):
        super().__init__({path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))})
        self.folder = folder

    def thing(self, image, token, category, bbox, *attributes):
        return {
            "token": token,
            "sample_data_token": self["sample"][image]["key_camera_token"],
            "category_token": self.token("category", category),
            "attribute_tokens": [self.token("attribute", name) for name in attributes],
            "bbox": bbox,
            "mask": None,
        }

    def token(self, table, name):
        return next(row["token"] for row in self[table] if row["name"] == name)

    def write(self):
        for name, rows in self.items():
            (self.folder / f"{name}.json").write_text(json.dumps(rows))

    def convert(self, out, **settings):
        self.write()
        return Converted(CONVERTER, self.folder.parent, out, val_fraction=0.0, **settings)

    def sample(self, image):
        return self["sample"][image]["token"]


def answers(done, sample):
    """Question and reply of each sample about an image, by key."""
    prefix = f"{MINI}/{sample}/"
    return {
        sample_id.removeprefix(prefix): (one.question, one.turns[1].text)
        for sample_id, one in done.samples.items()
        if sample_id.startswith(prefix)
    }


def test_drv_60_nuimages_boxes_fit_what_is_drawn(done):
    seen = {}
    for sample in done.samples.values():
        seen.setdefault(sample.images[0].path, sample)
    checked = 0
    for path, sample in seen.items():
        pixels = np.asarray(PillowImage.open(done.out / path)).astype(int)
        for thing in sample.objects:
            x_min, y_min, x_max, y_max = thing.box_px
            # Things stand in columns of 64 px of their own.
            left = int(x_min) // 64 * 64
            near = np.abs(pixels[:, left : left + 64] - COLOURS[thing.label]).sum(axis=-1) < 90
            rows, columns = np.nonzero(near)
            found = (columns.min() + left, rows.min(), columns.max() + 1 + left, rows.max() + 1)
            assert found == pytest.approx((x_min, y_min, x_max, y_max), abs=1.5)
            assert thing.attributes["box_source"] == "2d-label"
            checked += 1
    assert checked > 50


def test_drv_60_nuimages_asks_about_presence_number_place_name_and_looks(done):
    asked = {sample.task for sample in done.samples.values()}
    assert asked == {Task.PRESENCE, Task.COUNTING, Task.GROUNDING, Task.REGION, Task.CAPTION}
    assert {sample.domain for sample in done.samples.values()} == {"driving"}
    assert {sample.images[0].view for sample in done.samples.values()} <= {"FRONT", "FRONT_LEFT", "BACK"}


def test_drv_60_the_answers_about_an_image_follow_from_its_labels(mini, tmp_path):
    done = mini.convert(tmp_path / "out")
    assert done.rejects == []
    first = answers(done, mini.sample(0))
    view = next(iter(done.samples.values())).images[0].view
    # 200/320, 90/180, 214/320 and 110/180 in thousandths.
    assert first[f"grounding-a2/{view}"] == (
        "traffic cone",
        "<ref>traffic cone</ref><box>[[625, 500, 669, 611]]</box>",
    )
    assert first["caption"][1].startswith("There are 2 instances of car and 1 instance of traffic cone in the image.")
    assert f"grounding-a0/{view}" not in first
    assert first["presence-yes"][0] in ("Is there any car in the image?", "Is there any traffic cone in the image?")
    assert first["presence-no"][1] == "no"
    objects = {thing.id: thing for thing in done.samples[f"{MINI}/{mini.sample(0)}/presence-yes"].objects}
    assert objects[f"a0/{view}"].box_px == (10, 90, 60, 120)
    assert objects[f"a0/{view}"].attributes == {
        "category": "vehicle.car",
        "box_source": "2d-label",
        "motion": "moving",
        "attribute": "vehicle.moving",
    }
    assert objects[f"a1/{view}"].attributes["motion"] == "not moving"
    assert "motion" not in objects[f"a2/{view}"].attributes
    assert not objects[f"a0/{view}"].truncated
    (person,) = done.samples[f"{MINI}/{mini.sample(1)}/presence-yes"].objects
    assert person.truncated
    assert person.attributes["motion"] == "not moving"


def test_drv_60_absent_classes_are_those_that_were_looked_for(done):
    names = {label for label in COLOURS}
    for sample in done.samples.values():
        if sample.task is Task.PRESENCE:
            label = sample.question.removeprefix("Is there any ").removesuffix(" in the image?")
            assert label in names  # flat.driveable_surface is a surface: no object is ever labelled so
            present = {thing.label for thing in sample.objects}
            assert (sample.answer.text == "yes") == (label in present) or not present
        if isinstance(sample.answer, CountAnswer) and sample.objects:
            label = sample.question.removeprefix("How many instances of ").removesuffix(" are in the image?")
            assert sample.answer.count == sum(thing.label == label for thing in sample.objects)


def test_drv_60_official_splits_follow_the_folder_and_logs_are_not_divided(done):
    assert {sample.id.split("/")[0] for sample in done.of_split[Split.TEST]} == {"v1.0-val"}
    assert all(sample.fixed_split is Split.TEST for sample in done.of_split[Split.TEST])
    logs = {split: {sample.group for sample in samples} for split, samples in done.of_split.items()}
    assert logs[Split.TEST] == {f"generated-val-{number:03d}" for number in range(3)}
    assert logs[Split.TRAIN] | logs[Split.VAL] == {f"generated-train-{number:03d}" for number in range(3)}
    assert logs[Split.TRAIN]
    assert logs[Split.VAL]
    assert not logs[Split.TRAIN] & logs[Split.VAL]


def test_drv_60_a_version_without_annotations_is_left_out(done, release, tmp_path):
    assert done.reasons() == [("v1.0-test", "no-labels")]
    assert done.rejects[0]["severity"] == "skipped"
    assert "v1.0-val" in done.rejects[0]["action"]
    with pytest.raises(NothingToDoError, match="v1.0-mini, v1.0-train or v1.0-val"):
        Converted(CONVERTER, release, tmp_path / "out", version="v1.0-test")


def test_drv_12_nuimages_files_are_copied_byte_for_byte(done, release):
    for sample in done.samples.values():
        content = (release / sample.images[0].source.uri).read_bytes()
        assert (done.out / sample.images[0].path).read_bytes() == content
        assert sample.images[0].source.sha256 == hashlib.sha256(content).hexdigest()
        assert sample.images[0].source.size_bytes == len(content)


def test_drv_62_the_card_says_that_use_is_non_commercial(done):
    assert done.manifest["licence"] == "CC-BY-NC-SA-4.0"
    card = (done.out / "card.md").read_text()
    assert "license: cc-by-nc-sa-4.0" in card
    assert "- non-commercial" in card
    assert any("masks" in note for note in done.manifest["notes"])


def test_drv_60_the_order_of_rows_and_the_size_of_units_change_nothing(release, done, tmp_path, monkeypatch):
    for version in ("v1.0-train", "v1.0-val"):
        tables = Tables(release / version)
        tables.folder = tmp_path / "root" / version
        tables.folder.mkdir(parents=True)
        for rows in tables.values():
            random.Random(8).shuffle(rows)
        tables.write()
    (tmp_path / "root" / "samples").symlink_to(release / "samples")
    monkeypatch.setattr(convert_module, "_IMAGES_A_UNIT", 3)
    again = Converted(CONVERTER, tmp_path / "root", tmp_path / "out", val_fraction=0.4, split_seed=1)
    assert {name: sample.model_dump() for name, sample in again.samples.items()} == {
        name: sample.model_dump() for name, sample in done.samples.items()
    }
    assert [again.ids(split) for split in Split] == [done.ids(split) for split in Split]
    assert again.rejects == []


def test_drv_04_a_box_that_cannot_be_costs_itself_and_what_is_known_of_its_class(mini, tmp_path):
    bad = {"a0": [60, 90, 10, 120], "a1": [100, 90, 321, 130], "a2": [200, 90, 214]}
    for row in mini["object_ann"]:
        row["bbox"] = bad.get(row["token"], row["bbox"])
    mini["object_ann"].append(mini.thing(0, "a4", "vehicle.truck", [0, 80, 50, 140]))
    done = mini.convert(tmp_path / "out")
    assert done.reasons() == [(f"{MINI}/object_ann {token}", "bad-box") for token in bad]
    said = [reject["message"] for reject in done.rejects]
    assert "[60.0, 90.0, 10.0, 120.0]" in said[0]
    assert "320x180" in said[1]
    assert "got 3" in said[2]
    first = answers(done, mini.sample(0))
    assert first["presence-yes"][0] == "Is there any truck in the image?"
    # Cars and cones are there; a class that is neither must be the absent one.
    assert first["presence-no"][0] in ("Is there any pedestrian in the image?", "Is there any bicycle in the image?")
    assert "car" not in first["caption"][1]


def test_drv_60_small_things_are_not_asked_about(mini, tmp_path):
    done = mini.convert(tmp_path / "out", min_side_px=25)
    first = answers(done, mini.sample(0))
    assert "traffic cone" not in first["caption"][1]
    assert all("cone" not in question for question, _ in first.values())


def test_drv_60_bicycles_are_not_counted_where_a_rack_may_hold_more(mini, tmp_path):
    mini["category"].append({"token": "rack", "name": "static_object.bicycle_rack", "description": ""})
    mini["object_ann"] += [
        mini.thing(0, "a5", "vehicle.bicycle", [220, 90, 250, 120]),
        {**mini.thing(0, "a6", "vehicle.car", [260, 90, 300, 120]), "category_token": "rack"},
    ]
    done = mini.convert(tmp_path / "out", tasks="presence,counting,grounding,region,caption,detection")
    first = answers(done, mini.sample(0))
    assert any("bicycle rack" in text for pair in first.values() for text in pair)
    assert not any(text.replace("bicycle rack", "").count("bicycle") for pair in first.values() for text in pair)
    # Without the rack, the other image may be asked about bicycles.
    assert "detection" not in first
    assert "bicycle" in answers(done, mini.sample(1))["detection"][0]


def change_sample(key, value):
    def change(mini):
        mini["sample"][1][key] = value
        return f"{MINI}/sample {mini.sample(1)}"

    return change


def change_row(table, index, key, value, culprit="sample"):
    def change(mini):
        row = mini[table][index]
        row[key] = value
        return f"{MINI}/sample {mini.sample(1)}" if culprit == "sample" else f"{MINI}/{table} {row['token']}"

    return change


# sample_data holds a sweep, the image and a lidar scan of each sample: the image of the second is row 4.
IMAGE = 4


@pytest.mark.parametrize(
    ("change", "reason", "said"),
    [
        (change_sample("log_token", "x"), "dangling-token", "no log 'x'"),
        (change_sample("key_camera_token", "x"), "dangling-token", "no sample_data 'x'"),
        (change_row("sample_data", IMAGE, "calibrated_sensor_token", "x"), "dangling-token", "leads to no sensor"),
        (
            change_row("sample_data", IMAGE, "width", None),
            "bad-image-size",
            "must have a width and height, got None, 180",
        ),
        (change_row("sample_data", IMAGE, "filename", "../up.jpg"), "outside-dataroot", "'../up.jpg'"),
        (change_row("sample_data", IMAGE, "filename", "/etc/up.jpg"), "outside-dataroot", "'/etc/up.jpg'"),
        (change_row("sample_data", IMAGE, "filename", "..\\up.jpg"), "outside-dataroot", "up.jpg'"),
        (change_row("object_ann", 3, "category_token", "x"), "dangling-token", "no category 'x' of object_ann a3"),
    ],
)
def test_drv_04_what_does_not_join_costs_its_image(mini, tmp_path, change, reason, said):
    name = change(mini)
    done = mini.convert(tmp_path / "out")
    found = [reject for reject in done.rejects if reject["input"] == name]
    assert [reject["reason"] for reject in found] == [reason]
    # One fault, one reject; only a thing whose image no sample names any more is told of too.
    assert len(done.rejects) == (2 if "sample_data 'x'" in said else 1)
    assert f"Cannot use {name}: " in found[0]["message"]
    assert said in found[0]["message"]
    assert found[0]["action"] == "Fetch the metadata again"
    assert found[0]["severity"] == "failed"
    assert {sample_id.split("/")[1] for sample_id in done.samples} == {mini.sample(0)}
    assert done.summary.exit_code is ExitCode.PARTIAL


def test_drv_04_an_object_of_no_image_and_an_unknown_attribute_cost_themselves(mini, tmp_path):
    mini["object_ann"][1]["attribute_tokens"] = ["x"]
    mini["object_ann"].append({**mini.thing(0, "a7", "vehicle.truck", [0, 80, 50, 140]), "sample_data_token": "y"})
    done = mini.convert(tmp_path / "out")
    assert done.reasons() == [
        (f"{MINI}/object_ann a1", "dangling-token"),
        (f"{MINI}/object_ann a7", "dangling-token"),
    ]
    objects = done.samples[f"{MINI}/{mini.sample(0)}/presence-yes"].objects
    assert [thing.attributes.get("motion") for thing in objects] == ["moving", None, None]


def test_drv_04_of_rows_with_the_same_token_the_first_counts(mini, tmp_path):
    mini["object_ann"].append(mini.thing(0, "a0", "vehicle.truck", [0, 80, 50, 140]))
    image = mini["sample_data"][1]
    mini["sample_data"].append({**image, "filename": "samples/CAM_FRONT/other.jpg"})
    mini["sample"].append({**mini["sample"][0], "token": "z"})
    done = mini.convert(tmp_path / "out")
    assert done.reasons() == [
        (f"{MINI}/object_ann a0", "duplicate-token"),
        (f"{MINI}/sample z", "duplicate-token"),
        (f"{MINI}/sample_data {image['token']}", "duplicate-token"),
    ]
    first = done.samples[f"{MINI}/{mini.sample(0)}/presence-yes"]
    assert [thing.label for thing in first.objects] == ["car", "car", "traffic cone"]
    assert first.images[0].source.uri == image["filename"]


@pytest.mark.parametrize(("strict", "severity"), [(False, "skipped"), (True, "failed")])
def test_drv_02_a_missing_image_is_counted_and_the_others_are_converted(mini, tmp_path, strict, severity):
    missing = mini["sample_data"][IMAGE]["filename"]
    (mini.folder.parent / missing).unlink()
    done = mini.convert(tmp_path / "out", strict=strict)
    assert done.reasons() == [(missing, "missing-image")]
    assert done.rejects[0]["severity"] == severity
    assert {sample_id.split("/")[1] for sample_id in done.samples} == {mini.sample(0)}


def test_drv_02_a_broken_image_and_one_of_another_size_are_named(mini, tmp_path):
    names = [mini["sample_data"][index]["filename"] for index in (1, IMAGE)]
    (mini.folder.parent / names[0]).write_bytes(b"no image")
    PillowImage.new("RGB", (160, 90)).save(mini.folder.parent / names[1], format="JPEG")
    mini["sample"].append({**mini["sample"][0], "token": "z", "key_camera_token": "third"})
    third = {**mini["sample_data"][1], "token": "third", "filename": "samples/third.jpg"}
    mini["sample_data"].append(third)
    PillowImage.new("RGB", (320, 180)).save(mini.folder.parent / third["filename"], format="JPEG")
    done = mini.convert(tmp_path / "out")
    assert sorted(done.reasons()) == sorted([(names[0], "image-decode"), (names[1], "image-size")])
    # Nothing is in the third image: a question about an absent class is all that there can be.
    assert {key for key in answers(done, "z")} <= {"presence-no", "counting"}


def test_drv_60_a_log_of_both_official_sets_is_kept_where_it_is_most_held_out(release, tmp_path):
    for version in ("v1.0-train", "v1.0-val"):
        tables = Tables(release / version)
        tables["log"][0]["logfile"] = "shared"
        tables.folder = tmp_path / "root" / version
        tables.folder.mkdir(parents=True)
        tables.write()
    (tmp_path / "root" / "samples").symlink_to(release / "samples")
    done = Converted(CONVERTER, tmp_path / "root", tmp_path / "out", val_fraction=0.0)
    shared = [sample for sample in done.samples.values() if sample.group == "shared"]
    assert {sample.split for sample in shared} == {Split.TEST}
    assert [reject["reason"] for reject in done.rejects] == ["image-in-val"] * 4
    assert "1 of the 3 logs of the official val set also occur in the official train set" in done.manifest["notes"][2]
    kept = Converted(CONVERTER, tmp_path / "root", tmp_path / "all", val_fraction=0.0, leakage="as-published")
    assert kept.rejects == []
    groups = {(sample.group, sample.split) for sample in kept.samples.values() if "shared" in sample.group}
    assert groups == {("shared", Split.TRAIN), ("shared (official val)", Split.TEST)}


def test_drv_60_without_a_table_of_logs_the_token_is_the_group(mini, tmp_path):
    (token,) = {sample["log_token"] for sample in mini["sample"]}
    del mini["log"]
    (mini.folder / "log.json").unlink()
    assert {sample.group for sample in mini.convert(tmp_path / "out").samples.values()} == {token}


def test_drv_60_a_table_that_breaks_the_format_is_refused_by_name(mini, tmp_path):
    mini["sample_data"][3]["timestamp"] = 1.5
    with pytest.raises(UsageError, match=r"sample_data.*timestamp"):
        mini.convert(tmp_path / "out")
    (mini.folder / "category.json").unlink()
    del mini["category"]
    with pytest.raises(UsageError, match=r"category\.json"):
        mini.convert(tmp_path / "out")


def test_drv_60_folders_that_are_not_nuimages_are_refused_with_a_way_out(mini, tmp_path):
    root = mini.folder.parent
    with pytest.raises(UsageError, match="v1.0-other.*present are: v1.0-mini"):
        Converted(CONVERTER, root, tmp_path / "out", version="v1.0-other")
    (root / "v1.0-b").mkdir()
    with pytest.raises(UsageError, match="--version"):
        Converted(CONVERTER, root, tmp_path / "out")
    (mini.folder / "sample_annotation.json").write_text("[]")
    with pytest.raises(UsageError, match="domainvl convert nuscenes"):
        Converted(CONVERTER, root, tmp_path / "out", version=MINI)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="none is present"):
        Converted(CONVERTER, tmp_path / "empty", tmp_path / "out")


def test_a_look_counts_images_objects_samples_and_tokens(release, done, monkeypatch):
    settings = CONVERTER.settings_type(val_fraction=0.4, split_seed=1)
    monkeypatch.setattr(inspection, "draw_sheet", lambda tiles, columns: None)
    look = CONVERTER.inspect(release, settings)
    assert [row[:3] for row in look.rows] == [
        ("v1.0-train", "3", "12, 12 on disk"),
        ("v1.0-val", "3", "12, 12 on disk"),
    ]
    for version, _, _, cameras, objects, samples, tokens in look.rows:
        tables = Tables(release / version)
        names = {row["token"]: row["name"] for row in tables["category"]}
        labels = [names[row["category_token"]] for row in tables["object_ann"]]
        assert f"{labels.count('vehicle.car')} car" in objects.splitlines()
        assert sum(int(line.split()[0]) for line in objects.splitlines()) == len(labels)
        assert sum(int(line.split("/")[1]) for line in cameras.splitlines()) == 12
        made = [sample_id for sample_id in done.samples if sample_id.startswith(f"{version}/")]
        assert samples == str(len(made))
        # Of the grids of up to 12 tiles 2 x 1 is nearest to 16:9; with the thumbnail there are 3 tiles.
        assert int(tokens) == 3 * 256 * len(made)
    assert f"{len(done.samples)} samples" in look.notes[0]
    assert [reject.reason for reject in look.rejects] == ["no-labels"]
    # Of many images, some are counted.
    monkeypatch.setattr(inspection, "_COUNTED_IMAGES", 5)
    some = CONVERTER.inspect(release, settings)
    assert [row[5].partition(" ")[2] for row in some.rows] == ["of 3 images", "of 2 images"]
    assert "of 5 of the 24 images; about " in some.notes[0]


def test_the_sheet_of_a_look_shows_boxes_on_six_images(release, mini, monkeypatch):
    drawn = []
    monkeypatch.setattr(inspection, "draw_sheet", lambda tiles, columns: drawn.extend(tiles))
    CONVERTER.inspect(release, CONVERTER.settings_type())
    assert len(drawn) == 6
    for tile in drawn:
        assert tile.pixels.shape == (180, 320, 3)
        assert tile.boxes
        for (x_min, _, x_max, y_max), label, _ in tile.boxes:
            colour = tile.pixels[round(y_max) - 3, round((x_min + x_max) / 2)].astype(int)
            assert label == "bicycle" or np.abs(colour - COLOURS[label]).sum() < 90
    drawn.clear()
    person = mini["object_ann"].pop()
    mini.write()
    CONVERTER.inspect(mini.folder.parent, CONVERTER.settings_type())
    assert [[label for _, label, _ in tile.boxes] for tile in drawn] == [["car", "car", "traffic cone"]]
    drawn.clear()
    mini["object_ann"].append(person)
    missing, broken = (mini.folder.parent / mini["sample_data"][index]["filename"] for index in (1, IMAGE))
    missing.unlink()
    mini.write()
    look = CONVERTER.inspect(mini.folder.parent, CONVERTER.settings_type())
    assert look.rows[0][2] == "2, 1 on disk"
    assert [[label for _, label, _ in tile.boxes] for tile in drawn] == [["pedestrian"]]
    broken.write_bytes(b"no image")
    assert CONVERTER.inspect(mini.folder.parent, CONVERTER.settings_type()).contact_sheet is None


def test_drv_60_tasks_are_checked_and_varied_phrasing_asks_the_same(mini, tmp_path):
    with pytest.raises(ValueError, match="each once"):
        CONVERTER.settings_type(tasks="presence,area")
    plain = mini.convert(tmp_path / "plain", tasks="counting, presence")
    varied = mini.convert(tmp_path / "varied", tasks="presence,counting", phrasing="varied", phrasing_seed=2)
    assert {sample.task for sample in plain.samples.values()} == {Task.PRESENCE, Task.COUNTING}
    assert {name: sample.answer for name, sample in plain.samples.items()} == {
        name: sample.answer for name, sample in varied.samples.items()
    }
    assert {sample.question for sample in plain.samples.values()} != {
        sample.question for sample in varied.samples.values()
    }


def test_drv_60_equal_seeds_generate_equal_bytes(release, tmp_path):
    generate_nuimages(tmp_path, image_count=12, seed=3)
    files = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) == 3 * (10 + 12)
    assert files == {path: (release / path).read_bytes() for path in files}
