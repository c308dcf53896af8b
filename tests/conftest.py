"""Shapes in signatures are checked at run time; the hub stays offline; real data is optional."""

import os
import sys
from pathlib import Path

# Half of collection is compiling, and each process that a test starts would do it again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from jaxtyping import install_import_hook

install_import_hook("striate", "beartype.beartype")

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings and weights, or a skip with one clear line."""
    root = os.environ.get("STRIATE_REAL_DATA", "")
    if not root or not Path(root).is_dir():
        pytest.skip("STRIATE_REAL_DATA names no folder: real recordings and weights are not here")
    return Path(root)


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store for runs that many tests want alike, in whatever process: each is fitted once."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-store"
