"""Equal texts have equal numbers everywhere, others have others."""

from __future__ import annotations

import hashlib

import pytest

from domainvl.schema.digests import digest_text


@pytest.mark.parametrize("bits", [64, 128])
def test_it_is_the_standard_hash(bits):
    """RFC 7693, whose digest depends on its length."""
    expected = hashlib.blake2b("é".encode(), digest_size=bits // 8).hexdigest()

    assert f"{digest_text('é', bits=bits):0{bits // 4}x}" == expected


def test_names_that_are_not_utf_8_are_told_apart():
    assert len({digest_text(text) for text in ("\udc80", "\udc81", "", "?")}) == 4
