"""Scenes as they are delivered: plain GeoTIFF files, Sentinel-2 SAFE and Landsat folders, STAC items."""

from .dates import date_from_tags
from .discovery import Found, find_products
from .product import Band, Product, ProductKind
from .roles import NamedBand, find_sensor, roles_of
from .sensors import COMPOSITES, INDICES, SENSORS, Sensor

__all__ = [
    "COMPOSITES",
    "INDICES",
    "SENSORS",
    "Band",
    "Found",
    "NamedBand",
    "Product",
    "ProductKind",
    "Sensor",
    "date_from_tags",
    "find_products",
    "find_sensor",
    "roles_of",
]
