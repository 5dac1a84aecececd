"""Dates moved by a number of days that is drawn for each patient from the key: intervals stay, days do not."""

from __future__ import annotations

import datetime
import hashlib
import hmac

_SHIFT_DAYS_MIN = 366
_SHIFT_DAYS_RANGE = 3653
"""Back by one to eleven years: never to the same year, and an age group stays about what it was."""

_SEPARATOR = "\x1f"


class DateShift:
    """Moves the dates of a patient by one number of days (PS3.15 E.3.6, modified dates).

    The number is a keyed hash of the patient: the same in every run with the same key, and not to be found without it.

    Args:
        key: The secret key of the pseudonyms.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def days(self, *patient: str) -> int:
        """Return by how many days the dates of a patient move; always negative.

        Args:
            patient: What identifies the patient, as for a pseudonym.
        """
        digest = hmac.new(self._key, _SEPARATOR.join(("date-shift", *patient)).encode(), hashlib.sha256).digest()
        return -(_SHIFT_DAYS_MIN + int.from_bytes(digest[:8], "big") % _SHIFT_DAYS_RANGE)

    def shifted(self, date: str, *patient: str) -> str | None:
        """Move a date.

        Args:
            date: ``YYYYMMDD`` (PS3.5 6.2, DA), with or without a time behind it, or ``YYYY-MM-DD``.
            patient: What identifies the patient.

        Returns:
            ``YYYY-MM-DD``; None where the text is no date.
        """
        digits = date.strip().replace("-", "").replace(".", "")[:8]
        if len(digits) != 8 or not digits.isascii() or not digits.isdecimal():
            return None
        try:
            day = datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
            return (day + datetime.timedelta(days=self.days(*patient))).isoformat()
        except (ValueError, OverflowError):
            return None
