"""Files of documents: read back as windows, everything that is left out counted, splits by document."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from interleaved_documents import file_name, png, record_of, url_of, write_documents
from PIL import Image as PillowImage

from domainvl.errors import DatasetError, InputNotFoundError, UsageError
from domainvl.interleaved import InterleavedFile, WindowLimits
from domainvl.model.chat import Chat
from domainvl.model.checkpoint import read_tokenizer
from domainvl.model.encoding import ConversationEncoder, Mark
from domainvl.model.preprocessing import Preprocessing, TileReader
from domainvl.schema import Split, SplitFractions, assign_split

PREPROCESSING = Preprocessing(tile_side_px=28, tokens_per_tile=4, max_tiles=4)
A, B = ("a", 30, 20), ("b", 28, 28)


@pytest.fixture(scope="module")
def encoder(untrained: Path) -> ConversationEncoder:
    return ConversationEncoder(read_tokenizer(untrained), Chat(format="Hermes-2"), PREPROCESSING.tokens_per_tile)


def opened(path, encoder, **options) -> InterleavedFile:
    return InterleavedFile(path, encoder, PREPROCESSING, **({"val_fraction": 0.0} | options))


def all_windows(file: InterleavedFile):
    return [file.window(index) for index in range(len(file))]


def test_windows_come_back_with_images_that_can_be_read(tmp_path, encoder):
    path = write_documents(
        tmp_path / "d", [record_of("d1", "One.", A, "漢字.", B), record_of("d2", A, "Again.")], [A, B]
    )
    file = opened(path, encoder)
    first, second = all_windows(file)
    assert first.document == "d1"
    assert first.parts == ("One.\n", Mark.IMAGE, "\n漢字.\n", Mark.IMAGE)
    assert [(image.width_px, image.height_px) for image in first.images] == [(30, 20), (28, 28)]
    assert [image.source.uri for image in first.images] == [url_of("a"), url_of("b")]
    assert second.images == first.images[:1]
    assert (file.document_count, file.skipped, file.listed) == (2, Counter(), [])
    assert file.image_keys == [0, 1]
    tiles = TileReader(file.root, PREPROCESSING).read(first.images)
    assert sum(len(part) for part in tiles) == file.tile_counts[0]
    assert [int(part[0, 0, 0, 0]) for part in tiles] == [0, 1]  # grey is the number of the image
    encoded = first.encode(encoder, PREPROCESSING)
    assert len(encoded.input_ids) == file.token_counts[0]


def test_equal_images_have_equal_keys_and_windows_are_read_in_any_order(tmp_path, encoder):
    path = write_documents(tmp_path / "d", [record_of(f"d{n}", (A, B)[n % 2], f"Text {n}.") for n in range(6)], [A, B])
    file = opened(path, encoder)
    assert file.image_keys == [0, 1, 0, 1, 0, 1]
    assert [file.window(index).parts[1] for index in (4, 0, 5)] == ["\nText 4.", "\nText 0.", "\nText 5."]


def test_what_cannot_be_used_is_counted_and_listed(tmp_path, encoder):
    broken, other_size, deep, gone = ("broken", 8, 8), ("other", 9, 9), ("deep", 8, 8), ("gone", 8, 8)
    records = [
        record_of("d1", A, "One.", broken, "Two.", other_size, "Three.", deep, "Four.", gone, "Five."),
        record_of("d2", "Two.", A, valid_image=[False]),
        "{",
        record_of("d3", "Three.", images=[None, None]),
        {"general_metadata": {}},
    ]
    path = write_documents(tmp_path / "d", records, [A])
    images = tmp_path / "d" / "images"
    (images / file_name(url_of("broken"))).write_bytes(png((8, 8))[:50])
    (images / file_name(url_of("other"))).write_bytes(png((9, 8)))
    PillowImage.fromarray(np.zeros((8, 8), np.uint16)).save(images / f"{file_name(url_of('deep'))}.png")
    file = opened(path, encoder)
    (window,) = all_windows(file)
    assert window.parts == (Mark.IMAGE, "\nOne.\n", "Two.\n", "Three.\n", "Four.\n", "Five.")
    assert file.skipped == {
        "image/image-decode": 1, "image/size": 1, "image/image-depth": 1, "image/missing": 1, "image/switched-off": 1,
        "document/record": 1, "document/lengths": 1, "document/id": 1, "window/without-image": 1,
    }  # fmt: skip
    assert [(skipped.where.split()[0], skipped.reason) for skipped in file.listed] == [
        ("documents.jsonl:1", "image/image-decode"),
        ("documents.jsonl:1", "image/size"),
        ("documents.jsonl:1", "image/image-depth"),
        ("documents.jsonl:1", "image/missing"),
        ("documents.jsonl:3", "document/record"),
        ("documents.jsonl:4", "document/lengths"),
        ("documents.jsonl:5", "document/id"),
    ]
    assert "9x9 px, got 9x8" in file.listed[1].rule


def test_a_document_is_never_divided_over_splits(tmp_path, encoder):
    long = "What colour is the square? " * 6
    records = [record_of(f"d{n}", A, long, B, long, A, long) for n in range(120)]
    path = write_documents(tmp_path / "d", records, [A, B])
    found = {
        split: opened(path, encoder, split=split, val_fraction=0.3, limits=WindowLimits(max_tokens=100))
        for split in (Split.TRAIN, Split.VAL)
    }
    documents = {split: {window.document for window in all_windows(file)} for split, file in found.items()}
    fractions = SplitFractions(val=0.3, test=0.0)
    assert documents[Split.VAL] == {f"d{n}" for n in range(120) if assign_split(f"d{n}", fractions) is Split.VAL}
    assert documents[Split.TRAIN] == {f"d{n}" for n in range(120)} - documents[Split.VAL]
    assert 20 < len(documents[Split.VAL]) < 52
    assert len(found[Split.VAL]) > len(documents[Split.VAL])  # several windows each
    held_out = found[Split.VAL]
    windows = all_windows(held_out)
    assert sum(window.ends for window in windows) == len(documents[Split.VAL])
    assert [len(window.encode(encoder, PREPROCESSING).input_ids) for window in windows] == held_out.token_counts


def test_what_others_hold_out_is_left_out_by_id_and_by_image(tmp_path, encoder):
    records = [record_of("a", A, "One."), record_of("b#w1", B, "Two."), record_of("b#w2", A, "Three.", B)]
    path = write_documents(tmp_path / "d", [*records, record_of("c", B, "Four.")], [A, B])
    whole = opened(path, encoder)
    (of_a,) = whole.window(0).images
    assert len(whole) == 4
    for withheld, left in (("b", ["a", "c"]), (of_a.pixel_sha256, ["b#w1", "c"]), ("b#w1", ["a", "b#w1", "b#w2", "c"])):
        file = opened(path, encoder, withheld=frozenset({withheld}))
        assert [window.document for window in all_windows(file)] == left
        assert file.skipped == ({"document/held-out": 4 - len(left)} if len(left) < 4 else {})


def test_two_percent_are_held_out_by_default(tmp_path, encoder):
    path = write_documents(tmp_path / "d", [record_of(f"d{n}", A, "a") for n in range(500)], [A])
    held_out = InterleavedFile(path, encoder, PREPROCESSING, split=Split.VAL)
    assert 3 <= len(held_out) <= 20
    assert len(held_out) + len(InterleavedFile(path, encoder, PREPROCESSING)) == 500


def test_reading_again_gives_the_same(tmp_path, encoder):
    path = write_documents(tmp_path / "d", [record_of(f"d{n}", A, f"Text {n}.", B) for n in range(5)], [A, B])
    assert all_windows(opened(path, encoder)) == all_windows(opened(path, encoder))


@pytest.mark.parametrize("as_text", [False, True])
def test_parquet_gives_the_same_windows(tmp_path, encoder, as_text):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    records = [record_of(f"d{n}", A, f"Text {n}.", B) for n in range(130)]
    records[3]["texts"][1] = None
    path = write_documents(tmp_path / "d", records, [A, B])
    rows = [
        row | {key: json.dumps(row[key]) for key in ("general_metadata", "metadata")} if as_text else row
        for row in records
    ]
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table, path.with_suffix(".parquet"))
    one, other = opened(path, encoder), opened(path.with_suffix(".parquet"), encoder)
    assert all_windows(one) == all_windows(other)
    assert one.skipped == other.skipped == {"document/slots": 1}
    assert other.listed[0].where == "documents.parquet:4"


def test_a_parquet_file_without_the_columns_is_refused(tmp_path, encoder):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = write_documents(tmp_path / "d", [])
    written = path.with_suffix(".parquet")
    parquet.write_table(pyarrow.Table.from_pylist([{"texts": ["a"]}]), written)
    with pytest.raises(DatasetError, match="the columns general_metadata, images, metadata are missing"):
        opened(written, encoder)
    written.write_bytes(b"no parquet")
    with pytest.raises(DatasetError, match="Cannot read interleaved documents"):
        opened(written, encoder)


def test_a_folder_is_all_its_files_in_order(tmp_path, encoder):
    path = write_documents(tmp_path / "d", [record_of("d1", A, "One.")], [A])
    (path.parent / "after.jsonl").write_bytes(path.read_bytes().replace(b"d1", b"d0"))
    file = opened(tmp_path / "d", encoder)
    assert [one.name for one in file.paths] == ["after.jsonl", "documents.jsonl"]
    assert [window.document for window in all_windows(file)] == ["d0", "d1"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputNotFoundError, match=r"there is no .jsonl and no .parquet in it"):
        opened(tmp_path / "empty", encoder)


def test_what_is_not_there_is_named(tmp_path, encoder):
    with pytest.raises(InputNotFoundError, match="there is no such file"):
        opened(tmp_path / "none.jsonl", encoder)
    (tmp_path / "d.jsonl").write_text("")
    with pytest.raises(InputNotFoundError, match="the folder of their images is missing"):
        opened(tmp_path / "d.jsonl", encoder)
    (tmp_path / "d.txt").write_text("")
    (tmp_path / "images").mkdir()
    with pytest.raises(UsageError, match=r"it must be .jsonl or .parquet, got '.txt'"):
        opened(tmp_path / "d.txt", encoder)
    assert len(opened(tmp_path / "d.jsonl", encoder)) == 0


def plain(fragment: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", fragment)).split())


def read_book(page: Path) -> list[tuple[str, str]]:
    """The page's paragraphs and figures in order: ``("text", words)`` or ``("image", file)``."""
    slots = []
    body = re.sub(r"<!--.*?-->", "", page.read_text("utf-8"), flags=re.DOTALL).split("<body>")[-1]
    pattern = r'<img\s+src\s*=\s*"(images/fig[^"]+)"[^>]*>|<(?:p|td)\b[^>]*>((?:(?!<img|</p>|</td>).)*)</(?:p|td)>'
    for match in re.finditer(pattern, body, flags=re.DOTALL):
        if match[1]:
            slots.append(("image", match[1]))
        elif words := plain(match[2]):
            slots.append(("text", words))
    return slots


def size_of(path: Path) -> tuple[int, int]:
    with PillowImage.open(path) as image:
        return image.size


def test_a_real_book_becomes_windows_whose_figures_have_their_captions(real_data, tmp_path, encoder):
    pages = sorted((real_data / "general").glob("GITenberg__*/*-h/*.htm"))
    if not pages:
        pytest.skip(f"no book in {real_data}")
    page = pages[0]
    book = read_book(page)[990:1160]  # the first figures; before them is the table of contents
    names = [name for kind, name in book if kind == "image"]
    assert len(names) > 20
    sizes = {name: size_of(page.parent / name) for name in names}
    record = record_of("book", *(name if kind == "text" else (name, *sizes[name]) for kind, name in book))
    path = write_documents(tmp_path / "d", [record])
    for name in names:
        (path.parent / "images" / file_name(url_of(name))).write_bytes((page.parent / name).read_bytes())

    limits = WindowLimits(max_tokens=1500)
    file = opened(path, encoder, limits=limits)

    windows = all_windows(file)
    shown = [image.source.uri.removeprefix("https://example.org/") for window in windows for image in window.images]
    assert shown == names
    assert max(file.token_counts) <= 1500
    assert max(len(window.images) for window in windows) <= 6
    for window in windows:
        text = "".join(part for part in window.parts if isinstance(part, str))
        for name in re.findall(r"fig(\d+)\.", " ".join(image.source.uri for image in window.images)):
            assert re.search(rf"Fig\. {name}\. ", text), f"figure {name} is without its caption"
    text = "".join(part for window in windows for part in window.parts if isinstance(part, str))
    left_out = file.skipped["window/without-image"]
    assert set(file.skipped) <= {"window/without-image"}
    whole = "".join(words for kind, words in book if kind == "text")
    assert left_out or "".join(text.split()) == "".join(whole.split())
