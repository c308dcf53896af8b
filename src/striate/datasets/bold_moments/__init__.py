"""BOLD Moments: what ten people"s brains made of 1,102 films of three seconds."""

from striate.datasets.bold_moments.dataset import BoldMoments

__all__ = ["BoldMoments"]
