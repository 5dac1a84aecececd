import pytest

from domainvl.converters.geotiff.products import COMPOSITES, GREYS, INDICES, RATIOS, SENSORS

ROLES = {band.role for sensor in SENSORS.values() for band in sensor.bands}


def test_geo_01_every_composite_index_and_ratio_is_made_of_roles_that_some_sensor_has():
    wanted = {role for roles in COMPOSITES.values() for role in roles} - set(RATIOS)
    wanted |= {role for pair in (*INDICES.values(), *RATIOS.values()) for role in pair} | set(GREYS.values())
    assert wanted <= ROLES


@pytest.mark.parametrize("sensor", SENSORS.values(), ids=lambda sensor: sensor.key)
def test_geo_01_a_sensor_names_each_band_and_role_once_and_orders_by_count(sensor):
    names = [name for band in sensor.bands for name in (band.name.lower(), *band.aliases)]
    assert len(names) == len(set(names))
    assert len({band.role for band in sensor.bands}) == len(sensor.bands)
    counts = [len(order) for order in sensor.orders]
    assert len(counts) == len(set(counts))
    assert all(sensor.band(name) for order in sensor.orders for name in order)


@pytest.mark.parametrize("sensor", SENSORS.values(), ids=lambda sensor: sensor.key)
def test_geo_01_wavelengths_lie_in_the_part_of_the_spectrum_that_the_role_names(sensor):
    # Limits in nm of the common names of bands (STAC EO extension, table of common band names), which hold all bands.
    limits = {
        "coastal": (400, 455),
        "blue": (440, 530),
        "green": (500, 605),
        "red": (590, 700),
        "nir": (750, 1000),
        "swir1": (1550, 1750),
        "swir2": (2050, 2350),
        "pan": (400, 1000),
        "cirrus": (1350, 1400),
        "thermal1": (10000, 13000),
    }
    for band in sensor.bands:
        if band.wavelengths_nm and band.role in limits:
            low, high = band.wavelengths_nm
            assert limits[band.role][0] <= low < high <= limits[band.role][1], band


@pytest.mark.parametrize(
    ("sensor", "red", "nir"), [("sentinel-2", "B04", "B08"), ("landsat-8", "B4", "B5"), ("landsat-5", "B3", "B4")]
)
def test_geo_01_the_same_number_is_another_band_on_another_sensor(sensor, red, nir):
    assert SENSORS[sensor].band(red).role == "red"
    assert SENSORS[sensor].band(nir).role == "nir"


def test_geo_01_surface_reflectance_of_landsat_is_scaled_as_usgs_says():
    # Landsat 8-9 Collection 2 Level 2 Science Product Guide: valid range 7273 to 43636 is reflectance 0 to 1.
    sensor = SENSORS["landsat-8"]
    assert sensor.scale * 7273 + sensor.offset == pytest.approx(0, abs=1e-4)
    assert sensor.scale * 43636 + sensor.offset == pytest.approx(1, abs=1e-4)
