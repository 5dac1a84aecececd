"""Pseudonyms: identifiers leave this package only as keyed hashes (DICOM PS3.15 Annex E asks for no less).

A pseudonym is the start of HMAC-SHA256(key, kind and identifier). The same key gives the same pseudonym, so
that data sets can be joined; without the key an identifier can neither be computed nor confirmed by guessing.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from domainvl.errors import InputNotFoundError, UsageError

KEY_BYTES_MIN = 16
SOURCE_HASHES = "source-hashes"
"""Purpose of the key under which hashes of files are written: else whoever holds a file could find it."""

PSEUDONYM_LENGTH = 16
"""Hexadecimal digits that are kept: 64 bits, so that a million series collide with probability 3e-8."""

_HOW_TO_MAKE_A_KEY = "Make a key with: openssl rand -hex 32 > deid.key, keep it secret, and add --deid-key deid.key"
_SEPARATOR = "\x1f"


def read_key(path: Path | None) -> bytes:
    """Read the secret key; white space around it does not count.

    Raises:
        UsageError: If no file is named or the key is too short.
        InputNotFoundError: If the file is not there.
    """
    if path is None:
        raise UsageError(
            "Cannot write identifiers",
            rule="patient identifiers are only written as keyed hashes, and no --deid-key is given",
            action=_HOW_TO_MAKE_A_KEY,
        )
    if not path.is_file():
        raise InputNotFoundError("Cannot read --deid-key", where=path, rule="no such file", action=_HOW_TO_MAKE_A_KEY)
    key = path.read_bytes().strip()
    if len(key) < KEY_BYTES_MIN:
        raise UsageError(
            "Cannot use --deid-key",
            where=path,
            rule=f"the key must have at least {KEY_BYTES_MIN} bytes, got {len(key)}",
            action=_HOW_TO_MAKE_A_KEY,
        )
    return key


class Pseudonyms:
    """Turns identifiers into pseudonyms.

    Args:
        key: The secret key.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def subkey(self, purpose: str) -> bytes:
        """Return a key of its own for a purpose, from which the secret key cannot be found."""
        return hmac.new(self._key, f"subkey{_SEPARATOR}{purpose}".encode(), hashlib.sha256).digest()

    def of(self, kind: str, *identifiers: str) -> str:
        """Return the pseudonym of something.

        Args:
            kind: What it is, such as ``"patient"``, so that equal identifiers of different kinds differ.
            identifiers: What identifies it.
        """
        message = _SEPARATOR.join((kind, *identifiers))
        return hmac.new(self._key, message.encode(), hashlib.sha256).hexdigest()[:PSEUDONYM_LENGTH]
