"""What stimuli look and sound like: images, clips, sound and words read; altered copies found."""

from striate.media.duplicates import near_duplicates
from striate.media.files import digests, file_digest, list_images, list_media, read_bytes
from striate.media.films import (
    FilmFacts,
    film_facts,
    frame_times,
    is_film,
    is_sound,
    read_frames,
    read_together,
)
from striate.media.frame_rule import Frames
from striate.media.images import open_image
from striate.media.sound import read_sound, sound_rate

__all__ = [
    "FilmFacts",
    "Frames",
    "digests",
    "file_digest",
    "film_facts",
    "frame_times",
    "is_film",
    "is_sound",
    "list_images",
    "list_media",
    "near_duplicates",
    "open_image",
    "read_bytes",
    "read_frames",
    "read_sound",
    "read_together",
    "sound_rate",
]
