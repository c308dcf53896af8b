"""Make torchvision import where its compiled operators do not fit the installed torch."""

from __future__ import annotations

import sys
from typing import Any

_DEFINED: list[Any] = []
"""Torch forgets operators whose library object is gone, so it is kept here."""


def repair() -> str:
    """Import torchvision, and define the operators it misses if that fails.

    Wheels of torchvision that were built for CUDA do not register ``nms`` beside a CPU build of
    torch and refuse to import, although no classification network needs it. Call this before
    anything imports torchvision or timm; it is harmless where torchvision works.

    Returns
    -------
    str
        ``"native"`` or ``"repaired"``.

    Raises
    ------
    RuntimeError
        When torchvision fails for another reason.

    """
    import torch

    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    else:
        return "repaired" if _DEFINED else "native"
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _DEFINED.append(library)
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    import torchvision  # noqa: F401

    return "repaired"
