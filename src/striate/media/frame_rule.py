"""Which frames of a clip are looked at: a rule over its presentation times, told in a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float64, Int64

from striate.errors import RecipeError, unknown

Resample = Literal["nearest", "motion"]


@dataclass(frozen=True)
class Frames:
    """Which frames of a clip; a still image is one frame whatever the rule.

    Parameters
    ----------
    count
        Evenly spaced frames, at the positions ``trunc(linspace(0, n - 1, count))`` of the ``n``
        frames of the piece, as is customary in the field; positions repeat where ``n < count``.
        With `rate`, the first `count` of those frames, where the last frame of a piece that is
        too short is held. None, with `rate`: as many as the piece is long.
    rate
        Frames per second: the frames shown at ``k / rate`` seconds from the onset.
    times
        Seconds from the onset: the frames shown then. Stands alone.
    resample
        ``nearest`` takes frames as they are; ``motion`` (with `rate`) makes frames in between
        along the estimated motion, by FFmpeg's ``minterpolate``.

    Raises
    ------
    RecipeError
        When the rule contradicts itself or selects nothing.

    """

    count: int | None = 16
    rate: float | None = None
    times: tuple[float, ...] = ()
    resample: str = "nearest"

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", tuple(float(t) for t in self.times))
        if self.rate is not None:
            object.__setattr__(self, "rate", float(self.rate))
        if self.resample not in get_args(Resample):
            raise RecipeError(unknown("frames.resample", self.resample, get_args(Resample)))
        if self.times:
            # The default count gives way; `rate` would contradict the times.
            object.__setattr__(self, "count", None)
            if self.rate is not None:
                raise RecipeError("frames.times stands alone: drop frames.rate, or the times")
            if any(not np.isfinite(t) or t < 0 for t in self.times):
                raise RecipeError(
                    f"frames.times {list(self.times)} must be seconds from the onset, 0 or more"
                )
        if self.count is not None and self.count < 1:
            raise RecipeError(f"frames.count {self.count} must be 1 or more")
        if self.rate is not None and not (np.isfinite(self.rate) and self.rate > 0):
            raise RecipeError(f"frames.rate {self.rate} must be more than 0 frames per second")
        if self.resample == "motion" and self.rate is None:
            raise RecipeError('frames.resample = "motion" needs frames.rate in frames per second')
        if self.count is None and self.rate is None and not self.times:
            raise RecipeError("frames needs one of count, rate or times, such as {count = 16}")

    @classmethod
    def parse(cls, value: int | Mapping[str, Any] | Frames) -> Frames:
        """A rule as recipes write it: ``16``, ``{rate = 22, count = 65}``, ``{times = [0.5, 1]}``.

        In a table with `rate` and without `count`, the piece says how many.

        >>> Frames.parse({"rate": 22})
        Frames(count=None, rate=22.0, times=(), resample='nearest')
        """
        if isinstance(value, Frames):
            return value
        if isinstance(value, bool) or not isinstance(value, int | Mapping):
            raise RecipeError(
                f"frames {value!r} is neither a count nor a table: write 16 or {{rate = 22}}"
            )
        if isinstance(value, int):
            return cls(count=value)
        valid = [f.name for f in fields(cls)]
        for name in value:
            if name not in valid:
                raise RecipeError(unknown("field of frames", str(name), valid))
        given = {k: v for k, v in value.items() if v is not None}
        count, rate, times = given.get("count"), given.get("rate"), given.get("times", ())
        if count is not None and (isinstance(count, bool) or not isinstance(count, int)):
            raise RecipeError(f"frames.count {count!r} must be a whole number")
        if rate is not None and not _is_number(rate):
            raise RecipeError(f"frames.rate {rate!r} must be a number of frames per second")
        if isinstance(times, str) or not all(_is_number(t) for t in _listed(times)):
            raise RecipeError(f"frames.times {times!r} must be a list of seconds from the onset")
        if count is not None and len(_listed(times)):
            raise RecipeError("frames.times stands alone: drop frames.count, or the times")
        if count is None and rate is None and not len(_listed(times)):
            count = cls.count
        return cls(
            count=count,
            rate=None if rate is None else float(rate),
            times=tuple(float(t) for t in _listed(times)),
            resample=str(given.get("resample", "nearest")),
        )

    def identity(self) -> dict[str, Any]:
        """What decides the frames: the fields that are set, as plain values."""
        found: dict[str, Any] = {}
        if self.count is not None:
            found["count"] = self.count
        if self.rate is not None:
            found["rate"] = self.rate
        if self.times:
            found["times"] = list(self.times)
        if self.resample != "nearest":
            found["resample"] = self.resample
        return found

    def moments(self, seconds: float) -> Float64[np.ndarray, "frame"] | None:
        """Seconds from the onset at which frames are taken; None where frames are counted.

        Parameters
        ----------
        seconds
            Length of the piece.

        """
        if self.times:
            return np.array(self.times, dtype=np.float64)
        if self.rate is None:
            return None
        count = self.count
        if count is None:
            # A piece of 2 s at 8 frames per second has 16, also where rounding says 15.9999.
            count = max(1, int(np.ceil(seconds * self.rate - 1e-3)))
        return np.arange(count) / self.rate

    def positions(
        self, shown: Float64[np.ndarray, "frame"], seconds: float, slack: float = 0.0
    ) -> Int64[np.ndarray, "wanted"]:
        """Places among the frames of a piece, in the order in which they are wanted.

        Parameters
        ----------
        shown
            Presentation times in seconds from the onset, ascending.
        seconds
            Length of the piece.
        slack
            Seconds by which time stamps may be rounded up.

        >>> Frames(count=4).positions(np.arange(10) / 10, 1.0).tolist()
        [0, 3, 6, 9]
        >>> Frames(count=4, rate=2.0).positions(np.arange(10) / 10, 1.0).tolist()
        [0, 5, 9, 9]

        """
        moments = self.moments(seconds)
        if moments is None:
            return np.linspace(0, len(shown) - 1, self.count or 1).astype(np.int64)
        last = np.searchsorted(shown, moments + slack + 1e-9, side="right") - 1
        return np.clip(last, 0, len(shown) - 1).astype(np.int64)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _listed(value: Any) -> list[Any]:
    if _is_number(value):
        return [value]
    try:
        return list(value)
    except TypeError as error:
        raise RecipeError(f"frames.times {value!r} must be a list of seconds") from error
