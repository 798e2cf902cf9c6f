"""Engines that enumerate linear regions, and the packed codes they share."""

from .budgets import Progress as Progress
from .budgets import native_budgets as native_budgets
from .budgets import thread_count as thread_count
from .codes import codes_of as codes_of
from .codes import column_bits as column_bits
from .codes import match_codes as match_codes
from .codes import pack_codes as pack_codes
from .codes import unpack_codes as unpack_codes
from .milp import Encoding as Encoding
from .milp import encode as encode
from .milp import enumerate_milp as enumerate_milp
from .nearest import NearTable as NearTable
from .nearest import near_regions as near_regions
from .planar import Cells as Cells
from .planar import enumerate_planar as enumerate_planar
from .search import chebyshev as chebyshev
from .search import enumerate_search as enumerate_search
from .search import facets as facets
from .search import support as support
from .table import Facets as Facets
from .table import Table as Table
from .vertex import enumerate_vertex as enumerate_vertex
