"""Brings text to the forms in which answers are compared."""

from __future__ import annotations


def normalise_text(text: str) -> str:
    """Bring text to the form in which answers are compared.

    Lower case, runs of blanks to one, none at the ends, one full stop at the end taken away. Articles,
    other punctuation and number words stay as they are: "a lung" is not "lung".
    """
    return " ".join(text.lower().split()).removesuffix(".").rstrip()
