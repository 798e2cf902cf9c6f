"""A network as a torch module with a submodule a node, for what libraries do with modules: gradients, hooks on layers, batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import MissingExtra
from ..graph import Network
from ..graph.arrays import kept_constants
from ..graph.graph import INPUT

if TYPE_CHECKING:
    import torch


def require_torch(what: str):
    try:
        import torch
    except ImportError as e:
        raise MissingExtra("torch", "torch", what) from e
    return torch


def torch_module(net: Network, *, dtype=None, device=None):
    """The network's logits as a `torch.nn.Module`: rows (n, d) or (n, *input_shape) to (n, c). Nothing in it is trained.

    Every node is a submodule (`module.node("conv")` finds it), so that hooks see its values. Constants are converted once, to `dtype`
    (float32) on `device`.
    """
    torch = require_torch("a network as a torch module")
    dtype, device = dtype or torch.float32, torch.device(device or "cpu")

    class Step(torch.nn.Module):
        """One op of the graph, with its constants kept as tensors."""

        def __init__(self, op):
            super().__init__()
            self.op = op
            self.kept = {}

        def forward(self, *xs):
            with kept_constants(self.kept):
                return self.op(*xs)

    class GraphModule(torch.nn.Module):
        """The graph's nodes in their order."""

        def __init__(self):
            super().__init__()
            self.dtype, self.device, self.width, self.input_shape = dtype, device, widest(net), net.input_shape
            self.steps = torch.nn.ModuleList(Step(node.op) for node in net.graph.nodes)

        def node(self, name: str) -> torch.nn.Module:
            """The submodule of the node of this name."""
            return self.steps[[n.name for n in net.graph.nodes].index(name)]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            last_use = {source: i for i, node in enumerate(net.graph.nodes) for source in node.inputs}
            values = {INPUT: x.to(self.device, self.dtype).reshape(len(x), *net.input_shape)}
            for i, (node, step) in enumerate(zip(net.graph.nodes, self.steps, strict=True)):
                values[node.name] = step(*(values[s] for s in node.inputs))
                for s in node.inputs:                           # an image network's early layers are large
                    if last_use[s] == i and s != net.graph.output:
                        values.pop(s, None)
            return values[net.graph.output].reshape(len(x), -1)

    return GraphModule().eval()


def widest(net: Network) -> int:
    return max(math.prod(s) for s in (net.input_shape, *(n.shape for n in net.graph.nodes)))
