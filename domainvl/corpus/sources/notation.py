"""Writes what plain text has no signs for such that it keeps its meaning, exponents and formulas; marks of notes go.

Without that, ten to the power of three reads 103, and the mark of note 20 makes a number of the word before it.
"""

from __future__ import annotations

import re
from typing import Any

RAISED, LOWERED = "\x0e", "\x0f"
"""Around superscript text that :func:`write_raised` is to write; no document has these control characters in a text."""

_BEFORE = 20  # characters before a superscript that tell what it is, however long the text is
_RAISED_TEXT = re.compile(f"{RAISED}([^{RAISED}{LOWERED}]*){LOWERED}")
_SIGN = r"[+\-−–]"
_OPERAND = r"(?:\d+(?:[./]\d+)?[^\W\d_]{0,2}|[^\W\d_]{1,2})"
_EXPONENT = re.compile(rf"{_SIGN}?{_OPERAND}(?:{_SIGN}{_OPERAND})?{_SIGN}?|{_SIGN}")
_COMPOUND = re.compile(rf"\w\s*{_SIGN}\s*\w")
_ORDINALS = frozenset("st nd rd th er re e ème eme o a os as tm sm".split())
"""What stands raised behind a number, or a name, and is no exponent: ordinals of English, French and the languages of
Spain, Portugal and Italy, and trade marks."""

_ROMAN = re.compile(r"[IVXLC]+\Z")
_BRACKETED = re.compile(r"\[[^\]]*\]")
_NOTE_NUMBERS = re.compile(r"\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*")
_NOTE_LIST = re.compile(r"\d{1,3}(?:\s*[,;]\s*\d{1,3})+")
_CLOSING = tuple(".,;:!?”’»\"'")
_BARE_MARK = re.compile(r"\d{1,3}[a-z]?|[a-z]|[*†‡§¶]{1,3}")
_NOTE_NAME = re.compile(r"note|(?:^|[\s_#-])(?:fn|ref|tag|cit)|citation|reference|noteref", re.I)
"""Names of classes, ids and addresses of marks of notes; ours. ``tag`` is that of the book in docs/corpus.md."""

_TEX = ("application/x-tex", "text/x-tex", "latex", "tex")
"""How the encoding of TeX is called in annotations of MathML (MathML 3, section 5.2, leaves it open)."""

_BETWEEN = {"mfrac": "/", "msup": "^", "msub": "_", "msubsup": "_^"}
"""Signs between the operands of elements of MathML 3 (sections 3.3.2 and 3.4), as linear notations have them."""


def write_raised(text: str) -> str:
    """Write all that stands between :data:`RAISED` and :data:`LOWERED`."""
    if RAISED not in text:
        return text
    joined = text.replace(LOWERED + RAISED, "")
    written = _RAISED_TEXT.sub(lambda one: raised(joined[max(0, one.start() - _BEFORE) : one.start()], one[1]), joined)
    return written.replace(RAISED, "").replace(LOWERED, "")


def raised(before: str, text: str) -> str:
    """Write a superscript.

    Args:
        before: What stands before it.
        text: The superscript.

    Returns:
        ``^3`` if it can be an exponent behind a letter, digit or bracket; nothing if it is the number of a note behind
        the end of a sentence, or a list of such numbers; else the text as it stands, such as that of ordinals.
    """
    text = " ".join(text.split())
    if _BRACKETED.fullmatch(text):
        return text
    is_operand = before[-1:].isalnum() or before[-1:] in (")", "]")
    is_note = _NOTE_NUMBERS.fullmatch(text) if before.endswith(_CLOSING) else _NOTE_LIST.fullmatch(text)
    if is_note and (is_operand or before.endswith(_CLOSING)):
        return ""
    if not is_operand or not _EXPONENT.fullmatch(text) or _is_ordinal(before, text):
        return text
    return f"^({text})" if _COMPOUND.search(text) else f"^{text}"


def _is_ordinal(before: str, text: str) -> bool:
    numbered = before[-1:].isdigit() or _ROMAN.search(before) is not None
    return text.lower() in _ORDINALS and (numbered or len(text) > 1)


def simplify(root: Any) -> None:
    """Write the superscripts and formulas of a page as text, and remove marks of notes, which are links.

    Args:
        root: Of an lxml tree; it is changed.
    """
    for element in list(root.iter("sup", "a", "math")):
        if element.tag == "math":
            _write_formula(element)
        elif element.tag == "a":
            if (element.get("href") or "").startswith("#") and _is_note_link(element):
                _remove(element)
        elif element.find(".//img") is None:
            _write_superscript(element)


def _write_superscript(element: Any) -> None:
    text = "".join(element.itertext()).strip()
    if not text or _BRACKETED.fullmatch(text):
        return
    is_linked = element.find(".//a[@href]") is not None or _is_whole_link(element)
    written = (
        "" if is_linked or _NOTE_NAME.search(_names_of(element)) else raised(_text_before(element)[-_BEFORE:], text)
    )
    if written != text:
        element[:] = []
        element.text = written


def _is_whole_link(element: Any) -> bool:
    """Say whether an element is all that a link has."""
    above = element.getparent()
    is_alone = element.getprevious() is None and element.getnext() is None
    return is_alone and above is not None and above.tag == "a" and not f"{above.text or ''}{element.tail or ''}".strip()


def _is_note_link(element: Any) -> bool:
    """Say whether a link is the mark of a note: nothing but that, written close to a word, and named as one."""
    text = "".join(element.itertext()).strip()
    if not _BARE_MARK.fullmatch(text) or not _NOTE_NAME.search(f"{_names_of(element)} {element.get('href')}"):
        return False
    before = _text_before(element)[-1:]
    return before.isalnum() or before in _CLOSING or before == ")"


def _names_of(element: Any) -> str:
    return f"{element.get('class') or ''} {element.get('id') or ''}"


def _text_before(element: Any) -> str:
    """Return what stands right before an element, within the one that it is in."""
    before = element.getprevious()
    if before is None:
        above = element.getparent()
        return (above.text or "") if above is not None else ""
    return before.tail or "".join(before.itertext())


def _remove(element: Any) -> None:
    """Empty an element such that the text behind it stays where it is."""
    element[:] = []
    element.text = None


def _write_formula(math: Any) -> None:
    """Put the text of a formula in its place, and remove what KaTeX shows of it to the eye beside it."""
    annotation = next((one for one in math.iter("annotation") if (one.get("encoding") or "").lower() in _TEX), None)
    told = "".join(annotation.itertext()) if annotation is not None else _linear(math)
    shown = math.getparent().getnext() if math.getparent() is not None else None
    if shown is not None and "katex-html" in (shown.get("class") or ""):
        _remove(shown)
    is_block = math.get("display") == "block"
    math.clear(keep_tail=True)
    math.tag = "div" if is_block else "span"
    math.text = " ".join(told.split())


def _linear(element: Any) -> str:
    """Write MathML in one line; it is at most as deep as a page may be (:func:`.page_tree.parse_page`)."""
    if not len(element):
        return " ".join((element.text or "").split())
    parts = [_linear(child) for child in element if child.tag not in ("annotation", "annotation-xml")]
    signs = _BETWEEN.get(element.tag)
    if signs is None:
        return f"√({''.join(parts)})" if element.tag == "msqrt" else "".join(parts)
    operands = [part if part.isalnum() else f"({part})" for part in parts]
    return "".join(operands[:1]) + "".join(sign + operand for sign, operand in zip(signs, operands[1:], strict=False))
