"""OpenAI's chat format: parts in the place of placeholders, and images by URL (guide: Vision fine-tuning)."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from builders import make_image, make_sample

from domainvl.errors import DatasetError, ItemError
from domainvl.schema import Split
from domainvl.schema.exchange import ImageMode, export_dataset, load_format, read_exported
from domainvl.schema.exchange.formats import PlacedImage


def rows_of(folder, split):
    return [json.loads(line) for line in (folder / f"{split.value}.jsonl").read_bytes().splitlines() if line]


def read_by_the_rules(row):
    """Return what a client sees of a row: for each message its role, its texts joined at images, its URLs."""
    assert set(row) == {"messages"}
    for message in row["messages"]:
        assert set(message) == {"role", "content"}
        content = message["content"]
        if isinstance(content, str):
            yield message["role"], content, []
            continue
        assert message["role"] == "user"  # no images as output of the assistant
        text, urls = "", []
        for part in content:
            if part["type"] == "text":
                assert set(part) == {"type", "text"}
                assert part["text"]
                text += part["text"]
            else:
                assert set(part) == {"type", "image_url"}
                assert part["type"] == "image_url"
                urls.append(part["image_url"]["url"])
                text += "<image>"
        yield message["role"], text, urls


@pytest.mark.parametrize("split", list(Split))
def test_images_stand_where_the_placeholders_stood(varied, exported, split):
    folder = exported("openai")
    base = (folder / f"{split.value}.jsonl").as_uri()

    for row, sample in zip(rows_of(folder, split), varied.of(split), strict=True):
        read = list(read_by_the_rules(row))
        assert [text for _, text, _ in read] == [turn.text for turn in sample.turns]
        roles = [{"human": "user", "assistant": "assistant"}[turn.role] for turn in sample.turns]
        assert [role for role, _, _ in read] == roles
        # A relative URL leads from the file to the image.
        files = [Path(unquote(urlsplit(urljoin(base, url)).path)) for _, _, urls in read for url in urls]
        assert [file.relative_to(folder).as_posix() for file in files] == [image.path for image in sample.images]
        assert all(file.is_file() for file in files)


def test_embedded_images_are_the_bytes_of_the_files(varied, tmp_path):
    out = tmp_path / "out"
    export_dataset(varied.folder, out, format_name="openai", images=ImageMode.EMBED)

    assert not (out / "images").exists()
    for split in Split:
        for row, sample in zip(rows_of(out, split), varied.of(split), strict=True):
            urls = [url for _, _, urls in read_by_the_rules(row) for url in urls]
            for url, image in zip(urls, sample.images, strict=True):
                head, _, content = url.partition(",")
                kind = "jpeg" if image.path.endswith(".jpg") else "png"
                assert head == f"data:image/{kind};base64"
                assert base64.b64decode(content, validate=True) == (varied.folder / image.path).read_bytes()
    back = list(read_exported(out, "openai", Split.TRAIN))
    assert [sample.turns for sample in back] == [sample.turns for sample in varied.of(Split.TRAIN)]


def test_a_row_as_the_guide_writes_it():
    sample = make_sample(images=[make_image("images/a b#1.png"), make_image("images/c.jpg")], question="Which?")
    placed = [PlacedImage(image.path, Path("/data") / image.path, ImageMode.LINK) for image in sample.images]

    row = load_format("openai").to_row(sample, placed)

    assert row["messages"][0]["content"] == [
        {"type": "text", "text": "Image-1: "},
        {"type": "image_url", "image_url": {"url": "images/a%20b%231.png"}},
        {"type": "text", "text": "\nImage-2: "},
        {"type": "image_url", "image_url": {"url": "images/c.jpg"}},
        {"type": "text", "text": "\nWhich?\nAnswer the question using a single word or phrase."},
    ]
    assert row["messages"][1] == {"role": "assistant", "content": "a lung"}
    assert load_format("openai").from_row(row, {}.__getitem__).images == ("images/a b#1.png", "images/c.jpg")


def test_references_are_file_urls():
    sample = make_sample(images=[make_image("images/ä.png")])
    placed = [PlacedImage("images/ä.png", Path("/data/images/ä.png"), ImageMode.REFERENCE)]

    row = load_format("openai").to_row(sample, placed)

    assert row["messages"][0]["content"][0]["image_url"]["url"] == "file:///data/images/%C3%A4.png"
    assert load_format("openai").from_row(row, {}.__getitem__).images == ("/data/images/ä.png",)


def test_an_image_of_no_known_type_is_not_embedded(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II")
    sample = make_sample(images=[make_image("a.tif")])

    with pytest.raises(ItemError, match="must end in one of") as caught:
        load_format("openai").to_row(sample, [PlacedImage("a.tif", tmp_path / "a.tif", ImageMode.EMBED)])
    assert caught.value.reason == "image-format"


def test_a_part_of_another_kind_is_refused():
    row = {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}

    with pytest.raises(DatasetError, match="input_audio"):
        load_format("openai").from_row(row, {}.__getitem__)
