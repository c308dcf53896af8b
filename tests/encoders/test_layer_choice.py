"""One layer for a region in all subjects, or for each target: chosen by out-of-fold correlation."""

import numpy as np
import pytest

from striate.data import Features, label_responses
from striate.datasets.algonauts2021 import Algonauts2021
from striate.encoders.blend import Best
from striate.machine import Machine
from striate.recipe import parse
from striate.report.chosen import candidates
from striate.run import run_recipe
from striate.store import Products

REGIONS = ("LOC", "FFA", "STS", "EBA", "PPA", "V1", "V2", "V3", "V4")
PLANTED = dict(
    zip(
        REGIONS,
        ["late", "late", "sound", "motion", "late", "early", "early", "early", "late"],
        strict=True,
    )
)
KINDS = ("early", "late", "motion", "sound")


def people(sizes, rows=(60, 60), seed=0):
    """Subjects of other sizes and other stimuli; member `a` is better in the first, `b` after."""
    rng = np.random.default_rng(seed)
    blocks, members = [], {"a": {}, "b": {}}
    for k, (targets, count) in enumerate(zip(sizes, rows, strict=True)):
        ids = (
            [f"i{k}-{j}" for j in range(count)]
            if rows[0] != rows[1]
            else [f"i{j}" for j in range(count)]
        )
        truth = rng.standard_normal((count, targets))
        names = [f"t{j}" for j in range(targets)]
        subject = f"s{k}"
        blocks.append(
            label_responses(truth, ids, names, subject=subject, rois={"V1": [True] * targets})
        )
        for name, noise in (("a", (1.0, 2.0)[k]), ("b", (1.6, 0.5)[k])):
            values = truth + noise * rng.standard_normal(truth.shape)
            members[name][subject] = label_responses(values, ids, names, subject=subject)
    return Features({}, (), members), [blocks]


@pytest.mark.parametrize("rows", [(60, 60), (60, 40)])
def test_people_with_many_voxels_do_not_decide_for_the_others(rows):
    view, groups = people((200, 4), rows)
    equal = Best(each="group").fit(view, groups)
    counted = Best(each="group", average="targets").fit(view, groups)
    for fitted, name in ((equal, "b"), (counted, "a")):
        for part in fitted.parts_:
            assert part["weights"][part["members"].index(name)].tolist() == [1.0] * len(
                part["targets"]
            )
    # By hand: correlations of each subject's targets, their means, the mean of these.
    score = {}
    for name, blocks in view.members.items():
        each = [
            [
                np.corrcoef(blocks[f"s{k}"].values.T[t], b.values.T[t])[0, 1]
                for t in range(b.shape[1])
            ]
            for k, b in enumerate(groups[0])
        ]
        score[name] = [np.mean(e) for e in each]
        for line in equal.note_["candidates"]:
            own = score[name][int(line["subject"][1])]
            assert line["of"][name] == pytest.approx(own, abs=1e-5)
            assert line["roi"] == "V1"
    assert np.mean(score["a"]) < np.mean(score["b"])
    assert np.average(score["a"], weights=(200, 4)) > np.average(score["b"], weights=(200, 4))


def test_notes_with_a_candidate_that_predicts_nothing_are_stored(tmp_path):
    view, groups = people((5, 4))
    view.members["a"].pop("s1")
    fitted = Best().fit(view, groups)
    store = Products(tmp_path)
    store.save("0" * 32, "1" * 32, {}, None, {"encoder": fitted.note_})
    note = store.load_note("0" * 32)["encoder"]
    lost = [line for line in note["candidates"] if line["subject"] == "s1"]
    assert len(lost) == 1
    assert np.isnan(lost[0]["of"]["a"])
    found = candidates([{"member": "best", "encoder": note}])
    # A region that one candidate leaves out in one subject has no score of that candidate.
    assert np.isnan(found.set_index("of").loc["a", "score"])
    assert found.set_index("of").loc["b", "score"] > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("track", ["mini", "full"])
def test_planted_layers_are_recovered(tmp_path, track):
    place = tmp_path / "twin"
    Algonauts2021.twin(place, media=False)
    features = {
        k: {"use": "array", "path": str(place / f"features_{k}.npy"), "ids": str(place / "ids.csv")}
        for k in KINDS
    }
    groups = {n: [n] for n in REGIONS} | ({"WB": ["rest"]} if track == "full" else {})
    people = ["sub01", "sub02", "sub03"]
    table = {
        "dataset": {"use": "algonauts2021", "path": str(place), "track": track, "subjects": people},
        "split": {"use": "last", "fraction": 0.1},
        "features": features,
        "scores": ["pearson"],
        "near_duplicates": "ignore",
        "inner": {"folds": 3},
        "member": [
            {
                "name": "layer",
                "encoder": {"use": "sklearn.linear_model:Ridge", "alpha": 10.0},
                "sweep": {"features": [[k] for k in KINDS]},
            },
            {
                "name": "region",
                "features": ["layer"],
                "per": ["roi"],
                "groups": groups,
                "encoder": {"use": "best", "each": "group"},
            },
            {"name": "target", "features": ["layer"], "encoder": "best"},
        ],
    }
    machine = Machine(store=tmp_path / "store", quiet=True, threads=1)
    report = run_recipe(parse(table), tmp_path / "runs", machine)
    wanted = {r: f"layer@{k}" for r, k in PLANTED.items()}
    wanted |= {"": "layer@motion"} if track == "full" else {}
    found = candidates(report.fits)
    region = found[(found["member"] == "region") & (found["share"] == 1)]
    assert dict(zip(region["roi"], region["of"], strict=True)) == wanted
    each = found[(found["member"] == "target") & (found["share"] > 0.9)]
    assert dict(zip(each["roi"], each["of"], strict=True)) == wanted
    for name in ("region", "target"):
        entry = report.summary["members"][name]["pearson"]
        assert entry["not_predicted"] == 0
        assert entry["normalised"]["median"] == pytest.approx(1.0, abs=0.06)
