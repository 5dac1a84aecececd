"""What was done to the pixels of one stack so that they name nobody, decided slice by slice and counted.

What reads text misses some of it, and a banner stands on all pictures of a recording or on none. One find therefore
leaves out every frame of its file, and where the pictures are such that programs write on them, every picture of the
stack. Pictures that were let pass before the find are the reason for :meth:`PixelHandling.begins_again`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from domainvl import __version__
from domainvl.errors import LeftOutError

from ..settings import DicomSettings
from ..units import SliceRef
from .log import BURNT_IN, DATES, FACES, IDENTIFIERS, DeidentificationLog, PixelActions, may_claim_removal
from .pixel_text import find_text, is_installed, is_searched

_Key: TypeAlias = tuple[tuple[str, int], ...]
"""Source and frame of each slice that a picture shows; one but for projections."""


class PixelHandling:
    """Decides about the text in pictures and keeps count.

    Args:
        settings: The converter's settings.
        quarantined_count: Images of the series that the plan has left out because of their headers.
        shows_face: Whether the pictures may show a face.
    """

    def __init__(self, settings: DicomSettings, *, quarantined_count: int, shows_face: bool) -> None:
        self._settings = settings
        self._shows_face = shows_face
        self._quarantined_count = quarantined_count
        self._counts: Counter[str] = Counter(quarantined=quarantined_count)
        self._installed = is_installed()
        self._lines: dict[_Key, int] = {}
        self._passed: set[_Key] = set()
        self._files_with_text: set[str] = set()
        self._has_text = False

    def check(self, refs: Sequence[SliceRef]) -> None:
        """Refuse slices before they are read, where text was found in them or in what is handled with them.

        Args:
            refs: What a picture is to show.

        Raises:
            LeftOutError: By ``text-in-pixels``.
        """
        key = _key(refs)
        if self._is_refused(key):
            # Those that were searched in an earlier round have been searched, whatever was found beside them.
            self._counts["searched"] += key in self._lines
            self._refuse(key)

    def take(
        self,
        pictures: Sequence[npt.NDArray[np.uint8]],
        refs: Sequence[SliceRef],
        *,
        suspected: bool,
        cropped: bool,
        blurred: bool,
        inked: bool = False,
    ) -> None:
        """Take note of the pictures of a slice that are about to be written, and refuse them where they hold text.

        Args:
            pictures: All that are written of it, one a window: uint8 of shape (height, width) or (height, width, 3).
            refs: What they show: a slice, or those of a projection.
            suspected: Whether a header suspects text; such a picture is here only if the settings allow it.
            cropped: Whether it was cut to its safe regions, and blanked around them.
            blurred: Whether the front of the head was blurred.
            inked: Whether an overlay is drawn on it, which may be text.

        Raises:
            LeftOutError: By ``text-in-pixels``, or by ``overlay-drawn`` where an overlay is not searched for text.
        """
        self.check(refs)
        key = _key(refs)
        quarantines = self._settings.burnt_in == "quarantine"
        if self._searches(refs[0], inked=inked):
            self._counts["searched"] += 1
            lines = self._search(key, pictures)
            suspected = suspected or lines > 0
            if lines and quarantines:
                self._widen(refs)
                self._refuse(key)
        elif inked:
            suspected = True
            if quarantines:
                self._counts["quarantined"] += 1
                raise LeftOutError(
                    "An image may name someone",
                    reason="overlay-drawn",
                    rule="an overlay is drawn on it, which may be text, and it is not searched for text",
                    action="Install the extra ocr, convert without --overlays, or look at it and use --burnt-in allow",
                )
        self._passed.add(key)
        self._counts.update(cropped=cropped, blanked=cropped, blurred=blurred)
        if suspected:
            self._counts["allowed"] += 1
        elif not cropped:
            self._counts["kept"] += 1

    def begins_again(self) -> bool:
        """Whether pictures were let pass that a later find concerns; then all must be made anew, and is counted anew.

        What was found stays known: such pictures are refused at once, and nothing is searched twice.
        """
        if not any(map(self._is_refused, self._passed)):
            return False
        self._passed.clear()
        self._counts = Counter(quarantined=self._quarantined_count)
        return True

    def log(self, *, attribute_count: int, text_replacements: Mapping[str, int]) -> DeidentificationLog:
        """Say what was done.

        Args:
            attribute_count: Number of attributes of the allow-list that a header of the stack has.
            text_replacements: Replacements in the text of its report, by kind.
        """
        settings = self._settings
        options = [IDENTIFIERS, DATES[settings.dates], BURNT_IN[settings.burnt_in]]
        if settings.blur_faces:
            options.append(FACES)
        pixels = PixelActions(**{name: self._counts[name] for name in PixelActions.model_fields})
        return DeidentificationLog(
            options=tuple(options),
            pixels=pixels,
            attributes_kept=attribute_count,
            text_replacements=dict(text_replacements),
            face_risk=self._shows_face,
            tool=f"domainvl {__version__}",
            patient_identity_removed=may_claim_removal(pixels, face_risk=self._shows_face),
        )

    def _searches(self, ref: SliceRef, *, inked: bool) -> bool:
        mode = self._settings.pixel_text
        return is_searched(mode, ref.facts, installed=self._installed) or (inked and self._installed and mode != "off")

    def _search(self, key: _Key, pictures: Sequence[npt.NDArray[np.uint8]]) -> int:
        """Return how many lines of text the picture has that has most."""
        if key not in self._lines:
            self._lines[key] = max(len(find_text(picture)) for picture in pictures)
        return self._lines[key]

    def _widen(self, refs: Sequence[SliceRef]) -> None:
        """Let a find concern what bears the same banner if there is one.

        Slices of CT, MR and PET that a scanner made are measured one by one, and only ``all`` searches them: a find in
        one says nothing of the others, and a false one would cost hundreds.
        """
        if is_searched("auto", refs[0].facts, installed=True):
            self._has_text = True
        elif len(files := {ref.source for ref in refs}) == 1:
            self._files_with_text |= files

    def _is_refused(self, key: _Key) -> bool:
        if self._settings.burnt_in != "quarantine":
            return False
        return self._has_text or self._lines.get(key, 0) > 0 or any(file in self._files_with_text for file, _ in key)

    def _refuse(self, key: _Key) -> NoReturn:
        self._counts["quarantined_by_text"] += 1
        lines = self._lines.get(key, 0)
        raise LeftOutError(
            "An image may name someone",
            reason="text-in-pixels",
            rule=f"{lines} lines of text were found in its pixels"
            if lines
            else "lines of text were found in the pixels of others of its file or stack",
            action="Look at it; if it names nobody, convert it with --burnt-in allow",
        )


def _key(refs: Sequence[SliceRef]) -> _Key:
    return tuple((ref.source, ref.frame) for ref in refs)
