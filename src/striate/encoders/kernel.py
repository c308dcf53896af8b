"""Ridge over the similarity of stimuli to those it was trained on, which need not be linear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from striate.data import Features, Responses, design
from striate.encoders.linear import designs, held_out, lent, on_cpu
from striate.encoders.ridge import check_choice, noted
from striate.encoders.targets import from_nothing, predicted
from striate.errors import RecipeError
from striate.interfaces import Encoder, Group, with_learned
from striate.machine import here
from striate.solvers.kernel_ridge import kernel, kernel_ridge_cv


@dataclass(frozen=True)
class KernelRidge(Encoder):
    """Kernel ridge with a penalty chosen by inner folds that part no leak unit.

    The kernel is centred on the training rows exactly, in each fold. What is fitted keeps the
    features of the training rows, to which new rows are compared.

    Parameters
    ----------
    kernel
        ``linear``: a ridge; ``polynomial``: (gamma a'b + coef0)^degree; ``rbf``:
        exp(-gamma |a - b|²); ``correlation``: Pearson's r between the features of two rows.
    degree, gamma, coef0
        Of these; a `gamma` of 0 is one over the summed variances of the features on the training
        rows: over their number where they are z-scored.
    alphas
        Candidate penalties above 0, in units of the kernel.
    folds, seed
        Inner folds, or ``loo`` or ``gcv``, as for a ridge.
    penalty
        ``target``: each target its own; ``group``: one for all targets of a group that were
        measured on the same rows.

    """

    kernel: Literal["linear", "polynomial", "rbf", "correlation"] = "rbf"
    degree: int = 3
    gamma: float = 0.0
    coef0: float = 1.0
    alphas: tuple[float, ...] = tuple(float(f"1e{k}") for k in range(-3, 5))
    folds: int | Literal["loo", "gcv"] = 5
    seed: int = 0
    penalty: Literal["target", "group"] = "target"

    def __post_init__(self) -> None:
        check_choice("kernel_ridge", self.alphas, self.folds)
        if min(self.alphas) <= 0:
            raise RecipeError(f"kernel_ridge: alphas = {self.alphas} must be above 0")
        if self.degree < 1 or self.gamma < 0:
            raise RecipeError(
                f"kernel_ridge: degree {self.degree} must be 1 or more and gamma {self.gamma} 0 or"
                " more"
            )

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> KernelRidge:
        """A copy with training features, weights of training rows, intercepts and penalties."""
        from_nothing(self, start)
        parts = []
        for x, bucket in designs(features, groups, apart=self.penalty == "group"):
            known, y = lent(x, bucket.values.astype(x.dtype, copy=False))
            spread = float(x.var(axis=0, dtype=np.float64).sum())
            gamma = self.gamma or 1 / max(spread, 1e-300)
            fit = kernel_ridge_cv(
                self._similar(known, known, gamma),
                y if str(y.dtype).endswith("64") else _double(y),
                self.alphas,
                held_out(bucket, self.folds, self.seed),
                penalty="global" if self.penalty == "group" else "target",
                memory=here().memory,
                threads=here().threads,
            )
            kept = {"dual": fit.dual, "intercept": fit.intercept, "alpha": fit.alpha}
            kept = {name: on_cpu(value) for name, value in kept.items()}
            parts.append({**kept, "gamma": gamma, "rows": x, "targets": bucket.targets})
        note = noted(parts, self.alphas, parts[0]["rows"].shape[1])
        return with_learned(self, parts_=parts, note_=note)  # type: ignore[no-any-return]

    def _similar(self, a: Any, b: Any, gamma: float) -> Any:
        return kernel(a, b, self.kernel, degree=self.degree, gamma=gamma, coef0=self.coef0)

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses, row × target."""
        x, answers = design(features, rows), []
        for part in self.parts_:  # type: ignore[attr-defined]
            similar = self._similar(x, part["rows"], float(part["gamma"]))
            values = similar @ part["dual"] + part["intercept"]
            answers.append((values.astype(x.dtype, copy=False), part["targets"]))
        return predicted(rows, answers)


def _double(y: Any) -> Any:
    return y.astype(np.float64) if isinstance(y, np.ndarray) else y.double()
