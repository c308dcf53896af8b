"""Decoded frames as a feature space: what a network that is trained end to end looks at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8

from striate.data import Shown, Stimuli
from striate.errors import DataError, some
from striate.machine import here
from striate.media import Frames as FrameRule
from striate.media.remembered import Remembered
from striate.nets.inputs.pictures import pixels_of
from striate.nets.preprocessing import Preprocessing, resolve
from striate.registry import identity, key_of


@dataclass(frozen=True)
class Frames:
    """Resized and cropped frames of 8 bits, decoded whenever they are read; nothing is stored.

    The one space has the name of the feature table and is an array (stimulus, height, width, 3),
    or (stimulus, frame, height, width, 3) with a frame rule. It is the same whenever it is read;
    to flip, crop or mix at random is for the encoder, on its training batches.

    Parameters
    ----------
    size
        One number or (height, width): exactly this size.
    crop
        With a `size` of one number: that is the shorter edge, and this centre is kept.
    interpolation
        A filter of Pillow.
    frames
        Which frames of a film; see `striate.media.Frames`. Not stated: stimuli are single images.
    cache
        Megabytes of decoded stimuli that are kept in memory.

    """

    size: int | tuple[int, int] = 224
    crop: int | None = None
    interpolation: str = "bilinear"
    frames: int | dict[str, Any] | None = None
    cache: int = field(default=1024, metadata={"machine": True})
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        self.preprocessing()
        self.rule()

    def names(self) -> tuple[str, ...]:
        """The one space, without a name of its own."""
        return ("",)

    def identity(self) -> Mapping[str, Any]:
        """What is done to a frame, and which frames."""
        form = self.preprocessing().identity()
        told = {n: form[n] for n in ("resize", "crop", "interpolation")}
        return told | {"frames": self.frames is not None and self.rule().identity()}

    def preprocessing(self) -> Preprocessing:
        """Resize and crop."""
        stated = {"size": self.size, "crop": self.crop, "interpolation": self.interpolation}
        return resolve({}, stated)

    def rule(self) -> FrameRule:
        """Which frames."""
        return FrameRule.parse(1 if self.frames is None else self.frames)

    def open_spaces(self, name: str, stimuli: Stimuli) -> dict[str, Decoded]:
        """The space over some stimuli."""
        return {name: Decoded(self, stimuli)}

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli."""
        space, size = Decoded(self, stimuli), max(1, here().batch)
        for start in range(0, len(stimuli), size):
            yield {"": space.read(stimuli.ids[start : start + size])}

    def read(self, shown: Shown) -> UInt8[np.ndarray, "..."]:
        """The frames of one stimulus."""
        pixels = pixels_of(shown, self.rule(), self.preprocessing())
        return pixels[0] if self.frames is None else pixels


@dataclass(frozen=True, eq=False)
class Decoded:
    """A space that decodes itself; it may be read from any thread or process."""

    extractor: Frames
    stimuli: Stimuli

    def __post_init__(self) -> None:
        shown = {s.id: s for s in self.stimuli.shown()}
        digests = self.stimuli.table["digest"].astype(str)
        marks = dict(zip(self.stimuli.ids, digests, strict=True))
        cache: Remembered[np.ndarray] = Remembered(self.extractor.cache << 20)
        for name, value in (("_shown", shown), ("_digest", marks), ("_cache", cache)):
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return Decoded, (self.extractor, self.stimuli)

    @property
    def key(self) -> str:
        """Frame rule and preprocessing."""
        return key_of(identity(self.extractor))

    def read(self, ids: Sequence[str]) -> UInt8[np.ndarray, "stimulus ..."]:
        """Frames of the named stimuli, in the order asked for.

        Raises
        ------
        DataError
            When there is no such stimulus, or stimuli have different numbers of frames.
        FileError
            When a file cannot be read.

        """
        shown: dict[str, Shown] = self._shown  # type: ignore[attr-defined]
        missing = [i for i in ids if i not in shown]
        if missing:
            raise DataError(f"no frames of stimulus {some(missing)}; name it in the dataset")
        if not ids:
            return self._nothing()
        with ThreadPoolExecutor(max(1, here().threads)) as pool:
            found = list(pool.map(self._one, [shown[i] for i in ids]))
        if len({f.shape for f in found}) > 1:
            raise DataError(
                f"stimuli such as {some(ids)} have different numbers of frames: state a fixed one,"
                " as in frames = 16"
            )
        return np.stack(found)

    def _nothing(self) -> UInt8[np.ndarray, "0 ..."]:
        """No stimuli, in the shape that each would have."""
        rule, shape = self.extractor.rule(), self.extractor.preprocessing().shape
        frames = () if self.extractor.frames is None else (rule.count or len(rule.times),)
        return np.empty((0, *frames, *shape, 3), dtype=np.uint8)

    def _one(self, shown: Shown) -> UInt8[np.ndarray, "..."]:
        cache: Remembered = self._cache  # type: ignore[attr-defined]
        place = self._digest[shown.id] or shown.id  # type: ignore[attr-defined]
        return cache.get(place, lambda: self.extractor.read(shown))
