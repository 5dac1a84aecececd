import pytest

from domainvl.converters.geotiff.products import COMPOSITES, INDICES, SENSORS

ROLES = {band.role for sensor in SENSORS.values() for band in sensor.bands}


def test_geo_01_every_composite_and_index_is_made_of_roles_that_some_sensor_has():
    assert {role for roles in (*COMPOSITES.values(), *INDICES.values()) for role in roles} <= ROLES


@pytest.mark.parametrize("sensor", SENSORS.values(), ids=lambda sensor: sensor.key)
def test_geo_01_a_sensor_names_each_band_and_role_once_and_orders_by_count(sensor):
    names = [name for band in sensor.bands for name in (band.name.lower(), *band.aliases)]
    assert len(names) == len(set(names))
    assert len({band.role for band in sensor.bands}) == len(sensor.bands)
    counts = [len(order) for order in sensor.orders]
    assert len(counts) == len(set(counts))
    assert all(sensor.band(name) for order in sensor.orders for name in order)


@pytest.mark.parametrize(
    ("sensor", "red", "nir"), [("sentinel-2", "B04", "B08"), ("landsat-8", "B4", "B5"), ("landsat-5", "B3", "B4")]
)
def test_geo_01_the_same_number_is_another_band_on_another_sensor(sensor, red, nir):
    assert SENSORS[sensor].band(red).role == "red"
    assert SENSORS[sensor].band(nir).role == "nir"
