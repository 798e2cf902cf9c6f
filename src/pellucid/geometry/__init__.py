"""Analysis sets and plane geometry."""

from .ball import Ball as Ball
from .box import Box as Box
from .domain import as_slice as as_slice
from .hull import Hull as Hull
from .polygon import Polygon as Polygon
from .slice import NamedSlice as NamedSlice
from .slice import Slice as Slice
