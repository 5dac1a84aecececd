"""Reports are divided at their headings, in the forms that archives write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.converters.medical.report_sections import SECTIONS, ask_for_report, parse_sections, split_sections
from domainvl.errors import UsageError
from domainvl.schema import Task, TextAnswer

# In the layout of MIMIC-CXR; the words are made up.
MIMIC = """\
                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with cough, r/o pneumonia.

 TECHNIQUE:  Two views.

 COMPARISON:  None.

 FINDINGS:

 Both lungs are
 clear.  LUNGS: no nodule.

 The heart is not enlarged.

 IMPRESSION:

 1. Nothing acute.
 2. Old fracture of
 a rib.

 NOTIFICATION:  Told to Dr. ___ by phone.
"""


def test_med_43_sections_of_a_report_in_the_layout_of_mimic_cxr():
    assert {name: text for name, text in split_sections(MIMIC).items() if name != "text"} == {
        "examination": "CHEST (PA AND LAT)",
        "indication": "___F with cough, r/o pneumonia.",
        "technique": "Two views.",
        "comparison": "None.",
        "findings": "Both lungs are clear. LUNGS: no nodule.\nThe heart is not enlarged.",
        "impression": "1. Nothing acute.\n2. Old fracture of a rib.",
    }


def test_the_whole_text_is_there_too():
    assert split_sections("Clear lungs.\nNo more\r\nto say.") == {"text": "Clear lungs. No more to say."}
    assert split_sections(" \n ") == {}


@pytest.mark.parametrize(
    ("heading", "section"),
    [
        ("FINDINGS:", "findings"), ("Findings:", "findings"), ("  FINDINGS :", "findings"), ("FINDINGS", "findings"),
        ("**FINDINGS:**", "findings"), ("FINDINGS AND IMPRESSION:", "findings"), ("FINDINGS/IMPRESSION:", "findings"),
        ("FINDING(S):", "findings"), ("IMPRESSION:", "impression"), ("Impression:", "impression"),
        ("IMPRESSION", "impression"), ("CONCLUSION:", "impression"), ("Conclusions:", "impression"),
        ("IMPRESSION AND RECOMMENDATIONS:", "impression"), ("OPINION:", "impression"),
        ("REASON FOR EXAMINATION:", "indication"), ("REASON FOR EXAM:", "indication"),
        ("Clinical history:", "indication"), ("HISTORY:", "indication"), ("Clinical information:", "indication"),
        ("TECHNIQUE:", "technique"), ("PROCEDURE:", "technique"), ("COMPARISON:", "comparison"),
        ("COMPARISONS:", "comparison"), ("Comparison study:", "comparison"), ("EXAM:", "examination"),
        ("RECOMMENDATIONS:", "recommendation"), ("RECOMMENDATION(S):", "recommendation"),
    ],
)  # fmt: skip
def test_customary_headings(heading, section):
    assert split_sections(f"{heading} \nWords here.\n\nWET READ: Others.")[section] == "Words here."
    if ":" in heading and not heading.endswith("*"):
        assert split_sections(f"TECHNIQUE: CT.\n{heading} Words here.\nADDENDUM: Others.")[section].endswith(
            "Words here."
        )


@pytest.mark.parametrize(
    "line", ["LUNGS: Clear.", "Heart: normal.", "impression: of the talus.", "The findings: none.", "study: no change."]
)
def test_other_words_before_a_colon_stay_in_their_section(line):
    assert split_sections(f"FINDINGS: First.\n{line}\nIMPRESSION: None.")["findings"] == f"First. {line}"


@pytest.mark.parametrize(
    ("heading", "taken"),
    [
        ("CHEST, PA AND LATERAL:", True), ("PORTABLE AP CHEST:", True), ("AP CHEST, 8:32 A.M., ___:", True),
        ("TWO VIEWS OF THE CHEST:", True), ("LUNGS:", False), ("Chest:", False),
    ],
)  # fmt: skip
def test_views_head_findings_where_nothing_else_does(heading, taken):
    text = f"INDICATION: Cough.\n\n{heading} Clear lungs.\n\nIMPRESSION: Nothing."

    assert split_sections(text).get("findings") == ("Clear lungs." if taken else None)
    with_findings = split_sections(f"{text}\nFINDINGS: None.")
    assert with_findings["findings"] == "None."


def test_sections_of_one_kind_are_joined():
    text = "FINDINGS: Chest clear.\nIMPRESSION: One.\nFINDINGS: Abdomen too.\nCONCLUSION: Two."

    assert split_sections(text)["findings"] == "Chest clear.\nAbdomen too."
    assert split_sections(text)["impression"] == "One.\nTwo."


@given(st.text(max_size=200))
def test_no_text_is_too_odd_and_no_word_is_made_up(text):
    for section, content in split_sections(text).items():
        assert section in SECTIONS
        assert content.strip()
        assert set(content.split()) <= set(text.split()) | set(text.replace(":", ": ").replace("*", " ").split())


def test_questions_for_sections():
    asked = ask_for_report(
        {"findings": "Clear.", "impression": "Nothing.", "comparison": "", "technique": "CT."}, what="radiograph"
    )

    assert [(question.key, question.text, question.answer) for question in asked] == [
        ("report-findings", "Describe the findings of this radiograph.", TextAnswer(text="Clear.")),
        ("report-impression", "Give the impression of this radiograph.", TextAnswer(text="Nothing.")),
        ("report-technique", "Write the section TECHNIQUE of the report on this radiograph.", TextAnswer(text="CT.")),
    ]
    assert {question.task for question in asked} == {Task.CAPTION}
    assert ask_for_report({"text": "All of it."})[0].text == "Write the report on this study."


def test_the_setting():
    assert parse_sections("impression, Findings") == ("impression", "findings")
    for wrong in ("", "findings,,", "result", "findings,findings"):
        with pytest.raises(UsageError, match="--report-sections"):
            parse_sections(wrong)
