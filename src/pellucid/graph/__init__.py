"""Networks as graphs of ops."""

from .graph import INPUT as INPUT
from .graph import Graph as Graph
from .graph import GraphBuilder as GraphBuilder
from .network import Network as Network
from .op import AffineOp as AffineOp
from .op import ElementwisePL as ElementwisePL
from .op import Node as Node
from .op import Op as Op
from .op import SelectionOp as SelectionOp
from .op import SmoothOp as SmoothOp
