"""Reports built by hand: scores and summary as a run makes them, from small random data."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from striate.data import label_responses
from striate.report import Report
from striate.scores import (
    interval,
    membership_of,
    over_targets,
    paired_interval,
    resampled,
    score_table,
    summarise,
)

HOSTILE = '<script>alert("x")</script>'
NASTY = "V4 & $\\frac{1}{0}$\n\x00 <img src=x onerror=alert(1)> '\"`"
RECIPE = """
title = "Two layers"
dataset = { use = "folder" }
[features.net]
use = "torchvision"
model = "squeezenet1_0"
nodes = ["conv1", "conv2"]
[[member]]
name = "ridge"
features = ["net.*"]
encoder = { use = "ridge" }
[member.sweep]
features = [["net.conv1"], ["net.conv2"]]
[[member]]
name = "best"
features = ["ridge"]
encoder = { use = "stack" }
"""
SPLIT = {
    "use": "KFold",
    "calls": [{"name": f"fold{k}", "train": 48, "test": 12} for k in range(5)],
    "final": [{"train": 60, "test": 10}],
    "stimuli": 70,
    "groups": 3,
}
DUPLICATES = {
    "exact": [["a.png", "b.png"]],
    "leak_units": 69,
    "looked_for_near": True,
    "near": 2,
    "near_pairs": [["i1", HOSTILE, 0.913], ["i2", "i3", 0.81]],
    "near_crossing": 1,
    "near_action": "measure",
    "leakage": {"as split": 0.52, "grouped": 0.47, "leakage": 0.05},
}


def people(ceilings=True, targets=80, rows=60, regions=("V1", HOSTILE, NASTY)):
    """Two subjects whose regions overlap; some ceilings are NaN, some 0."""
    rng = np.random.default_rng(1)
    found = {}
    for subject in ("sub01", "s<b>2"):
        rois = {r: (rng.random(targets) < 0.5).tolist() for r in regions}
        labels = {}
        if ceilings:
            ceiling = rng.uniform(0.1, 0.9, targets)
            ceiling[:4], ceiling[4:8] = np.nan, 0.0
            labels = {"ceiling": ceiling.tolist()}
        found[subject] = label_responses(
            rng.standard_normal((rows, targets)),
            [f"i{k}" for k in range(rows)],
            subject=subject,
            rois=rois,
            target_labels=labels,
        )
    return found


def predictions(truth, members, seed=2):
    """Noisy copies of the truth, the better the later the member."""
    rng = np.random.default_rng(seed)
    found = {}
    for k, member in enumerate(members):
        share = 0.1 + 0.6 * (k + 1) / len(members)
        found[member] = {
            s: b.copy(data=share * b.values + (1 - share) * rng.standard_normal(b.shape))
            for s, b in truth.items()
        }
    return found


def headline(table, names):
    """What a run's summary says of each score."""
    found = {}
    for name in names:
        part = table[table["score"] == name]
        found[name] = summarise(part)
        if part["normalised"].notna().any():
            found[name]["normalised"] = summarise(part, "normalised")
            found[name]["ceiling"] = summarise(part, "ceiling")
        if part["q"].notna().any():
            found[name]["significant"] = int((part["q"] <= 0.05).sum())
    return found


def intervals(truth, predicted, score, answer):
    """Intervals of the answer and of its differences to the other members."""
    regions = membership_of(truth, predicted[answer])
    inside = np.concatenate([np.ones((len(regions), 1), bool), regions.to_numpy(bool)], axis=1)
    names, reduce = list(regions), over_targets("median", inside)
    draws = {m: resampled(truth, p, score, reduce, 200) for m, p in predicted.items()}

    def told(low, high):
        ends = np.stack([low, high], axis=1).tolist()
        return {"interval": ends[0], "by_roi": dict(zip(names, ends[1:], strict=True))}

    others = {m: told(*paired_interval(draws[answer], d)) for m, d in draws.items() if m != answer}
    return told(*interval(draws[answer])), others


def report_of(truth, predicted, scores=("pearson", "r2", "mse"), official=None, **more):
    """The report that a run would write of these predictions; the last member is the answer."""
    answer = list(predicted)[-1]
    tables = {
        m: score_table(truth, p, scores, m, 99 if m == answer else 0) for m, p in predicted.items()
    }
    members = {m: headline(t, scores) | (official or {}) for m, t in tables.items()}
    found, comparisons = intervals(truth, predicted, scores[0], answer)
    members[answer][scores[0]]["resampled"] = found
    subjects = {
        s: {"rows": b.shape[0], "hidden": 3, "targets": b.shape[1]} for s, b in truth.items()
    }
    summary = {
        "title": f"A run of {HOSTILE}",
        "recipe": "made/up",
        "member": answer,
        "headline": scores[0],
        "scores": members[answer],
        "members": members,
        "comparisons": comparisons,
        "split": {**SPLIT, "subjects": subjects},
        "duplicates": DUPLICATES,
        "expect": {
            "pearson.median": {
                "value": 0.5, "tol": 0.2, "source": "https://example.org/", "got": 0.52,
                "within": True,
            }
        },
    }  # fmt: skip
    fits = [
        {
            "call": call["name"], "member": m, "seconds": 1.5, "stimuli": 48, "targets": 80,
            "steps": [{"columns": 1200, "columns dropped": 37}],
            "encoder": {"features": 1163, "median penalty": 100.0, HOSTILE: "x"},
        }
        for call, m in itertools.product(SPLIT["calls"], predicted)
    ]  # fmt: skip
    machine = {"seconds": 137.2, "peak_memory_bytes": 9e8, "versions": {"numpy": "2"}}
    machine |= {"device": "cpu", "date": "2026-01-01 12:00"}
    base = {
        "recipe": RECIPE,
        "summary": summary,
        "scores": pd.concat(tables.values(), ignore_index=True),
        "fits": fits,
        "predicted": predicted[answer],
        "truth": truth,
        "machine": machine,
    }
    return Report(**{**base, **more})


def ridge_report(**more):
    """Swept members and their stack."""
    truth = people(**more)
    return report_of(truth, predictions(truth, ["ridge@net.conv1", "ridge@net.conv2", "best"]))


def rdm_report(times=1, subjects=3, stimuli=9):
    """Pairs of stimuli, two regions, one model RDM for all subjects and times."""
    rng = np.random.default_rng(3)
    ids = np.array([f"im{k}" for k in range(stimuli)], dtype=object)
    i, j = np.triu_indices(stimuli, 1)
    pairs = np.stack([ids[i], ids[j]], axis=1)
    names = [r for r in ("EVC", HOSTILE) for _ in range(times)]
    model = rng.random((len(pairs), 2))
    labels = {"time": [t for _ in range(2) for t in range(times)]} if times > 1 else {}
    truth = {
        f"sub{k}": label_responses(
            np.repeat(model, times, axis=1) + rng.standard_normal((len(pairs), 2 * times)),
            pairs,
            names,
            subject=f"sub{k}",
            rois={r: [n == r for n in names] for r in dict.fromkeys(names)},
            target_labels=labels,
        )
        for k in range(subjects)
    }
    predicted = {"rdm": {"": label_responses(model, pairs, ["EVC", HOSTILE])}}
    named = {"unit": "percent", "name": "algonauts2019"}
    official = {"value": 17.71, "by_roi": {"EVC": 15.0, HOSTILE: 19.0}, "raw": {"EVC": 0.02}}
    corrected = {"value": -3.25, "by_roi": {"EVC": -14.0, HOSTILE: 18.0}, "signed": {"EVC": -0.01}}
    own = {"official": named | official | {"flat": 0}, "corrected": named | corrected}
    return report_of(truth, predicted, ("spearman",), own)
