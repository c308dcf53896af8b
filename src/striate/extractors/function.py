"""A Python function of the user's, called with pictures or with the stimuli themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from striate.data import Shown, Stimuli
from striate.errors import DataError, RecipeError, some, unknown
from striate.media import Frames
from striate.nets.forward import check_dtype
from striate.nets.inputs.pictures import Pictures
from striate.nets.passes import check_time, one_pass
from striate.nets.preprocessing import resolve
from striate.registry import find, key_of, origin

GIVEN = ("pictures", "stimulus")


@dataclass(frozen=True)
class Function:
    """What a function of the user's makes of each stimulus; one space per name in `returns`.

    With ``given = "pictures"`` it is called with frames, an array (frame, height, width, 3) of 8
    bits, and returns (frame, …), or a mapping of names to such. It must treat frames one by one.
    With ``given = "stimulus"`` it is called with one `striate.data.Shown` (file, onset, duration,
    text) and returns the features of that stimulus.

    Parameters
    ----------
    call
        ``package.module:function`` or ``./file.py:function``; the digest of its file is in the key.
    given
        ``pictures`` or ``stimulus``.
    returns
        Names of what it returns; one empty name: the function returns an array.
    size, crop, interpolation
        Of pictures; see `striate.nets.preprocessing.resolve`.
    frames, time
        Which frames of a film, and what becomes of them: ``mean``, ``max`` or ``keep``.
    options
        Further arguments of the function.
    dtype
        Of the stored features: ``float32`` or ``float16``.

    """

    call: str
    given: str = "pictures"
    returns: tuple[str, ...] = ("",)
    size: int | tuple[int, int] = 224
    crop: int | None = None
    interpolation: str = "bilinear"
    frames: int | dict[str, Any] = 16
    time: str = "mean"
    options: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_time(self.time)
        check_dtype(self.dtype)
        if not self.returns or len(set(self.returns)) < len(self.returns):
            raise RecipeError(f"returns {list(self.returns)} of {self.call!r}: name each one once")
        if self.given not in GIVEN:
            raise RecipeError(unknown("what a function is given", self.given, GIVEN))

    def names(self) -> tuple[str, ...]:
        """The spaces."""
        return self.returns

    def identity(self) -> Mapping[str, Any]:
        """The function's name and the digest of its file, its arguments, and what it is given."""
        function = self.function()
        told = {"function": function.__name__, "from": origin(function), "options": self.options}
        told |= {"given": self.given, "returns": sorted(self.returns), "dtype": self.dtype}
        if self.given == "pictures":
            told |= {"input": self.pictures().identity(), "time": self.time}
        return told

    def content(self, stimuli: Stimuli) -> Sequence[str]:
        """Digests of files, and of texts where the function is given the stimuli."""
        files = [str(d) for d in stimuli.table["digest"]]
        if self.given == "pictures":
            return files
        told = zip(files, stimuli.shown(), strict=True)
        return [key_of(f, s.text, s.onset, s.duration) if f or s.text else "" for f, s in told]

    def function(self) -> Callable[..., Any]:
        """The function itself."""
        found = find("function", self.call)
        if not callable(found) or not hasattr(found, "__qualname__"):
            raise RecipeError(
                f"{self.call!r} is an instance of {type(found).__name__}: name a function instead"
            )
        return found  # type: ignore[no-any-return]

    def pictures(self) -> Pictures:
        """What is done to frames before the function sees them."""
        stated = {"size": self.size, "crop": self.crop, "interpolation": self.interpolation}
        return Pictures(resolve({}, stated), Frames.parse(self.frames))

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli: space → array (stimulus, …)."""
        function = self.function()
        if self.given == "pictures":
            shows = self.pictures()

            def compute(pixels: Tensor) -> dict[str, Tensor]:
                count = len(pixels)
                made = self._named(
                    function(pixels.cpu().numpy(), **self.options), f"{count} frames"
                )
                for value in made.values():
                    if value.shape[:1] != (count,):
                        raise DataError(
                            f"function {self.call!r} returned an array of shape {value.shape} for"
                            f" {count} frames: its first axis must be the frames"
                        )
                return {n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in made.items()}

            yield from one_pass(stimuli.shown(), shows.read, compute, self.time, shows.count)
            return
        for shown in stimuli.shown():
            yield {n: v[None] for n, v in self._one(function, shown).items()}

    def _one(self, function: Callable[..., Any], shown: Shown) -> dict[str, np.ndarray]:
        return self._named(function(shown, **self.options), repr(shown.id))

    def _named(self, made: Any, what: str) -> dict[str, np.ndarray]:
        arrays = made if isinstance(made, Mapping) else {self.returns[0]: made}
        if set(arrays) != set(self.returns):
            raise DataError(
                f"function {self.call!r} returned {some(arrays)} for {what}, but `returns` names"
                f" {some(self.returns) or 'one array'}"
            )
        try:
            return {str(n): np.asarray(v, dtype=np.float32) for n, v in arrays.items()}
        except (TypeError, ValueError) as error:
            raise DataError(
                f"function {self.call!r} returned no numbers for {what} ({error}): return an array"
            ) from error
