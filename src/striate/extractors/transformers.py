"""Networks of transformers: images, films, sound and words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from striate.errors import RecipeError
from striate.nets.loading import Network
from striate.nets.nodes import Worded


@dataclass(frozen=True)
class Transformers(Worded):
    """A network of transformers; other fields as in `striate.nets.nodes.Nodes`.

    `model` is ``owner/name`` of a hub, with a commit, tag or branch of it as `weights`; a folder
    with ``config.json``, ``model.safetensors`` and what prepares stimuli; or a type such as
    ``dinov2``, with weights ``none`` or a file. `options` change the configuration.

    Node ``output`` is the last hidden state, and layers are found by their paths. Images are
    resized by Pillow, as the weights were trained. Words go in whole, so that a pool over tokens
    sees no padding. Windows of sound of a fixed length, such as the 30 s of Whisper, are filled up
    with silence, over which a pool over tokens goes too.

    Parameters
    ----------
    tower
        ``image`` or ``text``, of CLIP and SigLIP.
    seconds
        Length of the windows of a sound. Not stated: what the network hears at once, or the whole
        sound, which then needs a pool over tokens.
    length
        Tokens of a text, filled up behind its end and cut at its beginning. Not stated: as many as
        the text has, up to what the network takes or 512.

    """

    tower: Literal["image", "text"] = "image"
    seconds: float | int | None = None
    length: int | None = None
    family: ClassVar[str] = "transformers"

    def __post_init__(self) -> None:
        super().__post_init__()
        pool = self.kept().pool.kind
        if self.length is not None and pool in ("last token", "mean tokens"):
            raise RecipeError(
                f"pool {pool!r} of texts that are filled up to {self.length} tokens would pool"
                " over what is no text: leave `length` out, or take pool 'token'"
            )

    def network(self) -> Network:
        """Which network, weights and processor."""
        return replace(
            super().network(),
            tower="" if self.tower == "image" else self.tower,
            seconds=self.seconds,
            length=self.length,
        )
