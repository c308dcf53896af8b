"""The solvers as scikit-learn estimators, for arrays in your own code: `RidgeCV().fit(x, y)`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME: dict[str, str] = {
    "BandedRidgeCV": "banded",
    "ElasticNetCV": "sparse",
    "FractionalRidgeCV": "fractional",
    "KernelRidgeCV": "kernel",
    "LassoCV": "sparse",
    "MultiTaskElasticNetCV": "sparse",
    "PLSCV": "pls",
    "RES": "res",
    "RidgeCV": "ridge",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Load an estimator on first use."""
    if name in _HOME:
        return getattr(import_module(f"striate.estimators.{_HOME[name]}"), name)
    raise AttributeError(f"module 'striate.estimators' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
