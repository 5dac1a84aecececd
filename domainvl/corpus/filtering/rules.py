"""The table of all rules: code names, what each measures, its published cut-off, and where that is published.

Sources, cited in short: *OmniCorpus* is arXiv 2406.08418 (stages: section 3.2; human-feedback rules: algorithm 1 and
table 11); *filters.py* is human_feedback_textfiltering/text_filter/filters.py of OpenGVLab/OmniCorpus at commit
5071d9e, with *EN n* for the n-th of the 31 steps that its run.py lists; *Gopher* is arXiv 2112.11446, section A1.1;
*C4* is JMLR 21(140), section 2.2, and what TensorFlow Datasets' c4_utils.py adds. Numbers of Gopher and C4 agree with
the defaults of datatrove 0.10. *Ours* marks what is published without a number, or not at all.

A rule keeps what lies within its range, the bounds included, so that one way of comparing serves all. Two published
tests leave out the bound (a share of letters over 0.8; flagged words under 0.02 in a paragraph), which no real text
tells apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from domainvl.corpus.filtering.removals import Level
from domainvl.interleaved.documents import TextKind

ENGLISH, CHINESE, OTHER = "en", "zh", "other"
"""Languages that rules tell apart. Chinese is what is written in it; other is what its source says is neither."""

LANGUAGES = (ENGLISH, CHINESE, OTHER)
"""All of them."""

SCORE_PREFIX = "score-"
"""Begins the codes of the rules on scores, which profiles make by naming a score."""

_BLANKS = (ENGLISH, OTHER)  # languages with blanks between words
_RUNNING_TEXT = (TextKind.TEXT, TextKind.QUOTE)
_UNCAPTIONED = (*_RUNNING_TEXT, TextKind.DETAIL)  # a caption may be short: it says what an image shows
_NOT_CODE = tuple(kind for kind in TextKind if kind not in (TextKind.CODE, TextKind.TABLE))
_BODY = tuple(kind for kind in TextKind if kind is not TextKind.HEADER)


PARAGRAPHS = (*_UNCAPTIONED, TextKind.CAPTION)
"""What <p> and <lb> are in filters.py, which most of its rules are for: no headings, list items, tables and code."""


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        code: Its name in profiles, removals and reports.
        level: What it takes away.
        measures: What is compared with the range, with its unit.
        source: Where it is published.
        published: The range, ``min`` and ``max``, and further numbers: ``near_image`` spares what has an image
            within so many slots, ``images`` is how many a document may have before the rule applies, ``mean`` is a
            second lower bound. A rule without numbers is off until a profile gives some.
        languages: Languages that it is for.
        kinds: Kinds of text that it is for; all where None.
        false_positive_rate: Share of removals that reviewers of OmniCorpus found wrong, of its own rule of that name.
        is_ours: Whether its number, or the rule, is our choice.
    """

    code: str
    level: Level
    measures: str
    source: str
    published: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    languages: tuple[str, ...] = LANGUAGES
    kinds: tuple[TextKind, ...] | None = None
    false_positive_rate: float | None = None
    is_ours: bool = False


def rule_of(code: str) -> Rule:
    """Return the rule of a code; one on a score is made up.

    Raises:
        KeyError: If there is none.
    """
    if code.startswith(SCORE_PREFIX):
        name = code.removeprefix(SCORE_PREFIX)
        return Rule(code, Level.DOCUMENT, f"the score {name}", "OmniCorpus, stage 5a, which publishes no cut-off")
    return RULES[code]


def _document(code: str, measures: str, source: str, languages: tuple[str, ...], **published: float) -> Rule:
    return Rule(code, Level.DOCUMENT, measures, source, published, languages)


def _gopher_rules() -> list[Rule]:
    quality, repetition = "Gopher, quality filtering", "Gopher, table A1 (repetition)"
    top = {2: 0.20, 3: 0.18, 4: 0.16}
    duplicated = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    return [
        _document("gopher-words", "words", quality, _BLANKS, min=50, max=100_000),
        _document("gopher-word-length", "mean characters of a word", quality, _BLANKS, min=3, max=10),
        _document("gopher-symbols", "# or ellipses, the more frequent, a word", quality, LANGUAGES, max=0.1),
        _document("gopher-bullet-lines", "share of lines that begin with a bullet", quality, LANGUAGES, max=0.9),
        _document("gopher-ellipsis-lines", "share of lines that end with an ellipsis", quality, LANGUAGES, max=0.3),
        _document("gopher-letters", "share of words with a letter", quality, _BLANKS, min=0.8),
        _document("gopher-stop-words", "how many of 8 stop words occur", quality, (ENGLISH,), min=2),
        _document("gopher-duplicate-lines", "share of lines that repeat", repetition, LANGUAGES, max=0.30),
        _document("gopher-duplicate-paragraphs", "share of paragraphs that repeat", repetition, LANGUAGES, max=0.30),
        _document("gopher-duplicate-line-characters", "share of characters in those", repetition, LANGUAGES, max=0.20),
        _document("gopher-duplicate-paragraph-characters", "share of characters", repetition, LANGUAGES, max=0.20),
        *(
            _document(
                f"gopher-top-{n}-gram", f"share of characters in the commonest {n} words", repetition, _BLANKS, max=most
            )
            for n, most in top.items()
        ),
        *(
            _document(
                f"gopher-duplicate-{n}-grams", f"share of characters in repeated {n} words", repetition, _BLANKS,
                max=most,
            )
            for n, most in duplicated.items()
        ),
    ]  # fmt: skip


def _c4_rules() -> list[Rule]:
    source, added = "C4, section 2.2", "C4, c4_utils.py"
    # C4 had lines of no kind; headings, list items, captions, tables and code do not end like sentences.
    return [
        _paragraph("c4-word-length", "characters of the longest word", added, LANGUAGES, max=1000),
        _paragraph(
            "c4-terminal-punctuation", "1 where a mark ends it, else 0", source, LANGUAGES, _RUNNING_TEXT, min=1
        ),
        _paragraph("c4-line-words", "words", source, _BLANKS, _RUNNING_TEXT, min=3),
        _paragraph("c4-javascript", "mentions of JavaScript", source, LANGUAGES, max=0),
        _paragraph("c4-policy", "phrases on cookies, privacy and terms", added, (ENGLISH,), max=0),
        _document("c4-lorem-ipsum", "occurrences of the placeholder text", source, LANGUAGES, max=0),
        _document("c4-curly-bracket", "opening curly brackets", source, LANGUAGES, max=0),
        _document("c4-sentences", "sentences that end, in what the rules on lines leave", source, LANGUAGES, min=5),
    ]  # fmt: skip


def _omnicorpus_preliminary_rules() -> list[Rule]:
    source = "OmniCorpus, stage 2, without numbers: they are ours"
    return [
        Rule("omni-line-breaks", Level.DOCUMENT, "line breaks in a row", source, {"max": 4}, is_ours=True),
        Rule(
            "omni-word-frequency",
            Level.DOCUMENT,
            "share of the commonest word, in Chinese of the commonest character",
            source,
            {"max": 0.20},
            is_ours=True,
        ),
    ]


def _image_rules() -> list[Rule]:
    rules: dict[str, tuple[str, dict[str, float]]] = {
        "image-side": ("shorter side in pixels", {"min": 150}),
        "image-aspect": ("width over height", {"min": 0.5, "max": 2}),
        "image-p-hash-count": ("documents of the corpus with its pHash", {"max": 10}),
        "image-d-hash-count": ("documents of the corpus with its dHash", {"max": 10}),
        "image-aesthetic": ("aesthetic score, 1 to 10 (LAION)", {"min": 3.7}),
        "image-unsafe": ("probability that it is not safe for work", {"max": 0.8}),
    }
    return [
        Rule(code, Level.IMAGE, measures, "OmniCorpus, stage 4", published)
        for code, (measures, published) in rules.items()
    ]


def _paragraph(
    code: str,
    measures: str,
    source: str,
    languages: tuple[str, ...] = (ENGLISH,),
    kinds: tuple[TextKind, ...] | None = None,
    rate: float | None = None,
    **published: float,
) -> Rule:
    return Rule(code, Level.PARAGRAPH, measures, source, published, languages, kinds, rate)


def _english(
    code: str,
    measures: str,
    source: str,
    languages: tuple[str, ...] = (ENGLISH,),
    kinds: tuple[TextKind, ...] | None = PARAGRAPHS,
    rate: float | None = None,
    **published: float,
) -> Rule:
    return _paragraph(code, measures, source, languages, kinds, rate, **published)


def _english_normalisers() -> list[Rule]:
    return [
        Rule(
            "hf-line-breaks", Level.SPAN, "line breaks within sentences, joined by blanks", "filters.py:1129, EN 1",
            languages=_BLANKS, kinds=_NOT_CODE,
        ),
        Rule("hf-underscores", Level.SPAN, "runs of 15 underscores or more, split at", "filters.py:145, EN 2"),
        Rule("hf-video-field", Level.SPAN, "the placeholder [Video]", "filters.py:1193, EN 3"),
        Rule("hf-urls", Level.SPAN, "addresses of pages", "filters.py:617, EN 17", kinds=_NOT_CODE),
        Rule(
            "hf-incomplete-ends", Level.SPAN, "characters of a half sentence at either end of the document",
            "filters.py:553, EN 4", languages=(ENGLISH,), kinds=_RUNNING_TEXT, false_positive_rate=0.167,
        ),
        Rule(
            "hf-citation-marks", Level.SPAN, "marks such as [12], where the list that they point to is dropped",
            "filters.py:497, EN 23", {"max": 0}, languages=_BLANKS, false_positive_rate=0.060,
        ),
    ]  # fmt: skip


def _english_paragraph_rules() -> list[Rule]:
    short = "words, of a paragraph "
    return [
        _english("hf-download-link", "phrases that point to a download", "filters.py:13, EN 5", max=0),
        _english("hf-credit", "phrases of credits and publishers", "filters.py:34, EN 6", max=0),
        _english("hf-author-year", "citations in brackets at its end", "filters.py:34, EN 6", max=0),
        _english(
            "hf-uppercase", "share of capitals in what is not blank", "filters.py:102, EN 7", _BLANKS, max=0.8,
            near_image=10,
        ),
        _english(
            "hf-digits", "share of digits in characters", "filters.py:920, EN 8", _BLANKS, max=0.8, near_image=10
        ),
        _english("hf-social-counter", "counts of likes, comments, ... at its end", "filters.py:959, EN 9", max=0),
        _english("hf-one-word", "words", "filters.py:986, EN 10", _BLANKS, _UNCAPTIONED, min=2, near_image=10),
        _english(
            "hf-short-keyword", short + "about signing in, reading more or a cart", "filters.py:1025, EN 11",
            rate=0.058, min=11,
        ),
        _english("hf-flagged-paragraph", "share of flagged words", "filters.py:1055, EN 12", _BLANKS, max=0.02),
        _english("hf-comments", "1 in a block of readers' comments", "filters.py:1079, EN 13", kinds=None, max=0),
        _english("hf-boilerplate", "phrases of headers and footers, as written", "filters.py:1091, EN 14", max=0),
        _english("hf-characters", "characters", "filters.py:1091, EN 14", _BLANKS, _UNCAPTIONED, min=10),
        _english(
            "hf-empty-heading", "1 where a heading of its rank follows at once", "filters.py:1168, EN 15",
            LANGUAGES, (TextKind.HEADER,), max=0,
        ),
        _english("hf-read-more", "invitations to read on at its end", "filters.py:524, EN 16", max=0),
        _english(
            "hf-image-caption", short + "beside an image that speaks of images, sources or loading",
            "filters.py:644, EN 18", (ENGLISH,), _BODY, rate=0.058, min=8,
        ),
        Rule(
            "hf-image-source", Level.IMAGE, "1 where the address is empty or that of a page", "filters.py:644, EN 18",
            {"max": 0},
        ),
        _english("hf-advertisement", "1 where it says advertisement and no more", "filters.py:725, EN 19", max=0),
        _english(
            "hf-dictionary-page", "1 behind the entry on a page of one dictionary site", "filters.py:725, EN 19",
            kinds=None, max=0,
        ),
        _english("hf-two-words", "words", "filters.py:781, EN 20", _BLANKS, _UNCAPTIONED, 0.083, min=3),
        _english("hf-four-words", "words", "filters.py:200, EN 21", _BLANKS, _UNCAPTIONED, 0.083, min=5),
        _english(
            "hf-things-to-do", "1 where it begins so", "filters.py:308, EN 22", (ENGLISH,), (TextKind.LIST,), max=0
        ),
        _english(
            "hf-numbered-references", "entries [n] of a list at the end of the document", "filters.py:497, EN 23",
            _BLANKS, rate=0.060, max=0,
        ),
        _english(
            "hf-reference-section", "1 from a heading of references in the last quarter on", "filters.py:478, EN 23",
            kinds=None, rate=0.060, max=0,
        ),
        _english(
            "hf-sponsor", "mentions of sponsors in the last part", "filters.py:478, EN 23", kinds=None, rate=0.060,
            max=0,
        ),
        _english(
            "hf-contact-line", short + "with a date, time, handle, address or number", "filters.py:415, EN 23",
            kinds=None, rate=0.060, min=10,
        ),
        _english(
            "hf-bracketed-end", "1 for a last paragraph wholly in brackets", "filters.py:402, EN 23",
            LANGUAGES, (TextKind.TEXT,), 0.060, max=0,
        ),
        _english("hf-social-ending", "words of social media that end it", "filters.py:66, EN 24", rate=0.021, max=0),
        _english("hf-social-phrase", "phrases of social media", "filters.py:66, EN 24", rate=0.021, max=0),
        _english("hf-phone", short + "with a telephone number", "filters.py:227, EN 25", min=80),
        _english("hf-date-time", short + "with a date or a clock time", "filters.py:227, EN 25", min=20),
        _english(
            "hf-byline", short + "that names an author or photographer", "filters.py:227, EN 25",
            kinds=(*PARAGRAPHS, TextKind.HEADER), min=10,
        ),
    ]  # fmt: skip


def _english_document_rules() -> list[Rule]:
    return [
        _document("hf-words", "words left", "filters.py:842, EN 26", _BLANKS, min=50, max=100_000),
        _document("hf-word-length", "mean characters of a word left", "filters.py:842, EN 26", _BLANKS, min=3, max=10),
        _document("hf-letters", "share of words left with a letter", "filters.py:861, EN 27", _BLANKS, min=0.8),
        _document("hf-stop-words", "occurrences of 10 stop words left", "filters.py:880, EN 28", (ENGLISH,), min=2),
        _document("hf-flagged-document", "share of flagged words left", "filters.py:896, EN 29", _BLANKS, max=0.02),
        _document(
            "hf-words-an-image", "words an image, of documents with more images than so many",
            "filters.py:900, EN 30", _BLANKS, min=50, images=2,
        ),
        Rule(
            "hf-short-paragraphs", Level.DOCUMENT,
            "words of the longest paragraph, where their mean is below its own bound", "filters.py:803, EN 31",
            {"min": 35, "mean": 12}, _BLANKS, false_positive_rate=0.027,
        ),
        _document("document-texts", "paragraphs left", "run.py:57: no text, no document", LANGUAGES, min=1),
    ]  # fmt: skip


def _chinese_rules() -> list[Rule]:
    """Return 15 rules, as many as the paper lists; the repository holds none.

    Two are known by name, with words and numbers of ours; the others are ours in their spirit.
    """
    named, ours = (
        "OmniCorpus, table 12, by name; phrases and number are ours",
        "ours; OmniCorpus' list of Chinese rules could not be read",
    )
    chinese = (CHINESE,)
    short = "characters, of a paragraph "

    def own(
        code: str,
        measures: str,
        source: str = ours,
        rate: float | None = None,
        kinds: tuple[TextKind, ...] | None = None,
        **published: float,
    ) -> Rule:
        return Rule(code, Level.PARAGRAPH, measures, source, published, chinese, kinds, rate, is_ours=True)

    return [
        own("zh-credit", short + "that names source, author or photographer", named, 0.10, min=40),
        own("zh-duplicates", "equal paragraphs or images before it", named, 0.04, max=0),
        own("zh-short", "characters", kinds=_UNCAPTIONED, min=5),
        own("zh-digits", "share of digits in characters", kinds=PARAGRAPHS, max=0.8),
        own("zh-read-more", short + "that invites to read on", min=30),
        own("zh-advertisement", short + "that advertises or says so", min=20),
        own("zh-social", short + "that asks to follow, share or scan a code", min=40),
        own("zh-contact", short + "with a number to call or chat with", min=40),
        own("zh-dates", short + "with a date or clock time", min=20),
        own("zh-copyright", short + "that reserves rights or disclaims", min=80),
        own("zh-navigation", short + "that leads through a site", min=20),
        own("zh-editor", short + "that names an editor", min=40),
        own("zh-related", short + "that heads a list of further reading", min=20),
        own("zh-login", short + "about signing in or commenting", min=20),
        Rule(
            "zh-characters",
            Level.DOCUMENT,
            "characters left that are not blank",
            ours,
            {"min": 50, "max": 100_000},
            chinese,
            is_ours=True,
        ),
    ]


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.code: rule
        for rule in [
            *_gopher_rules(),
            *_omnicorpus_preliminary_rules(),
            *_c4_rules(),
            *_image_rules(),
            *_english_normalisers(),
            *_english_paragraph_rules(),
            *_chinese_rules(),
            *_english_document_rules(),
        ]
    }
)
"""All rules by code, in the order in which they are asked."""

NORMALISERS = ("hf-line-breaks", "hf-underscores", "hf-video-field", "hf-urls")
"""Rules that change texts before they are measured: to switch one means to measure again."""
