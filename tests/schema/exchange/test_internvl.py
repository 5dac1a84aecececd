"""InternVL's lines and meta file, read by the rules of its trainer (internvl_chat_finetune.py)."""

from __future__ import annotations

import json
import os

from PIL import Image as PillowImage

from domainvl.schema import Split
from domainvl.schema.exchange import ImageMode, export_dataset


def read_by_the_rules(folder, working_folder):
    """Read all training rows that the meta file names, as the trainer does when it is started in a folder."""
    (entry,) = json.loads((folder / "meta.json").read_text(encoding="utf-8")).values()
    assert entry["annotation"].endswith("jsonl")
    assert isinstance(entry["repeat_time"], int)
    rows = []
    with open(working_folder / entry["annotation"], encoding="utf-8", newline="\n") as lines:
        for line in lines:
            row = json.loads(line)
            image = row.get("image", [])
            paths = [image] if isinstance(image, str) else image
            for path in paths:
                with PillowImage.open(os.path.join(working_folder, entry["root"], path)) as file:
                    file.load()
            conversations = row["conversations"]
            assert [said["from"] for said in conversations] == ["human", "gpt"] * (len(conversations) // 2)
            asked = sum(said["value"].count("<image>") for said in conversations[::2])
            assert asked == len(paths)
            rows.append(row)
    assert entry["length"] == len(rows)
    return rows


def test_the_trainer_reads_the_training_rows(varied, exported):
    rows = read_by_the_rules(exported("internvl"), exported("internvl"))

    assert [row["id"] for row in rows] == [sample.id for sample in varied.of(Split.TRAIN)]


def test_with_references_the_meta_file_leads_to_the_data_set(varied, tmp_path):
    export_dataset(varied.folder, tmp_path / "out", format_name="internvl", images=ImageMode.REFERENCE)

    assert len(read_by_the_rules(tmp_path / "out", tmp_path / "out")) == 14


def test_lines_are_ours_without_our_part(varied, exported):
    for split in Split:
        ours = [json.loads(line) for line in (varied.folder / f"{split.value}.jsonl").read_bytes().split(b"\n") if line]
        theirs = (exported("internvl") / f"{split.value}.jsonl").read_bytes().split(b"\n")
        for record in ours:
            del record["domainvl"]
        assert [json.loads(line) for line in theirs if line] == ours


def test_no_held_out_row_is_named(exported):
    assert json.loads((exported("internvl") / "meta.json").read_text()) == {
        "varied": {"root": "./", "annotation": "train.jsonl", "data_augment": False, "repeat_time": 1, "length": 14}
    }


def test_without_training_rows_there_is_no_meta_file(varied, tmp_path):
    export_dataset(varied.folder, tmp_path / "out", format_name="internvl", splits=[Split.TEST])

    assert not (tmp_path / "out" / "meta.json").exists()
