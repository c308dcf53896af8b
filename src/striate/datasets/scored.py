"""Whether a data set's own score is about every measured target or about a part of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.data import Responses, align
from striate.errors import DataError, some


@dataclass
class Share:
    """How many of the measured targets were predicted, counted block by block.

    Parameters
    ----------
    what
        What a block's values are called in an error, such as ``responses``.
    not_predicted, of
        Targets of all blocks without any prediction, and all of them that were measured.

    """

    what: str = "responses"
    not_predicted: int = 0
    of: int = 0

    def matched(
        self, block: Responses, predicted: Mapping[str, Responses]
    ) -> tuple[Responses, np.ndarray]:
        """The targets of a block (row × target) that were predicted, and their predictions.

        Targets without any prediction are left out and counted. Where a response was not measured
        the prediction is 0, so that none is asked for.

        Raises
        ------
        DataError
            When a target is predicted on some of its rows only; the responses are counted.

        """
        measured = np.asarray(block.values)
        known = ~np.isnan(measured)
        values = align(block, predicted)
        gaps = np.isnan(values) & known
        asked = known.any(axis=0)
        silent = asked & (gaps == known).all(axis=0)
        kept = ~silent
        missing = int(gaps[:, kept].sum())
        if missing:
            named = block.target.values[kept & gaps.any(axis=0)].tolist()
            whose = sorted(set(block.subject.values.tolist())) if "subject" in block.coords else []
            raise DataError(
                f"{missing} of {int(known[:, kept].sum())} {self.what}"
                + (f" of {some(whose)}" if whose else "")
                + f" are not predicted, among them of {some(named, 1)}: predict all rows of a"
                " target, or none"
            )
        self.count(int(silent.sum()), int(asked.sum()))
        values = np.where(known, values, 0)
        if kept.all():
            return block.copy(data=measured), values
        place = np.flatnonzero(kept)
        return block.isel(target=place).copy(data=measured[:, place]), values[:, place]

    def count(self, not_predicted: int, of: int) -> None:
        """Count targets that were judged elsewhere."""
        self.not_predicted += not_predicted
        self.of += of

    def told(
        self, official: Mapping[str, Any] | None, corrected: Mapping[str, Any] | None
    ) -> dict[str, dict[str, Any]]:
        """Both scores by name: ``official`` and ``corrected`` where every target was predicted.

        Otherwise ``partial`` takes the place of ``official``, since a challenge scores everything,
        and both carry ``not_predicted`` and ``of``. None stands for a score that there is not.
        """
        partial = self.not_predicted > 0
        counts = {"not_predicted": self.not_predicted, "of": self.of} if partial else {}
        found = {"partial" if partial else "official": official, "corrected": corrected}
        return {name: {**entry, **counts} for name, entry in found.items() if entry is not None}
