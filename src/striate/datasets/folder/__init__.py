"""Your own data: images, films or sounds and responses, paired by label or natural order."""

from striate.datasets.folder.dataset import Folder

__all__ = ["Folder"]
