"""Factors are computed by hand from the vendor-neutral formula of QIBA: weight in g / dose in Bq left at the scan."""

from __future__ import annotations

import math

import pydicom
import pytest

from domainvl.converters.dicom.suv import suv_factor
from domainvl.errors import ItemError

F18_S = 6586.2
"""Half-life of fluorine 18 in seconds: 109.77 min."""


def pet(*, dose="370000000", half_life=F18_S, injected="080000", injected_at=None, **attributes):
    """A PET of a person of 70 kg: 370 MBq of F-18 at 8:00, series and acquisition at 9:00."""
    dataset = pydicom.Dataset()
    values = {
        "Modality": "PT",
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ["NORM", "DTIM", "ATTN", "SCAT", "DECY"],
        "PatientWeight": "70",
        "SeriesDate": "20240310",
        "SeriesTime": "090000",
        "AcquisitionDate": "20240310",
        "AcquisitionTime": "090000",
    } | attributes
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    item = pydicom.Dataset()
    for keyword, value in {
        "RadionuclideTotalDose": dose,
        "RadionuclideHalfLife": half_life,
        "RadiopharmaceuticalStartTime": injected,
        "RadiopharmaceuticalStartDateTime": injected_at,
    }.items():
        if value is not None:
            setattr(item, keyword, value)
    dataset.RadiopharmaceuticalInformationSequence = [item]
    return dataset


def philips(element, value, dataset):
    dataset.private_block(0x7053, "Philips PET Private Group", create=True).add_new(element, "DS", value)
    return dataset


ONE_HOUR = 2 ** (3600 / F18_S)
"""Dose at 8:00 by dose at 9:00."""
PLAIN = 70_000 / 370e6


@pytest.mark.parametrize(
    ("attributes", "factor"),
    [
        # 370 MBq * 2^(-3600 / 6586.2) = 253.3 MBq are left at 9:00; 70,000 g by that.
        ({}, 2.76337e-4),
        # Two half-lives of exactly an hour: a quarter of the dose is left.
        ({"half_life": 1800}, 4 * PLAIN),
        # ADMIN: the image is corrected to the injection, and so nothing has decayed.
        ({"DecayCorrection": "ADMIN"}, PLAIN),
        # NONE: half the dose at the acquisition an hour later; the series' time does not count.
        ({"DecayCorrection": "NONE", "CorrectedImage": ["ATTN"], "half_life": 3600, "SeriesTime": "083000"}, 2 * PLAIN),
        # Injected at 23:30 of the day before, scanned at 0:30: an hour, not minus 23.
        ({"injected": "233000", "SeriesTime": "003000", "half_life": 3600}, 2 * PLAIN),
        # With a date and time of the injection the clock needs no guess: 25 hours of a long half-life.
        ({"injected_at": "20240309080000.000000", "half_life": 90_000}, 2 * PLAIN),
        # An offset from UTC is of the same clock as dates and times without one.
        ({"injected_at": "20240310080000+0100", "half_life": 3600}, 2 * PLAIN),
        # Fractions of a second, and another weight.
        ({"injected": "075959.500000", "SeriesTime": "085959.5", "half_life": 3600, "PatientWeight": "35"}, PLAIN),
        # No times of the acquisition: the series' are all there is.
        ({"AcquisitionDate": None, "AcquisitionTime": None, "half_life": 3600}, 2 * PLAIN),
        # Acquisition as one attribute.
        ({"AcquisitionDate": None, "AcquisitionTime": None, "AcquisitionDateTime": "20240310090000",
          "half_life": 3600}, 2 * PLAIN),
        ({"Units": "GML"}, 1.0),
        ({"Units": "GML", "SUVType": "BW"}, 1.0),
    ],
)  # fmt: skip
def test_med_30_factors_computed_by_hand(attributes, factor):
    assert suv_factor(pet(**attributes)) == pytest.approx(factor, rel=2e-5)


def test_med_30_the_first_factor_again_from_the_law_of_decay():
    assert suv_factor(pet()) == pytest.approx(PLAIN * ONE_HOUR, rel=1e-12)


def test_med_30_series_time_after_the_acquisition_is_not_the_scan():
    # The series was made at 15:00 by a workstation. This frame of 4 minutes began at 9:10, and its mean count rate
    # was 610 s after the start of the scan by FrameReferenceTime. With k = ln 2 / 6586.2 s the mean rate of 240 s
    # comes after 1/k * ln(240k / (1 - exp(-240k))) = 119.75 s. So the scan began at 9:10:00 + 119.75 - 610 s =
    # 9:01:49.75, 3709.75 s after the injection.
    dataset = pet(
        SeriesTime="150000", AcquisitionTime="091000", FrameReferenceTime="610000", ActualFrameDuration="240000"
    )
    assert suv_factor(dataset) == pytest.approx(PLAIN * 2 ** (3709.75 / F18_S), rel=1e-6)


def test_med_30_ge_keeps_the_time_of_the_scan():
    dataset = pet(SeriesTime="150000", half_life=3600)
    dataset.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20240310090000.00")
    assert suv_factor(dataset) == pytest.approx(2 * PLAIN)


def test_med_30_mean_activity_of_a_long_frame_without_decay_correction():
    # Carbon 11 (1224 s): the frame of 1224 s begins at the injection. Its mean is (1 - 1/2) / ln 2 of the first.
    dataset = pet(DecayCorrection="NONE", half_life=1224, injected="090000", ActualFrameDuration="1224000")
    assert suv_factor(dataset) == pytest.approx(PLAIN * math.log(2) / 0.5)


@pytest.mark.parametrize("value", ["0.000551", b"0.000551 "])
def test_med_30_philips_factor_from_counts_to_suv(value):
    # Of unknown VR where the private dictionary does not know it.
    dataset = pet(Units="CNTS", PatientWeight=None)
    block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "UN" if isinstance(value, bytes) else "DS", value)
    assert suv_factor(dataset) == 0.000551


def test_med_30_philips_factor_from_counts_to_activity():
    dataset = philips(0x09, "2.5", philips(0x00, "0", pet(Units="CNTS", half_life=3600)))
    assert suv_factor(dataset) == pytest.approx(2.5 * 2 * PLAIN)


@pytest.mark.parametrize(
    ("attributes", "names"),
    [
        ({"Modality": "CT"}, "Modality"),
        ({"Units": "PROPCPS"}, "Units"),
        ({"Units": None}, "Units"),
        ({"Units": "GML", "SUVType": "LBM"}, "SUVType"),
        ({"Units": "CNTS"}, "7053,1000"),
        ({"PatientWeight": None}, "PatientWeight"),
        ({"PatientWeight": "0"}, "PatientWeight"),
        ({"CorrectedImage": ["DECY"]}, "ATTN"),
        ({"CorrectedImage": "ATTN"}, "DECY"),
        ({"CorrectedImage": None}, "CorrectedImage"),
        ({"DecayCorrection": None}, "DecayCorrection"),
        ({"dose": None}, "RadionuclideTotalDose"),
        ({"dose": "370"}, "RadionuclideTotalDose"),  # in MBq
        ({"half_life": None}, "RadionuclideHalfLife"),
        ({"injected": None}, "RadiopharmaceuticalStartTime"),
        ({"injected": "noon"}, "RadiopharmaceuticalStartTime"),
        ({"injected_at": "20240310100000"}, "RadiopharmaceuticalStartDateTime"),
        ({"SeriesTime": "150000"}, "FrameReferenceTime"),
        ({"SeriesTime": None}, "SeriesTime"),
        ({"DecayCorrection": "NONE", "AcquisitionTime": None}, "AcquisitionTime"),
    ],
)
def test_med_30_a_header_that_does_not_allow_it_is_refused_by_attribute(attributes, names):
    with pytest.raises(ItemError, match=names) as caught:
        suv_factor(pet(**attributes))
    assert caught.value.reason == "suv"
    assert caught.value.action


def test_med_30_no_radiopharmaceutical():
    dataset = pet()
    del dataset.RadiopharmaceuticalInformationSequence
    with pytest.raises(ItemError, match="RadiopharmaceuticalInformationSequence"):
        suv_factor(dataset)
