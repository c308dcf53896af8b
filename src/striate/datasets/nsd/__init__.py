"""The Natural Scenes Dataset: eight people who each saw up to 10,000 pictures three times."""

from striate.datasets.nsd.dataset import Nsd

__all__ = ["Nsd"]
