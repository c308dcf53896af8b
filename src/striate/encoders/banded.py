"""Banded ridge: every feature space is a band with a penalty of its own, chosen per target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from striate.data import Features, Responses
from striate.data.responses import slots
from striate.encoders.linear import answered, fitted
from striate.encoders.targets import Bucket, check_folds, from_nothing
from striate.errors import RecipeError
from striate.interfaces import Encoder, Group, with_learned
from striate.machine import here
from striate.solvers.banded import band_shares, banded_ridge_cv


@dataclass(frozen=True)
class Banded(Encoder):
    """Ridge with weights of feature spaces and a penalty chosen by inner folds.

    Parameters
    ----------
    alphas
        Candidate penalties, in units of squared features summed over rows; a band is shrunk by the
        penalty over its weight.
    draws, seed
        How many weights of bands to try: all alike, each alone, then random ones (Dirichlet).
    folds
        Inner folds that part no leak unit.
    search
        ``exhaustive``: every draw on every target; ``halving``: targets leave draws that fall
        behind after some folds; ``guided``: weights are proposed by moments of the targets of a
        group, so that those of other groups (see `per`) decide nothing. See
        `striate.solvers.banded.banded_ridge_cv`.
    bands
        Names of bands and the spaces or members, by name or glob, that each joins. What none names
        is a band of its own, under its own name.

    It learns for each bucket of targets ``coef`` of all features side by side, ``gamma`` and
    ``share`` (band × target: weights, and the part of the variance of the training rows that each
    band explains) and ``alpha``; ``bands_`` are the names of the bands.

    Nunez-Elizalde, Huth & Gallant 2019, doi:10.1016/j.neuroimage.2019.04.012.

    """

    alphas: tuple[float, ...] = tuple(float(f"1e{k}") for k in range(8))
    draws: int = 20
    folds: int = 5
    seed: int = 0
    search: Literal["exhaustive", "halving", "guided"] = "exhaustive"
    bands: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_folds("banded", self.folds)
        if not self.alphas or min(self.alphas) < 0:
            raise RecipeError(f"banded: alphas = {self.alphas} must be penalties of 0 or more")
        if self.draws < 1:
            raise RecipeError(f"banded: draws = {self.draws} must be at least 1")

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Banded:
        """A copy with coefficients, weights of bands and penalties.

        Raises
        ------
        RecipeError
            When `bands` and the spaces do not fit each other.

        """
        from_nothing(self, start)
        joined = self._joined([*features.names, *features.members])

        def solve(x: Any, y: Any, bucket: Bucket) -> dict[str, Any]:
            columns = list(_columns(features, bucket, joined).values())
            spaces = [x[:, c] for c in columns]
            fit = banded_ridge_cv(
                spaces,
                y,
                self.alphas,
                bucket.folds(self.folds, self.seed),
                draws=self.draws,
                seed=self.seed,
                search=self.search,
                memory=here().memory,
                threads=here().threads,
            )
            coef, center = 0 * (x[:1].T @ y[:1]), 0 * x[0]
            for c, w, mean in zip(columns, fit.coefs, fit.centers, strict=True):
                coef[c], center[c] = w, mean
            share = band_shares(fit.apart(spaces), y)
            kept = {"coef": coef, "center": center, "level": fit.level, "alpha": fit.alpha}
            return {**kept, "gamma": fit.gamma, "share": share}

        parts = fitted(features, groups, solve, apart=self.search == "guided")
        gamma, share = (np.concatenate([p[n] for p in parts], axis=1) for n in ("gamma", "share"))
        names = list(dict.fromkeys(joined.values()))
        note: dict[str, Any] = {"features": int(parts[0]["coef"].shape[0])}
        for b, name in enumerate(names):
            note[f"mean weight of {name}"] = float(gamma[b].mean())
            note[f"mean share of {name} in the training rows"] = float(share[b].mean())
        return with_learned(self, parts_=parts, bands_=names, note_=note)  # type: ignore[no-any-return]

    def _joined(self, names: Sequence[str]) -> dict[str, str]:
        """The band of every space and member."""
        found: dict[str, str] = {}
        for band, globs in self.bands.items():
            own = [n for n in names if any(n == g or fnmatchcase(n, g) for g in globs)]
            if not own:
                raise RecipeError(
                    f"banded: band {band!r} = {list(globs)} names none of {', '.join(names)}"
                )
            for name in own:
                if name in found:
                    raise RecipeError(
                        f"banded: {name!r} is in the bands {found[name]!r} and {band!r}: name it in"
                        " one of them"
                    )
                found[name] = band
        alone = {n: n for n in names if n not in found}
        if clash := set(alone) & set(self.bands):
            raise RecipeError(
                f"banded: band {min(clash)!r} has the name of a space that it does not hold: give"
                " it another name"
            )
        return {n: found.get(n, n) for n in names}

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses, row × target."""
        return answered(self.parts_, features, rows)  # type: ignore[attr-defined]


def _columns(
    features: Features, bucket: Bucket, joined: dict[str, str]
) -> dict[str, Int[np.ndarray, " _"]]:
    """Columns of the design matrix that belong to each band."""
    shown, first = slots(bucket.rows).shape[1], features.rows(features.ids[:1])
    widths = {n: shown * first.matrix(n).shape[1] for n in features.names}
    for name, blocks in features.members.items():
        widths[name] = sum(b.shape[1] for b in blocks.values())
    columns: dict[str, list[int]] = {}
    start = 0
    for name, width in widths.items():
        columns.setdefault(joined[name], []).extend(range(start, start + width))
        start += width
    return {band: np.array(columns[band]) for band in dict.fromkeys(joined.values())}
