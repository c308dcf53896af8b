"""What the loop relies on in steps and encoders: copies, labels, and no look at other rows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from striate.data import (
    ArraySpace,
    Features,
    Responses,
    align,
    assemble,
    merge,
    row_table,
    slots,
    target_table,
)
from striate.errors import some
from striate.interfaces import Group, learned, with_learned
from striate.registry import identity, key_of
from striate.store import Unstorable, load_tree, save_tree
from striate.testing.cases import Case, stimuli_case
from striate.testing.contract import must, same, unchanged


def check_encoder(encoder: Any, case: Case | None = None) -> None:
    """Check that an encoder keeps the contract on a small problem (default: `stimuli_case()`).

    Raises
    ------
    ContractError
        When `fit` changes the encoder or its input, learns under names that do not end in ``_``,
        or looks at stimuli that it was not given; when predictions lack rows or targets, or depend
        on the order of rows, on other rows, or on chance; when a state that was stored and read
        predicts other numbers.

    """
    case = case or stimuli_case()
    name = type(encoder).__name__
    seen, groups = case.seen, case.groups
    view = case.features.rows(seen)
    copies = [b.copy(deep=True) for g in groups for b in g]

    def fit(features: Features, groups: Sequence[Group]) -> Any:
        return encoder.fit(features, groups)

    fitted = _fit(encoder, lambda: fit(view, groups))
    for block, copy in zip((b for g in groups for b in g), copies, strict=True):
        must(block.identical(copy), f"{name}.fit changes the responses that it is given")
    found = _predicted(fitted, case.features, case)
    subset = case.rows.isel(row=slice(None, None, 2))
    part = _predicted(fitted, case.features.rows(_shown(subset)), case, subset)
    same(found[::2], part, f"{name}: a prediction depends on what other rows are asked for")
    turned = case.rows.isel(row=slice(None, None, -1))
    back = _predicted(fitted, case.features, case, turned)
    same(found[::-1], back, f"{name}: predictions do not follow the order of the rows asked for")
    again = _predicted(fit(view, groups), case.features, case)
    same(found, again, f"{name}: two fits of the same data predict different numbers")
    hidden = _predicted(fit(_blinded(view, case), groups), case.features, case)
    same(found, hidden, f"{name}.fit looks at stimuli that are not in its training rows")
    order = np.random.default_rng(0).permutation(len(seen)).tolist()
    mixed = [[b.isel(row=_shuffled(len(b))) for b in g] for g in groups]
    shuffled = fit(case.features.rows([seen[k] for k in order]), mixed)
    what = f"{name}: the order of training rows changes predictions"
    same(found, _predicted(shuffled, case.features, case), what)
    restored = _restored(encoder, fitted)
    if restored is not None:
        what = f"{name}: its state, stored and read, predicts other numbers"
        same(found, _predicted(restored, case.features, case), what)


def check_step(step: Any, features: Features | None = None) -> None:
    """Check that a step keeps the contract (default: on the maps of `stimuli_case`).

    Raises
    ------
    ContractError
        When `fit` changes the step or looks at stimuli out of view; when what comes out has other
        stimuli, is not finite, or depends on other stimuli in view or on chance; when the state
        cannot be stored.

    """
    features = features or stimuli_case().features
    name = type(step).__name__
    ids = features.ids
    train = features.rows(ids[: 3 * len(ids) // 4])
    before = {n: np.array(features[n]) for n in features.names}
    fitted = _fit(step, lambda: step.fit(train))
    found = _transformed(fitted, features, name)
    for space, values in before.items():
        kept = np.array_equal(values, features[space])
        must(kept, f"{name} changes the features {space!r} that it is given")
    turned = _transformed(fitted, features.rows(ids[::-2]), name)
    blinded = replace(features, spaces=_without(features, train.ids))
    others = {
        "two fits of the same data give different features": step.fit(train),
        "fit looks at stimuli that are not in view": step.fit(blinded.rows(train.ids)),
    }
    restored = _restored(step, fitted)
    must(restored is not None, f"{name} learns what cannot be stored: keep arrays and tables")
    others["its state, stored and read, gives other features"] = restored
    for space, values in found.items():
        what = f"{name}: a stimulus' features depend on what else is in view"
        same(values[::-2], turned[space], what)
    for what, other in others.items():
        for space, values in _transformed(other, features, name).items():
            same(found[space], values, f"{name}: {what}")


def _fit(component: Any, fit: Callable[[], Any]) -> Any:
    """What `fit` returns, if it is a copy that learned under names that end in ``_``."""
    name = type(component).__name__
    before = dict(vars(component))
    with unchanged(component):
        fitted = fit()
        must(fitted is not component, f"{name}.fit returns itself: return a copy (with_learned)")
        kept = vars(component).keys() == before.keys()
        must(kept, f"{name}.fit writes to the original: learn on a copy (see with_learned)")
    must(type(fitted) is type(component), f"{name}.fit returns a {type(fitted).__name__}")
    same = key_of(identity(fitted)) == key_of(identity(component))
    must(same, f"{name}.fit changes fields: they are configuration, learn under other names")
    odd = [n for n in vars(fitted) if n not in before and (n[0] == "_" or n[-1] != "_")]
    must(not odd, f"{name}.fit learns {some(odd)}, but learned attributes end in '_'")
    return fitted


def _restored(component: Any, fitted: Any) -> Any:
    """The fitted component again, through the store; None where its state has no plain form."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            save_tree(Path(folder) / "state", learned(fitted))
        except Unstorable:
            return None
        return with_learned(component, **load_tree(Path(folder) / "state"))


def _predicted(
    fitted: Any, features: Features, case: Case, rows: Responses | None = None
) -> np.ndarray:
    """Predictions for all targets that were fitted, row × target, found by label."""
    rows = case.rows if rows is None else rows
    name = type(fitted).__name__
    block = fitted.predict(features, rows)
    must(isinstance(block, Responses), f"{name}.predict returns no Responses")
    asked = list(block.row.values) == list(rows.row.values)
    must(asked, f"{name}.predict answers for other rows than it was asked for, or in other order")
    columns = []
    for fit in (b for g in case.groups for b in g):
        empty = np.empty((len(rows), fit.shape[1]), dtype=np.float32)
        template = assemble(empty, row_table(rows), target_table(fit))
        values = align(template, merge([block]))
        lost = template.target.values[np.isnan(values).any(axis=0)]
        must(not len(lost), f"{name}.predict lacks values of fitted targets, such as {some(lost)}")
        columns.append(values)
    return np.concatenate(columns, axis=1)


def _transformed(fitted: Any, features: Features, name: str) -> dict[str, np.ndarray]:
    out = fitted.transform(features)
    must(out.ids == features.ids, f"{name}.transform changes which stimuli are in view")
    found = {n: np.asarray(out[n]) for n in out.names}
    must(bool(found), f"{name}.transform leaves no features")
    for space, values in found.items():
        must(len(values) == len(features), f"{name}.transform changes the rows of {space!r}")
        must(bool(np.isfinite(values).all()), f"{name}.transform makes {space!r} not finite")
    return found


def _blinded(view: Features, case: Case) -> Features:
    """The view with NaN in the place of everything that belongs to rows to be predicted."""
    members = {}
    for member, blocks in view.members.items():
        members[member] = {
            s: b.where(~np.isin(b.row.values, case.rows.row.values)[:, None])
            for s, b in blocks.items()
        }
    return replace(view, spaces=_without(view, case.seen), members=members)


def _without(features: Features, seen: Iterable[str]) -> dict[str, ArraySpace]:
    spaces = {}
    for name, space in features.spaces.items():
        ids = tuple(seen)
        values = np.array(space.read(ids), dtype=np.float32)
        far = np.full((1, *values.shape[1:]), 1e6, dtype=np.float32)
        spaces[name] = ArraySpace((*ids, "elsewhere"), np.concatenate([values, far]), space.key)
    return spaces


def _shown(rows: Responses) -> list[str]:
    return [str(s) for s in dict.fromkeys(slots(rows).ravel().tolist())]


def _shuffled(count: int) -> np.ndarray:
    return np.random.default_rng(1).permutation(count)
