"""Networks of open_clip: images, or words, in the space that both share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from striate.errors import RecipeError
from striate.nets.loading import Network
from striate.nets.nodes import Worded


@dataclass(frozen=True)
class OpenClip(Worded):
    """A tower of a model of open_clip; other fields as in `striate.nets.nodes.Nodes`.

    `model` is an architecture such as ``ViT-B-32-quickgelu`` and `weights` a tag such as
    ``openai``, a file, or ``none``. Weights that were trained with quick GELU are refused by an
    architecture without, and the other way round; which one a file needs, no one can tell.

    Node ``embedding`` is what ``encode_image`` or ``encode_text`` gives, of length 1 with
    `options` ``{normalize = true}``; others are under ``visual.`` and ``text.``.

    Parameters
    ----------
    tower
        ``image``, or ``text``: for stimuli with a label ``text``.

    """

    tower: Literal["image", "text"] = "image"
    family: ClassVar[str] = "open_clip"

    def __post_init__(self) -> None:
        super().__post_init__()
        pool = self.kept().pool.kind
        if self.tower == "text" and pool in ("last token", "mean tokens"):
            raise RecipeError(
                f"pool {pool!r} of texts that are filled up to a fixed length would pool over what"
                " is no text: take node 'embedding', or pool 'token'"
            )

    def network(self) -> Network:
        """Which network, tower, weights and preprocessing."""
        return replace(super().network(), tower=self.tower)
