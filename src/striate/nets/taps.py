"""Read the outputs of named parts of any torch module in one pass, and stop after the last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import DataError, RecipeError, unknown

OUTPUT = "output"
"""Name of what the whole network returns."""

Reader = Callable[[Tensor, str], Tensor]


class _LastTapRead(BaseException):
    """Ends a forward pass; no `except Exception` inside of a network may swallow it."""


class Taps:
    """A module and the nodes to read from it.

    A node is the path of a submodule (``features.9``, ``blocks.3.mlp``) or ``output``. Where a
    part returns several tensors, the first is read; ``node:1`` or ``node:key`` names another.
    A part that runs several times in a pass is read at its last run.

    `read` is called while the pass is at the node, so that what it keeps is safe from later
    operations in place; its result never shares memory with the network.

    The first pass goes to the end of the network; later ones stop after the last node, and so does
    the first one where `runs` tells how often each part runs, as an earlier reader of the same
    network and nodes has it.
    """

    def __init__(
        self,
        module: nn.Module,
        nodes: Iterable[str],
        read: Reader,
        runs: Mapping[str, int] | None = None,
    ) -> None:
        self.module = module
        self.nodes = tuple(nodes)
        self.read = read
        self.runs: dict[str, int] = dict(runs or {})
        parts = parts_of(module)
        for node in self.nodes:
            if node.partition(":")[0] not in parts:
                raise RecipeError(unknown("node", node, parts, type(module).__name__))

    def __call__(self, inputs: Any) -> dict[str, Tensor]:
        """What `read` makes of each node's output, in the order of the nodes.

        `inputs` is what the module takes: a tensor, or a mapping of arguments by name.

        Raises
        ------
        DataError
            When a node is never run or returns no tensor.

        """
        parts = parts_of(self.module)
        wanted: dict[str, list[str]] = {}
        for node in self.nodes:
            wanted.setdefault(node.partition(":")[0], []).append(node)
        left = dict(self.runs)  # runs until the last tap; unknown in the first pass
        seen = dict.fromkeys(wanted, 0)
        found: dict[str, Tensor] = {}

        def tap(part: str) -> Callable[..., None]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                seen[part] += 1
                for node in wanted[part]:
                    tensor = _choose(output, node)
                    found[node] = _own(self.read(tensor, node), tensor)
                if left and all(seen[p] >= n for p, n in left.items()):
                    raise _LastTapRead

            return hook

        handles = [parts[p].register_forward_hook(tap(p)) for p in wanted]
        try:
            call(self.module, inputs)
        except _LastTapRead:
            pass
        finally:
            for handle in handles:
                handle.remove()
        silent = [p for p, n in seen.items() if n == 0]
        if silent:
            raise DataError(
                f"node {silent[0]!r} is part of {type(self.module).__name__} but its forward pass"
                " never calls it; `striate nodes` lists those that answer"
            )
        self.runs = self.runs or seen
        return {node: found[node] for node in self.nodes}


def parts_of(module: nn.Module) -> dict[str, nn.Module]:
    """Name → submodule, in the order of definition; the module itself is ``output``."""
    parts = {name: part for name, part in module.named_modules() if name}
    parts.setdefault(OUTPUT, module)
    return parts


def call(module: nn.Module, inputs: Any) -> Any:
    """The forward pass on a tensor, or on arguments by name."""
    return module(**inputs) if isinstance(inputs, Mapping) else module(inputs)


def shapes(module: nn.Module, inputs: Any) -> dict[str, tuple[int, ...]]:
    """Nodes that return a tensor → its shape per stimulus, in the order of the forward pass."""
    found: dict[str, tuple[int, ...]] = {}

    def tap(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            tensor = _first(output)
            if tensor is not None and tensor.ndim > 0:
                found[name] = tuple(tensor.shape[1:])

        return hook

    handles = [part.register_forward_hook(tap(name)) for name, part in parts_of(module).items()]
    try:
        with torch.inference_mode():
            call(module, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def is_glob(node: str) -> bool:
    """Whether a node's name is a pattern.

    >>> is_glob("features.*"), is_glob("features.9")
    (True, False)
    """
    return any(c in node for c in "*?[")


def expand(nodes: Iterable[str], answering: Iterable[str], where: str) -> tuple[str, ...]:
    """The nodes with patterns replaced by the names that they match, in forward order."""
    names = list(answering)
    wanted: dict[str, None] = {}
    for node in nodes:
        found = [n for n in names if fnmatchcase(n, node)] if is_glob(node) else [node]
        if not found:
            raise RecipeError(unknown("node", node, names, where))
        wanted |= dict.fromkeys(found)
    return tuple(wanted)


def _items(output: Any) -> dict[str, Any]:
    if isinstance(output, Mapping):
        return {str(k): v for k, v in output.items()}
    if isinstance(output, tuple | list):
        return {str(i): v for i, v in enumerate(output)}
    return dict(getattr(output, "__dict__", {}))


def _first(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    tensors = [v for v in _items(output).values() if isinstance(v, Tensor)]
    return tensors[0] if tensors else None


def _choose(output: Any, node: str) -> Tensor:
    part, mark, key = node.partition(":")
    tensor = _items(output).get(key) if mark else _first(output)
    if not isinstance(tensor, Tensor):
        tensors = [k for k, v in _items(output).items() if isinstance(v, Tensor)]
        raise DataError(
            f"node {node!r} returns {type(output).__name__} without such a tensor; it has"
            f" {', '.join(f'{part}:{k}' for k in tensors) or 'none'}"
        )
    return tensor


def _own(kept: Tensor, output: Tensor) -> Tensor:
    """`kept`, copied if the network could still write to its memory."""
    kept = kept.detach()
    shared = kept.untyped_storage().data_ptr() == output.untyped_storage().data_ptr()
    if shared:
        return kept.clone(memory_format=torch.contiguous_format)
    return kept.contiguous()
