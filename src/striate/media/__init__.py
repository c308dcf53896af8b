"""What stimuli look like: open images, list and digest them, find altered copies."""

from striate.media.duplicates import near_duplicates
from striate.media.files import digests, file_digest, list_images, read_bytes
from striate.media.images import open_image

__all__ = [
    "digests",
    "file_digest",
    "list_images",
    "near_duplicates",
    "open_image",
    "read_bytes",
]
