"""torch modules: values equal torch's, the user's module stays as it was, what we cannot take is named."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from pellucid.errors import ModelError, UnsupportedOp
from pellucid.graph.registry import spellings
from pellucid.importers.load import load

EXACT = 1e-12
"""Both sides in float64; only the order of sums differs."""

C = torch.tensor([[0.5, -1.0, 2.0, 0.25], [1.5, 0.5, -0.5, 1.0], [-2.0, 0.125, 1.0, 3.0]], dtype=torch.float64)


class Function(nn.Module):
    """A module of one function."""

    def __init__(self, f):
        super().__init__()
        self.f = f
        self.register_buffer("constants", C)                    # of float64, so that the module is taken as such

    def forward(self, x):
        return self.f(x)


def assert_equal(net, tolerance=EXACT):
    """load() has compared with torch in float64 on 80 points."""
    assert net.fidelity.max_relative_error <= tolerance
    assert "torch" in net.fidelity.runtime
    return net


# ---- any stack of layers
def _mlp_layers(draw, width):
    kind = draw(st.sampled_from(["linear", "linear", "relu", "inplace", "leaky", "bn", "drop", "hardtanh", "elu", "tanh", "residual"]))
    if kind == "linear":
        out = draw(st.integers(1, 6))
        return nn.Linear(width, out, bias=draw(st.booleans())), out
    plain = {"relu": nn.ReLU(), "inplace": nn.ReLU(inplace=True), "leaky": nn.LeakyReLU(0.2), "bn": _normalised(nn.BatchNorm1d(width)),
             "drop": nn.Dropout(0.5), "hardtanh": nn.Hardtanh(-0.5, 2.0), "elu": nn.ELU(), "tanh": nn.Tanh(), "residual": Residual(width)}
    return plain[kind], width


def _conv_layers(draw, shape):
    channels, *_spatial = shape
    kind = draw(st.sampled_from(["conv", "conv", "relu6", "prelu", "bn", "max", "avg", "pad", "residual"]))
    if kind == "conv":
        k, groups = draw(st.integers(1, 3)), draw(st.sampled_from([g for g in (1, 2) if channels % g == 0]))
        same = draw(st.booleans())
        layer = nn.Conv2d(channels, 2 * groups, k, padding="same" if same else draw(st.integers(0, 1)), groups=groups,
                          stride=1 if same else draw(st.integers(1, 2)), dilation=draw(st.integers(1, 2)),
                          padding_mode=draw(st.sampled_from(["zeros", "replicate"])))
    elif kind in ("max", "avg"):
        layer = (nn.MaxPool2d if kind == "max" else nn.AvgPool2d)(2, draw(st.integers(1, 2)), padding=draw(st.integers(0, 1)),
                                                                   ceil_mode=draw(st.booleans()))
    else:
        layer = {"relu6": nn.ReLU6(inplace=True), "prelu": nn.PReLU(channels), "bn": _normalised(nn.BatchNorm2d(channels)),
                 "pad": nn.ZeroPad2d((1, 0, 2, -1)), "residual": Residual2d(channels)}[kind]
    with torch.no_grad():
        out = layer.eval()(torch.zeros(2, *shape))
    return layer, tuple(out.shape[1:])


def _normalised(layer):
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2.0)
    return layer


class Residual(nn.Module):
    """x + relu(linear(x)), the linear layer used twice."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        return x + F.relu(self.linear(self.linear(x)))


class Residual2d(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return torch.cat([x, 0.5 * self.conv(x).relu() - x], dim=1)


@st.composite
def stacks(draw):
    """(module, shape of a sample): an MLP, or convolutions and a linear head."""
    torch.manual_seed(draw(st.integers(0, 10**6)))
    layers, convolutional = [], draw(st.booleans())
    shape = (draw(st.integers(1, 2)), 6, 5) if convolutional else draw(st.integers(1, 5))
    first = shape
    for _ in range(draw(st.integers(1, 5))):
        try:
            layer, shape = (_conv_layers if convolutional else _mlp_layers)(draw, shape)
        except RuntimeError:                                    # a window larger than what is left
            break
        layers.append(layer)
    if convolutional:
        layers += [nn.Flatten(), nn.Linear(int(np.prod(shape)), 3)]
    layers += draw(st.sampled_from([[], [nn.Softmax(dim=1)], [nn.LogSoftmax(dim=-1)], [nn.Sigmoid()]]))
    return nn.Sequential(*layers), first if convolutional else (first,)


@settings(max_examples=20)
@given(stacks())
def test_random_stacks_equal_torch(stack):
    module, shape = stack
    assert_equal(load(module, input_shape=shape))


# ---- one operation each
CASES = {
    "arithmetic": (lambda x: (1 - x) / 3 + C[0] * x - 2 * x.neg() + C[1], (4,)),
    "constants on either side": (lambda x: torch.sub(3.0, x, alpha=2) + torch.add(x, C[0], alpha=0.5) + C[2], (4,)),
    "matmul": (lambda x: x @ C.T.matmul(torch.eye(3, dtype=x.dtype)), (4,)),
    "matmul from the left": (lambda x: C @ x, (4, 2)),
    "clamp": (lambda x: x.clamp(min=-0.5) + x.clamp(max=0.25) + x.clamp(-1, 1) + x.clip(C[0] - 2, C[0]), (4,)),
    "piecewise linear": (lambda x: F.hardtanh(x) + F.relu6(x) + F.hardsigmoid(x) + F.leaky_relu(x) + x.abs() + F.threshold(x, 0.2, 0.2)
                         + F.rrelu(x) + torch.relu(x) + x.relu() + F.prelu(x, C[1].abs()), (4,)),
    "smooth": (lambda x: F.gelu(x) + F.gelu(x, approximate="tanh") + F.silu(x) + F.elu(x, 0.5) + F.celu(x, 2.0) + F.selu(x)
               + F.logsigmoid(x) + x.tanh() + 2 * x.sigmoid(), (4,)),
    "maximum": (lambda x: torch.maximum(x, -x) + torch.min(x, 2 * x) + torch.maximum(x, C[0]) + torch.min(C[1], x), (4,)),
    "reductions": (lambda x: x.mean(2) + x.sum(dim=-1) + x.amax(2) + x.min(2).values + x.max(-1, keepdim=True)[0].squeeze(-1), (2, 3)),
    "several axes": (lambda x: x.mean((1, 2)) + x.amin((1, 2)) + x.sum((1, 2), keepdim=True).flatten(), (4, 3)),
    "stack": (lambda x: torch.stack([x[:, 0], x[:, 1] - x[:, 2]], dim=1), (4,)),
    "cat with a constant": (lambda x: torch.cat([x, C[:1].expand(len(x), -1)], dim=1), (4,)),
    "slices": (lambda x: x[:, ::2] - x[:, 1::2] + x[..., -2:] + x[:, [2, 0]] + x.narrow(1, 1, 2), (4,)),
    "parts": (lambda x: torch.cat(x.chunk(2, 1)[::-1], 1) + torch.cat(torch.split(x, [1, 3], 1), 1) + sum(x.unbind(1)).unsqueeze(1), (4,)),
    "axes": (lambda x: x.permute(0, 3, 1, 2).transpose(1, 2).movedim(1, -1).swapaxes(1, 2).reshape(len(x), -1), (2, 3, 4)),
    "shapes": (lambda x: x.view(-1, 2, 2).unsqueeze(1).squeeze().flatten(1).reshape(x.shape[0], 4).contiguous(), (4,)),
    "order": (lambda x: x.flip(1).roll(1, 1).repeat(1, 2) + x[:, None].expand(-1, 2, -1).flatten(1), (4,)),
    "padding": (lambda x: F.pad(x, (1, 2, -1, 1), value=2.0), (2, 4, 4)),
    "reflected": (lambda x: F.pad(x, (1, 2, 1, 1), mode="reflect") + F.pad(x, (1, 2, 1, 1), mode="replicate"), (2, 4, 4)),
    "circular": (lambda x: F.pad(x, (1, 1), mode="circular"), (2, 4)),
    "pools": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True) + F.avg_pool2d(x, 3, 2, 1, ceil_mode=True)
              + F.avg_pool2d(x, 3, 2, 1, True, False), (2, 6, 6)),
    "adaptive": (lambda x: F.adaptive_max_pool2d(x, (3, 2)) + F.adaptive_avg_pool2d(x, (3, 2)) + F.adaptive_avg_pool2d(x, 1), (2, 6, 6)),
    "one axis": (lambda x: F.max_pool1d(x, 2) + F.avg_pool1d(x, 2) + F.adaptive_avg_pool1d(x, 3), (2, 6)),
    "nearest": (lambda x: F.interpolate(x, scale_factor=2), (2, 3, 3)),
    "conv1d": (lambda x: F.conv1d(x, C[None, :, :3].permute(1, 0, 2), padding="same", dilation=2), (1, 7)),
    "without gradient": (lambda x: torch.no_grad()(lambda y: y.relu())(x), (4,)),
    "in place": (lambda x: (x * 2).add_(1).relu_().mul_(3).clamp_(max=2), (4,)),
}


@pytest.mark.parametrize("case", CASES)
def test_an_operation_equals_torch(case):
    f, shape = CASES[case]
    assert_equal(load(Function(f), input_shape=shape), EXACT)


def test_softplus_but_for_its_threshold():
    assert_equal(load(Function(lambda x: F.softplus(x) + F.softplus(x, beta=3)), input_shape=(4,)), 1e-8)
    with pytest.raises(UnsupportedOp, match="threshold=5"):
        load(Function(lambda x: F.softplus(x, threshold=5)), input_shape=(4,))


# ---- links
@pytest.mark.parametrize(("head", "link"), [
    (nn.Softmax(dim=1), "softmax"), (nn.LogSoftmax(dim=-1), "log_softmax"), (nn.Sigmoid(), "sigmoid"), (nn.Identity(), "identity"),
    (nn.Sequential(nn.Softmax(1), nn.Dropout(), nn.Flatten()), "softmax"), (Function(lambda y: y.sigmoid().view(-1, 3, 1)), "sigmoid")])
def test_the_last_normalisation_is_the_link(head, link):
    net = assert_equal(load(nn.Sequential(nn.Linear(4, 3), head)))
    assert net.link == link
    assert net.task == (None if link == "identity" else "classification")
    assert type(net.graph.nodes[0].op).__name__ == "Linear"


def test_one_sigmoid_output_without_its_axis():
    net = assert_equal(load(nn.Sequential(nn.Linear(4, 1), Function(lambda y: torch.sigmoid(y).squeeze(-1)))))
    assert (net.link, net.n_outputs, net.n_classes) == ("sigmoid", 1, 2)


def test_a_sigmoid_that_is_used_again_stays():
    net = assert_equal(load(Function(lambda x: torch.cat([x.sigmoid(), x], 1)), input_shape=(2,)))
    assert net.link == "identity"


# ---- modules
def test_the_module_stays_as_it_was():
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4, 2))
    module[1].eval()                                            # one that its user froze
    flags = [m.training for m in module.modules()]
    state = {k: v.clone() for k, v in module.state_dict().items()}
    assert_equal(load(module))
    assert [m.training for m in module.modules()] == flags
    assert all((state[k] == v).all() for k, v in module.state_dict().items())
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() is torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_are_converted_exactly(dtype):
    module = nn.Linear(3, 2).to(dtype)
    (node,) = load(module).graph.nodes
    assert (module.weight.detach().double().numpy() == node.op.W).all()
    assert (node.op.b == module.bias.detach().double().numpy()).all()


def test_reparametrised_weights():
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 5)), nn.ReLU(),
                           nn.utils.parametrizations.spectral_norm(nn.Linear(5, 2)))
    prune.l1_unstructured(pruned := nn.Linear(4, 3), "weight", 0.5)
    assert_equal(load(module), 1e-6)                            # their weights are computed in float32, as torch does
    assert_equal(load(pruned), 1e-6)


class FixedBatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(x.view(1, 4)).relu()


def test_modules_in_other_clothes():
    plain = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    expected = load(plain)
    x = np.linspace(-2, 2, 12).reshape(3, 4)
    for dressed in (nn.DataParallel(plain), torch.compile(plain), torch.fx.symbolic_trace(plain),
                    torch.export.export(plain, (torch.zeros(3, 4),))):
        assert np.allclose(assert_equal(load(dressed))(x), expected(x), rtol=1e-12, atol=1e-12)
    assert_equal(load(FixedBatch()))


@pytest.mark.parametrize("f", [
    lambda x: torch.max(x, torch.zeros_like(x)), lambda x: torch.max(x, x.new_zeros(x.shape)),
    lambda x: x.relu() + torch.ones_like(x), lambda x: torch.min(x, torch.full_like(x, 0.25)), lambda x: x - x.new_full((4,), 2.0)])
def test_tensors_that_take_anothers_shape_only_are_constants(f):
    assert_equal(load(Function(f), input_shape=(4,)))


def test_the_shape_of_the_input():
    assert load(nn.Sequential(nn.Flatten(), nn.Dropout(), nn.BatchNorm1d(4), nn.Linear(4, 2))).input_shape == (4,)
    assert load(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), input_shape=(1, 2, 2)).input_shape == (1, 2, 2)
    for module in (nn.Conv1d(1, 2, 3), nn.LSTM(3, 4), nn.ReLU()):
        with pytest.raises(ModelError, match=r"input_shape="):
            load(module)
    with pytest.raises(ModelError, match=r"sample of shape \(5,\)"):
        load(nn.Linear(4, 2), input_shape=(5,))


# ---- refused
REFUSED = {
    "mean of all": (lambda x: x.mean(), "over all axes, the batch among them"),
    "mean of the batch": (lambda x: x - x.mean(0), "along the batch axis"),
    "transposed": (lambda x: x.T, "moves the batch axis"),
    "rows mixed": (lambda x: x.reshape(4, -1), "batch axis is gone"),
    "product": (lambda x: x * x, "depend on the input"),
    "quotient": (lambda x: C[0] / x, "divides by something"),
    "softmax inside": (lambda x: F.softmax(x, 1) * 2, "softmax inside"),
    "softmax of rows": (lambda x: F.softmax(x, 0), "along the batch axis"),
    "live dropout": (lambda x: F.dropout(x), "training=self.training"),
    "batch statistics": (lambda x: F.batch_norm(x, None, None, training=True), "statistics depend on the batch"),
    "random": (lambda x: x + torch.rand(4), "random numbers"),
    "layer norm": (lambda x: F.layer_norm(x, (4,)), "layer_norm"),
    "hardswish": (lambda x: F.hardswish(x), "quadratic"),
    "comparison": (lambda x: torch.where(x > 0, x, -x), "aten.gt"),
    "rounding": (lambda x: torch.div(x, 2, rounding_mode="floor"), "rounds"),
    "integers": (lambda x: x.to(torch.int64), "rounds"),
    "assignment": (lambda x: x.clone().index_fill_(1, torch.tensor([0]), 0.0), "index_fill"),
    "uneven pool": (lambda x: F.adaptive_avg_pool1d(x[:, None], 3), "does not divide"),
    "winners": (lambda x: F.max_pool1d(x, 2, return_indices=True)[1] * x[:, :2], "indices"),
    "jump": (lambda x: F.threshold(x, 1.0, 0.0), "jumps"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_ours_is_named(case):
    f, message = REFUSED[case]
    with pytest.raises(UnsupportedOp, match=message) as e:
        load(Function(f), input_shape=(4,))
    assert "To go on" in str(e.value)
    assert "Function" in str(e.value)


class Two(nn.Module):
    def forward(self, x, y):
        return x + y


@pytest.mark.parametrize(("module", "message"), [
    (Two(), "takes 2 arguments"),
    (Function(lambda x: (x, x)), "returns tuple of 2 values"),
    (Function(lambda x: {"logits": x}), "returns dict"),
    (Function(lambda x: C[0].expand(len(x), 4)), "does not depend on its input"),
    (Function(lambda x: x if x.sum() > 0 else -x), "branches on the values"),
    (nn.Embedding(3, 4), "cannot trace")])
def test_modules_that_are_no_function_of_one_tensor(module, message, capfd):
    with pytest.raises(ModelError, match=message):
        load(module, input_shape=(4,))
    assert capfd.readouterr() == ("", "")                       # torch's own complaints stay out of the way


def test_weights_that_are_not_finite():
    module = nn.Linear(4, 2)
    module.weight.data[0, 0] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        load(module)


def test_compiled_code_is_refused():
    with pytest.raises(ModelError, match="TorchScript"):
        load(torch.jit.trace(nn.Linear(4, 2), torch.zeros(1, 4)))


def test_spellings_are_operations_of_torch():
    """A misspelt name would never be found."""
    unknown = [kind for kind in spellings("torch") if not hasattr(torch.ops.aten, kind.split(".")[1])]
    assert not unknown
