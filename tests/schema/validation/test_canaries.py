"""Canaries in texts: in every form that a text may hold them, and not in what looks alike by chance."""

from __future__ import annotations

import hashlib
import json
import unicodedata
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.errors import InputNotFoundError, UsageError
from domainvl.schema.identifying import fold
from domainvl.schema.validation import Canary, read_canaries
from domainvl.schema.validation.canaries import Hunter, unescape
from domainvl.schema.validation.substrings import Substrings


def left(text, *canaries, identifier=False):
    hunter = Hunter([Canary(canary, canary, identifier=identifier) for canary in canaries])
    return [canary.text for canary in hunter.find(text)]


@pytest.mark.parametrize("text", ["Hieronymus", "hieronymus", "HIERONYMUS_1.dcm", "xhieronymusx"])
def test_canaries_are_found_in_any_case_and_inside_words(text):
    assert left(text, "Hieronymus", "Dagobert") == ["Hieronymus"]


@pytest.mark.parametrize(
    "text",
    [
        "Ashdown^Avelina",
        "AVELINA ASHDOWN",
        "avelina_ashdown.dcm",
        "Ashdown, Avelina",
        "AshdownAvelina",
        "avelina.ashdown@x",
        "Avelina Maria Ashdown",
        "Ashdown^Avelina^Maria",
        json.dumps({"a": "Ashdown\\Avelina"}),
    ],
)
def test_med_60_names_are_found_in_either_order_with_any_separators(text):
    assert left(text, "Ashdown^Avelina^Maria") == ["Ashdown^Avelina^Maria"]


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_med_60_accents_composition_and_escapes_do_not_hide_a_name(form, ascii_only):
    text = json.dumps({"name": unicodedata.normalize(form, "Özgür Müller-Groß")}, ensure_ascii=ascii_only)

    assert left(text, "ÖZGÜR MÜLLER-GROSS") == ["ÖZGÜR MÜLLER-GROSS"]
    assert left(text, "Muller") == ["Muller"]
    assert left(urllib.parse.quote("im/Müller.png"), "Müller") == ["Müller"]
    assert left(json.dumps(json.dumps("王小东")), "王小东") == ["王小东"]


def test_canaries_are_found_in_keys_numbers_and_behind_escapes():
    assert left('{"hieronymus": 1}', "hieronymus") == ["hieronymus"]
    assert left('{"x": 4711}', "4711") == ["4711"]
    assert left(json.dumps({"x": 'say "Hieronymus\tF"'}), 'y "hieronymus\tf') == ['y "hieronymus\tf']
    assert left(json.dumps({"user": "Clinic\\Smith"}), "clinic\\smith") == ["clinic\\smith"]
    assert left("Clinic\\Smith", "clinic\\smith") == ["clinic\\smith"]


@pytest.mark.parametrize(
    ("text", "identifier", "found"),
    [
        ("id 1234567.", "1234567", True),
        ("scan1234567.dcm", "1234567", True),
        ("12-345-67", "12-345-67", True),
        ("1234567", "12-345-67", True),
        ("81234567", "1234567", False),
        ("0.1234567", "1234567", False),
        ("1234567.25", "1234567", False),
        ("AS-0-000001", "AS-0-000001", True),
        ("as0000001.png", "AS-0-000001", True),
        ("AS 0 000001", "AS0000001", True),
        ("1.2.840.99999.3", "1.2.840.99999.3", True),
        ("im_1.2.840.99999.3.dcm", "1.2.840.99999.3", True),
    ],
)
def test_med_60_identifiers_of_a_map_are_found_with_and_without_punctuation(text, identifier, found):
    assert left(text, identifier, identifier=True) == ([identifier] if found else [])


@pytest.mark.parametrize(
    "written", ["(555) 123-4567", "555-123-4567", "5551234567", "tel:555.123.4567", "555 123 4567"]
)
@pytest.mark.parametrize("identifier", ["(555) 123-4567", "555/123 4567", "5551234567"])
def test_med_60_long_numbers_of_a_map_are_found_however_they_are_divided(identifier, written):
    assert left(f"call {written}, please", identifier, identifier=True) == [identifier]
    assert left(f"call {written}8, please", identifier, identifier=True) == []


def test_med_60_names_in_chinese_characters_are_short():
    assert left("患者王小东。", "王^小东", identifier=True) == ["王^小东"]


def test_identifiers_of_a_map_are_not_found_in_hashes():
    """Of 20,000 hashes about 60 hold one of these by chance; a list of canaries means what it says."""
    line = " ".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(20_000))
    numbers = [line[100:105], line[1000:1006], "12345", "abcd1"]

    assert left(line, *numbers, identifier=True) == []
    assert left(line, *numbers[:2]) == numbers[:2]


def test_short_identifiers_of_a_map_are_counted_and_not_looked_for():
    hunter = Hunter([Canary("a", "P1", identifier=True), Canary("b", "P1x9", identifier=True)])
    assert hunter.unused == 1
    assert [canary.name for canary in hunter.find("P1 P1x9")] == ["b"]


@pytest.mark.parametrize(
    ("identifier", "hunted"),
    [("0003", False), ("12345", False), ("12-34", False), ("١٢٣٤", False), ("123456", True), ("12-34-56", True),
     ("P0003", True), ("00a3", True)],
)  # fmt: skip
def test_med_60_short_numbers_of_a_map_are_counted_and_not_looked_for(identifier, hunted):
    """Patient 0003 and slice 0003 are written alike; a list means what it says."""
    hunter = Hunter([Canary("a", identifier, identifier=True)])
    assert (hunter.unused, bool(hunter.find(f"CT/{identifier} seen"))) == ((0, True) if hunted else (1, False))
    assert left(f"CT/{identifier} seen", identifier) == [identifier]
    in_a_sentence = Hunter([Canary("a", identifier, identifier=True)], min_digits=0)
    assert (in_a_sentence.unused, len(in_a_sentence.find(f"patient {identifier}"))) == (0, 1)


def test_canaries_are_read_one_a_line(tmp_path):
    (tmp_path / "names.txt").write_text("Ashdown\n\n  Müller \r\nSTRASSE\n", encoding="utf-8-sig")

    assert read_canaries(tmp_path / "names.txt") == [
        Canary("canary 1 of names.txt", "Ashdown"),
        Canary("canary 3 of names.txt", "Müller"),
        Canary("canary 4 of names.txt", "STRASSE"),
    ]


def test_med_60_a_map_is_read_by_its_columns(tmp_path):
    (tmp_path / "map.csv").write_text(
        "pseudonym,kind,identifier,file\n0011223344556677,key,,\n8899aabbccddeeff,patient,Ashdown^Avelina,\n"
        '8899aabbccddeeff,patient,"4711, old",/pacs/im1\n8899aabbccddeeff,study,Ashdown^Avelina,/pacs/im1\n'
    )

    assert read_canaries(tmp_path / "map.csv") == [
        Canary("identifier of row 2 of map.csv", "Ashdown^Avelina", identifier=True),
        Canary("identifier of row 3 of map.csv", "4711, old", identifier=True),
        Canary("file of row 3 of map.csv", "/pacs/im1", identifier=True),
    ]


def canaries_of(tmp_path, *rows):
    lines = [",".join(("pseudonym", "kind", "identifier", "file")), *rows]
    (tmp_path / "map.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_canaries(tmp_path / "map.csv")


@pytest.mark.parametrize(
    ("kind", "identifier", "written"),
    [
        ("name", "Ashdown^Avelina", "Avelina Ashdown"),
        ("id", "AS-00-4711", "as004711"),
        ("uid", "1.2.840.99999.3.17", "im_1.2.840.99999.3.17.dcm"),
        ("contact", "030 1234567", "030/1234567"),
        ("place", "St. Elsewhere Hospital", "ST ELSEWHERE, HOSPITAL"),
    ],
)
def test_med_60_identifiers_of_headers_are_hunted_whatever_their_kind(tmp_path, kind, identifier, written):
    [canary] = canaries_of(tmp_path, f"8899aabbccddeeff,{kind},{identifier},")

    assert canary.identifier
    assert Hunter([canary]).find(f'{{"x": "seen: {written} today"}}') == [canary]


@pytest.mark.parametrize(
    ("file", "written"),
    [
        ("/pacs/in/Ashdown_Avelina_1959.dcm", "Ashdown_Avelina_1959.dcm"),
        ("/pacs/in/Ashdown_Avelina_1959.dcm", "images/ashdown_avelina_1959.png"),
        ("/pacs/ashdown.zip!DICOM/IM1", "ashdown.zip"),
        ("/pacs/a.zip!x/Ashdown A.nii.gz", "Ashdown A_mask.nii.gz"),
        ("C:\\scans\\J.Ashdown", "J.Ashdown"),
        ("/pacs/1.2.840.99999.3.17.dcm", "1.2.840.99999.3.17"),
    ],
)
def test_med_60_names_of_files_are_hunted_without_their_folders(tmp_path, file, written):
    canaries = canaries_of(tmp_path, f"8899aabbccddeeff,file,,{file}")

    found = Hunter(canaries).find(json.dumps({"uri": written}))
    assert [canary.name for canary in found] == ["file name of row 1 of map.csv"]


@pytest.mark.parametrize(
    "file",
    [
        "/pacs/IM0001",
        "/pacs/IM0001.dcm",
        "/pacs/00000012.dcm",
        "/pacs/scan.zip!CT/slice-012.dcm",
        "/pacs/lung_ct_1.nii.gz",
        "/pacs/DICOMDIR",
        "/pacs/README.md",
        "/pacs/ash.dcm",
        "",
    ],
)
def test_names_of_files_that_say_nothing_are_not_hunted(tmp_path, file):
    """They stand in texts by chance; the whole path is looked for all the same."""
    canaries = canaries_of(tmp_path, f"8899aabbccddeeff,file,Dagobert,{file}")

    assert [canary.text for canary in canaries] == ["Dagobert", *([file] if file else [])]


def test_words_of_a_files_name_are_not_hunted_across_those_of_a_text(tmp_path):
    canaries = canaries_of(tmp_path, "8899aabbccddeeff,file,,/pacs/explicit_VR-Un.dcm")

    assert Hunter(canaries).find("Explicit VR, unknown to us") == []
    assert Hunter(canaries).find("explicit_vr-un") != []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "none"),
        (b"\n \n", "none"),
        (b"name\nab\n", ":2.*got 2"),
        (b"\xff\xfe", "UTF-8"),
        (b"pseudonym,kind,identifier,file\n0011223344556677,key,,\n", "none"),
    ],
)
def test_a_file_of_canaries_that_cannot_be_used(tmp_path, content, said):
    (tmp_path / "names.txt").write_bytes(content)

    with pytest.raises(UsageError, match=said):
        read_canaries(tmp_path / "names.txt")


def test_a_file_of_canaries_that_is_not_there(tmp_path):
    with pytest.raises(InputNotFoundError, match="no such file"):
        read_canaries(tmp_path / "names.txt")


@given(st.text())
def test_unescaping_undoes_json(text):
    assert unescape(json.dumps(text)[1:-1]) == text or any("\ud800" <= sign <= "\udfff" for sign in text)


@given(st.text())
def test_folding_is_stable(text):
    assert fold(fold(text)) == fold(text)
    assert fold(text) == fold(unicodedata.normalize("NFD", text))


@given(st.lists(st.text("ab", min_size=1, max_size=12), min_size=0, max_size=80), st.text("ab", max_size=200))
def test_substrings_are_those_that_python_finds(needles, text):
    """Few and many, short and long: what ``in`` says of each."""
    found = {index for index, _, _ in Substrings(needles).find(text)}
    assert found == {index for index, needle in enumerate(needles) if needle in text}


def test_many_substrings_are_found_with_what_stands_around_them():
    needles = [f"1.2.840.{number}.777" for number in range(50_000)]
    text = f"x1.{needles[40_123]}0 and {needles[7]}"

    assert set(Substrings(needles).find(text)) == {(40_123, "1.", "0 "), (7, "d ", "")}
    same_ending = [f"{number}.12345678" for number in range(100)]
    assert {index for index, _, _ in Substrings(same_ending).find("x 42.12345678")} == {2, 42}
