"""GeoTIFF scenes and vector labels: tiles with boxes and the questions that they answer."""

from .converter import CONVERTER, GeotiffConverter
from .settings import GeotiffSettings

__all__ = ["CONVERTER", "GeotiffConverter", "GeotiffSettings"]
