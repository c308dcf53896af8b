"""Batch normalisation folded into the convolution before it: the same numbers, a pass less."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fuse(module: nn.Module, tapped: Collection[str] = ()) -> int:
    r"""Fold norms into convolutions, in place; how many were.

    In evaluation mode a batch norm is :math:`y = \gamma (x - \mu) / \sqrt{v + \epsilon} + \beta`,
    linear in the output of the convolution before it, so its factors can be multiplied into the
    kernels. A norm that is folded becomes an identity and still answers as a node. A convolution
    whose own output is `tapped`, or goes anywhere else than into the norm, is left alone, and so
    is a network whose flow cannot be traced.
    """
    count = 0
    for conv_name, norm_name in list(_pairs(module)):
        # The output of a part around the convolution, but not its norm, is that of the convolution.
        around = (t for t in tapped if f"{conv_name}.".startswith(f"{t}."))
        if any(not norm_name.startswith(f"{t}.") for t in around):
            continue
        conv, norm = module.get_submodule(conv_name), module.get_submodule(norm_name)
        if norm.running_mean is None or norm.training:
            continue
        weight, bias = fuse_conv_bn_weights(
            conv.weight,  # type: ignore[arg-type]
            conv.bias,  # type: ignore[arg-type]
            norm.running_mean,  # type: ignore[arg-type]
            norm.running_var,  # type: ignore[arg-type]
            norm.eps,  # type: ignore[arg-type]
            norm.weight,  # type: ignore[arg-type]
            norm.bias,  # type: ignore[arg-type]
        )
        conv.weight, conv.bias = weight.requires_grad_(False), bias.requires_grad_(False)
        parent, _, leaf = norm_name.rpartition(".")
        setattr(module.get_submodule(parent), leaf, nn.Identity())
        count += 1
    return count


def _pairs(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of convolutions and of the norms that alone take their outputs."""
    if not any(type(m) in NORMS for m in module.modules()):
        return
    from torch.fx import Tracer

    try:
        graph = Tracer().trace(module)
    except Exception:  # control flow that depends on values fails in any way that it likes
        return
    parts = dict(module.named_modules())
    calls: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            calls[str(node.target)] = calls.get(str(node.target), 0) + 1
    for node in graph.nodes:
        if node.op != "call_module" or type(parts[str(node.target)]) not in NORMS:
            continue
        before = node.args[0] if node.args else None
        if before is None or getattr(before, "op", "") != "call_module" or len(before.users) > 1:
            continue
        names = str(before.target), str(node.target)
        # Parts that run twice, as in recurrent networks, may meet other neighbours each time.
        if type(parts[names[0]]) in CONVOLUTIONS and calls[names[0]] == calls[names[1]] == 1:
            yield names
