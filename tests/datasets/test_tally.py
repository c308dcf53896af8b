"""Counts of responses against slow loops, read in pieces and once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import OnDisk, disk, label_responses
from striate.datasets.tally import measured, tally


def made(rows, targets, repeats, seed):
    """Values with holes, hidden rows and constant targets, some of everything."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((rows, targets, repeats) if repeats else (rows, targets))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[rng.random(rows) < 0.3] = np.nan
    flat = rng.random(targets) < 0.3
    values[:, flat] = np.where(np.isnan(values[:, flat]), np.nan, 1.5)
    return values.astype(np.float32)


def slow(values):
    every = values.reshape(*values.shape[:2], -1)
    hidden = [np.isnan(row).all() for row in every]
    counts = [int((~np.isnan(v)).sum()) for row in every if not np.isnan(row).all() for v in row]
    flat = 0
    for target in every.transpose(1, 0, 2):
        known = target[~np.isnan(target)]
        flat += bool(len(known) and (known == known[0]).all())
    span = (min(counts), max(counts)) if counts else (0, 0)
    return len(every), sum(hidden), len(counts), counts.count(0), span, flat


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 12),
    targets=st.integers(1, 80),
    repeats=st.sampled_from([0, 1, 3]),
    seed=st.integers(0, 999),
    on_disk=st.booleans(),
)
def test_it_is_the_slow_loop_in_memory_and_on_disk(rows, targets, repeats, seed, on_disk):
    values = made(rows, targets, repeats, seed)
    given = OnDisk.of(values) if on_disk else values
    block = label_responses(given, [f"s{k}" for k in range(rows)], subject="a")
    found = tally(block)
    told = (found.rows, found.hidden, found.values, found.missing, found.repeats, found.flat)
    assert told == slow(values)


def test_what_stays_on_disk_is_read_in_small_pieces_and_once(monkeypatch):
    monkeypatch.setattr(disk, "PIECE", 1 << 16)
    values = np.random.default_rng(0).standard_normal((400, 500)).astype(np.float32)
    asked = []

    def read(rows, targets):
        asked.append(len(rows) * len(targets))
        return values[np.ix_(rows, targets)]

    block = label_responses(
        OnDisk(values.shape, values.dtype, read), [f"s{k}" for k in range(400)], subject="a"
    )
    lines = measured(block)
    assert lines[0] == "400 rows × 500 targets" and "  missing: 0 of 200000 responses" in lines
    assert max(asked) * 4 <= 1 << 16
    assert sum(asked) <= 1.2 * values.size


def test_ceilings_of_large_repeats_are_taken_of_some_targets(monkeypatch):
    from striate.datasets import tally as module

    rng = np.random.default_rng(0)
    values = rng.standard_normal((60, 900, 1)) + rng.standard_normal((60, 900, 4))
    block = label_responses(
        OnDisk.of(values.astype(np.float32)),
        [f"s{k}" for k in range(60)],
        subject="a",
        rois={"V1": np.arange(900) < 450},
    )
    whole = measured(block)[-1]
    assert whole.startswith("  ceiling (split halves of the repeats): median 0.")
    monkeypatch.setattr(module, "CEILING_BYTES", 60 * 4 * 4 * 300)
    some = measured(block)[-1]
    assert some.startswith("  ceiling (split halves of the repeats of 300 targets): median 0.")
    numbers = [float(line.rpartition(" ")[2]) for line in (whole, some)]
    assert numbers[0] == pytest.approx(0.8, abs=0.03) and numbers[1] == pytest.approx(0.8, abs=0.03)
