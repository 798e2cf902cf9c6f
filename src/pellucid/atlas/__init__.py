"""Atlases: what exact engines find, and what one can ask of it."""

from .atlas import Atlas as Atlas
from .atlas import PartialAtlas as PartialAtlas
from .enumerate import count_cells as count_cells
from .enumerate import linear_regions as linear_regions
from .nearest import NearestRegions as NearestRegions
from .nearest import nearest_regions as nearest_regions
from .neighbours import Adjacency as Adjacency
from .neighbours import adjacency as adjacency
from .region import Halfspaces as Halfspaces
from .region import Region as Region
from .store import load_atlas as load_atlas
from .stream import StreamedAtlas as StreamedAtlas
from .tasks import resume as resume
