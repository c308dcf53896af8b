"""striate: predict brain responses to images, videos and sound.

Stimuli become features, features predict responses, and a recipe says which.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Features": "striate.data",
    "Machine": "striate.machine",
    "Recipe": "striate.recipe",
    "Report": "striate.report",
    "Stimuli": "striate.data",
    "StriateError": "striate.errors",
    "compare": "striate.run",
    "load_recipe": "striate.recipe",
    "label_responses": "striate.data",
    "out_of_fold": "striate.run",
    "run_recipe": "striate.run",
}

__all__ = [
    "Features",
    "Machine",
    "Recipe",
    "Report",
    "Stimuli",
    "StriateError",
    "compare",
    "label_responses",
    "load_recipe",
    "out_of_fold",
    "run_recipe",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that `import striate` stays light."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'striate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
