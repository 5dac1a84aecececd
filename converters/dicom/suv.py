"""Standardised uptake values by body weight (SUVbw) of PET: one factor an image, or the attribute that forbids it.

Follows the vendor-neutral pseudocode that QIBA gives in the wiki page "Standardized Uptake Value (SUV)" and in the
profile FDG-PET/CT, Appendix G: SUVbw = activity in Bq/ml * weight in g / injected dose in Bq, decayed to the time that
the image is corrected to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from pydicom import Dataset
from pydicom.valuerep import DA, DT, TM

from domainvl.errors import ItemError

from .headers import PARSE_ERRORS, number_of, text_of, value_of

DOSE_MIN_BQ = 1e5
"""Injected doses are 10 MBq to 1 GBq. Below this the header has another unit: some writers put MBq."""

_PHILIPS_GROUP, _PHILIPS_CREATOR = 0x7053, "Philips PET Private Group"
_PHILIPS_SUV, _PHILIPS_ACTIVITY = 0x00, 0x09
"""Elements (7053,xx00), factor from counts to SUVbw, and (7053,xx09), from counts to Bq/ml."""
_GE_GROUP, _GE_CREATOR, _GE_SCAN = 0x0009, "GEMS_PETD_01", 0x0D
"""Element (0009,xx0D), the time of the scan that GE keeps where the series has been processed later."""


@dataclass(frozen=True)
class _Injection:
    dose_bq: float
    half_life_s: float
    start: datetime | time


def suv_factor(dataset: Dataset) -> float:
    """Return the factor from modality values (after rescale) to SUVbw in g/ml.

    Args:
        dataset: The full header: what it needs names weight and times and is in no allow-list. Only the factor leaves.

    Returns:
        The factor, above 0.

    Raises:
        ItemError: By ``suv`` if the header does not allow it; the message names the attribute.
    """
    if text_of(dataset, "Modality") != "PT":
        raise _refused("Modality must be PT")
    units = text_of(dataset, "Units")
    if units == "GML":
        kind = text_of(dataset, "SUVType")
        if kind not in ("", "BW"):
            raise _refused("SUVType must be BW where Units are GML")
        return 1.0
    if units == "CNTS":
        factor = _philips(dataset, _PHILIPS_SUV)
        if factor is not None:
            return factor
        activity = _philips(dataset, _PHILIPS_ACTIVITY)
        if activity is None:
            raise _refused("Units are CNTS, and neither (7053,1000) nor (7053,1009) of Philips says what a count is")
        return activity * _factor_of_activity(dataset)
    if units == "BQML":
        return _factor_of_activity(dataset)
    raise _refused("Units must be BQML, CNTS or GML")


def _refused(rule: str) -> ItemError:
    return ItemError(
        "Cannot compute SUV",
        reason="suv",
        rule=rule,
        action="Complete the header from the injection protocol, or convert without --suv",
    )


def _philips(dataset: Dataset, element: int) -> float | None:
    return _positive(_private(dataset, _PHILIPS_GROUP, _PHILIPS_CREATOR, element))


def _private(dataset: Dataset, group: int, creator: str, element: int) -> str:
    """Return a private element as text, empty where there is none. Those of unknown VR come as bytes."""
    try:
        value: Any = dataset.private_block(group, creator)[element].value
    except PARSE_ERRORS:
        return ""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip(" \0")


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def _factor_of_activity(dataset: Dataset) -> float:
    weight_kg = number_of(dataset, "PatientWeight")
    if weight_kg is None or weight_kg <= 0:
        raise _refused("PatientWeight must be above 0 kg")
    terms = value_of(dataset, "CorrectedImage") or ()
    corrected = {terms} if isinstance(terms, str) else {str(term) for term in terms}
    if "ATTN" not in corrected:
        raise _refused("CorrectedImage must hold ATTN: the image is not corrected for attenuation")
    correction = text_of(dataset, "DecayCorrection")
    if correction not in ("START", "ADMIN", "NONE"):
        raise _refused("DecayCorrection must be START, ADMIN or NONE")
    if correction != "NONE" and "DECY" not in corrected:
        raise _refused("CorrectedImage must hold DECY where DecayCorrection is START or ADMIN")
    injection = _injection(dataset)
    dose_bq = injection.dose_bq
    if correction != "ADMIN":
        dose_bq *= _left_of_dose(dataset, injection, corrected=correction == "START")
    return weight_kg * 1000.0 / dose_bq


def _injection(dataset: Dataset) -> _Injection:
    items: Any = value_of(dataset, "RadiopharmaceuticalInformationSequence") or ()
    if len(items) != 1:
        raise _refused(f"RadiopharmaceuticalInformationSequence must have one item, got {len(items)}")
    item = items[0]
    dose_bq = number_of(item, "RadionuclideTotalDose")
    if dose_bq is None or dose_bq < DOSE_MIN_BQ:
        raise _refused(f"RadionuclideTotalDose must be at least {DOSE_MIN_BQ:g} Bq")
    half_life_s = number_of(item, "RadionuclideHalfLife")
    if half_life_s is None or half_life_s <= 0:
        raise _refused("RadionuclideHalfLife must be above 0 s")
    start: datetime | time | None = _datetime(item, "RadiopharmaceuticalStartDateTime")
    start = start or _time(item, "RadiopharmaceuticalStartTime")
    if start is None:
        raise _refused("neither RadiopharmaceuticalStartDateTime nor RadiopharmaceuticalStartTime can be read")
    return _Injection(dose_bq, half_life_s, start)


def _left_of_dose(dataset: Dataset, injection: _Injection, *, corrected: bool) -> float:
    """Return the share of the injected dose that is left at the time for which the image's activity holds."""
    decay_per_s = math.log(2) / injection.half_life_s
    acquired = _moment(dataset, "Acquisition")
    frame_s = (number_of(dataset, "ActualFrameDuration") or 0.0) / 1000.0
    if corrected:
        scanned = _scan_start(dataset, acquired, frame_s * decay_per_s, decay_per_s)
        return math.exp(-decay_per_s * _seconds_since(injection.start, scanned))
    if acquired is None:
        raise _refused("AcquisitionDate and AcquisitionTime are needed where DecayCorrection is NONE")
    at_begin = math.exp(-decay_per_s * _seconds_since(injection.start, acquired))
    # The mean activity over a frame of length T is that at its begin times (1 - exp(-kT)) / kT.
    decay = frame_s * decay_per_s
    return at_begin * (-math.expm1(-decay) / decay if decay > 0 else 1.0)


def _scan_start(dataset: Dataset, acquired: datetime | None, decay: float, decay_per_s: float) -> datetime:
    """Return the time that images with DecayCorrection START are corrected to.

    It is the series' time, unless the series was made after the acquisition. Then it is what GE keeps, or follows
    from FrameReferenceTime: the time from the start of the scan to when the count rate of the frame was its mean.

    Args:
        dataset: The header.
        acquired: Start of this frame.
        decay: ActualFrameDuration times the decay constant.
        decay_per_s: The decay constant.
    """
    series = _moment(dataset, "Series")
    if series is not None and (acquired is None or series <= acquired):
        return series
    if kept := _parsed(DT, _private(dataset, _GE_GROUP, _GE_CREATOR, _GE_SCAN)):
        return _naive(kept)
    reference_ms = number_of(dataset, "FrameReferenceTime")
    if acquired is None or reference_ms is None or decay <= 0:
        raise _refused(
            "SeriesDate and SeriesTime are missing or later than the acquisition, and the start of the scan does not "
            "follow from AcquisitionTime, FrameReferenceTime and ActualFrameDuration"
        )
    mean_after_s = math.log(decay / -math.expm1(-decay)) / decay_per_s
    return acquired + timedelta(seconds=mean_after_s - reference_ms / 1000.0)


def _seconds_since(start: datetime | time, moment: datetime) -> float:
    """Return seconds from the injection; one that has a time only was at most a day before."""
    if not isinstance(start, datetime):
        start = datetime.combine(moment.date(), start)
        if start > moment:
            start -= timedelta(days=1)
    seconds = (moment - start).total_seconds()
    if seconds < 0:
        raise _refused("RadiopharmaceuticalStartDateTime is after the scan")
    return seconds


def _moment(dataset: Dataset, name: str) -> datetime | None:
    """Return date and time of an acquisition or series, None where one of them cannot be read."""
    day: date | None = _parsed(DA, text_of(dataset, f"{name}Date"))
    hour = _time(dataset, f"{name}Time")
    if day is not None and hour is not None:
        return datetime.combine(day, hour)
    return _datetime(dataset, "AcquisitionDateTime") if name == "Acquisition" else None


def _time(dataset: Dataset, keyword: str) -> time | None:
    parsed: time | None = _parsed(TM, text_of(dataset, keyword))
    return parsed


def _datetime(dataset: Dataset, keyword: str) -> datetime | None:
    parsed = _parsed(DT, text_of(dataset, keyword))
    return None if parsed is None else _naive(parsed)


def _naive(moment: datetime) -> datetime:
    """Drop an offset from UTC: dates and times without one are of the same clock (PS3.3 C.12.1.1.8)."""
    return datetime.combine(moment.date(), moment.time())


def _parsed(kind: type[Any], text: str) -> Any:
    if not text:
        return None
    try:
        return kind(text)
    except PARSE_ERRORS:
        return None
