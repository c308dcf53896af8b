"""Features are extracted before fits, by whoever is there, and broken stimuli are left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from striate.data import label_responses
from striate.errors import DataError, FileError, StriateError
from striate.machine import using
from striate.run import Plan, run_recipe
from striate.run.filling import TOGETHER, fill_for, tables_of
from striate.run.fresh import predict_images
from striate.run.leakage import LeakageWarning

from .parts import noted
from .test_fresh import colours
from .worlds import PARTS, Bench, values


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made.x = colours(tmp_path / "old", made.ids)
    made.weights = made.rng.standard_normal((12, 4))
    made.table["file"] = [str(tmp_path / "old" / f"{i}.png") for i in made.ids]
    return made


def recipe(bench, members=1, means=None, **more):
    """Fits on colours of images."""
    lines = [
        {"name": f"m{k}", "features": ["x"], "encoder": bench.linear(f"m{k}", alpha=k + 1.0)}
        for k in range(members)
    ]
    line = {"use": f"{PARTS}:Means", "log": str(bench.log)} | (means or {})
    return bench.recipe(lines, **({"features": {"x": line}} | more))


def snapshot(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def extracted(bench):
    return [i for line in noted(bench.log) for i in line.get("extracted", ())]


def test_all_features_are_there_before_the_first_fit(bench):
    bench.subject()
    two = {"x": {"use": f"{PARTS}:Means", "log": str(bench.log)}}
    two["y"] = two["x"] | {"gain": 2.0}
    lines = [{"name": n, "features": [n], "encoder": bench.linear(f"on {n}")} for n in ("x", "y")]
    lines = [line | {"name": f"m{k}"} for k, line in enumerate(lines)]
    report = bench.run(bench.recipe(lines, features=two))
    kinds = ["extracted" in line for line in noted(bench.log)]
    assert kinds == sorted(kinds, reverse=True)
    assert sorted(extracted(bench)) == sorted(2 * bench.ids)
    told = report.machine["features"]
    assert {n: (t["extracted"], t["found"], t["spaces"]) for n, t in told.items()} == {
        "x": (24, 0, 1),
        "y": (24, 0, 1),
    }
    assert told["x"]["dtypes"] == ["float64"] and told["x"]["bytes"] > 24 * 12 * 8


def test_only_what_is_missing_is_extracted_and_only_for_tasks_to_do(bench):
    bench.subject()
    bench.run(recipe(bench))
    bench.log.unlink()
    again = bench.run(recipe(bench))
    assert not extracted(bench) and again.machine["features"] == {}
    files = (bench.store / "features").rglob("0-mean.npy")
    min(files, key=lambda f: f.stat().st_size).unlink()
    told = bench.run(recipe(bench, members=2)).machine["features"]["x"]
    assert extracted(bench) == bench.ids[16:]
    assert (told["extracted"], told["found"]) == (8, 16)


def test_names_of_one_extractor_share_their_rows(bench):
    bench.subject()
    line = {"use": f"{PARTS}:Means", "log": str(bench.log)}
    member = {"name": "m", "features": ["x", "same"], "encoder": bench.linear()}
    bench.run(bench.recipe([member], features={"x": line, "same": line}))
    assert sorted(extracted(bench)) == sorted(bench.ids)


def test_films_are_filled_together_and_images_one_table_after_another(bench, monkeypatch):
    seen = []

    def note(todo, together, broken):
        seen.append(together)
        return {t.name: 0.0 for t in todo}

    monkeypatch.setattr("striate.run.filling.fill", note)
    bench.subject()
    with using(bench.machine()):
        for suffix in (".png", ".mp4"):
            bench.table["file"] = [f.rsplit(".", 1)[0] + suffix for f in bench.table["file"]]
            for i in bench.ids[:2]:
                (bench.root / "old" / f"{i}{suffix}").write_bytes(i.encode())
            plan = Plan(recipe(bench))
            monkeypatch.setattr("striate.run.filling._needs", lambda plan, task: set())
            fill_for(plan, plan.wanted(), {})
    assert seen == [1, TOGETHER]


def harm(bench):
    """Half a file, its exact copy, and a file that is missing."""
    whole = (bench.root / "old" / "im3.png").read_bytes()
    for i in ("im3", "im9"):
        (bench.root / "old" / f"{i}.png").write_bytes(whole[: len(whole) // 2])
    (bench.root / "old" / "im7.png").unlink()
    return ["im3", "im7", "im9"]


def two_subjects(bench):
    bench.subject("s1")
    bench.subject("s2", bench.ids[5:], ["t0", "u1"])


def sound(bench, tmp_path, gone):
    """The same data without some stimuli."""
    other = Bench(tmp_path / "sound")
    other.table = bench.table.drop(gone)
    other.blocks = {
        s: b.isel(row=[k for k, i in enumerate(b.row.values) if i not in gone])
        for s, b in bench.blocks.items()
    }
    return other


@pytest.mark.parametrize("where", ["", "processes:2"])
def test_skipping_equals_data_without_the_broken_stimuli(bench, tmp_path, where):
    two_subjects(bench)
    gone = harm(bench)
    bench.machine = lambda **more: Bench.machine(bench, scheduler=where, batch=4, **more)
    report = bench.run(recipe(bench, members=2, on_error="skip"))
    other = sound(bench, tmp_path, gone)
    wanted = other.run(recipe(other, members=2))
    for subject, block in wanted.predicted.items():
        ids = list(block.row.values)
        np.testing.assert_array_equal(values(report, subject, ids), block.values)
        assert set(report.predicted[subject].row.values) == set(ids)
    assert report.scores.equals(wanted.scores)
    left = report.summary["left_out"]
    assert [line["stimulus"] for line in left["stimuli"]] == gone
    assert "no readable file" in left["stimuli"][1]["error"]
    assert left["stimuli"][0]["error"] == left["stimuli"][2]["error"]
    assert "im3.png" in left["stimuli"][0]["file"] and left["stimuli"][0]["error"]
    assert left["rows"] == {"s1": 3, "s2": 2}
    assert report.machine["features"]["x"]["extracted"] == 21
    assert "im3 (3 in all, with 5 rows)" in report.in_words()


def test_pairs_with_a_broken_stimulus_are_left_out(bench):
    pairs = [(i, j) for i in bench.ids[:8] for j in bench.ids[:8] if i < j]
    y = bench.rng.random((len(pairs), 2))
    bench.blocks["s1"] = label_responses(y, np.array(pairs, dtype=object), subject="s1")
    bench.table = bench.table.loc[bench.ids[:8]]
    (bench.root / "old" / "im2.png").write_bytes(b"")
    report = bench.run(recipe(bench, on_error="skip", split={"use": "kfold", "folds": 2}))
    assert report.summary["left_out"]["rows"] == {"s1": 7}
    assert report.summary["split"]["stimuli"] == 7


def test_features_in_a_file_that_lack_a_stimulus(bench):
    bench.subject()
    bench.write_features()
    np.savez(bench.root / "x.npz", ids=np.array(bench.ids[2:]), a=bench.x[2:])
    line = {"name": "m", "encoder": bench.linear()}
    report = bench.run([line], on_error="skip")
    told = {g["stimulus"]: g["error"] for g in report.summary["left_out"]["stimuli"]}
    assert told == dict.fromkeys(("im0", "im1"), "has no row in features 'x.a'")
    with pytest.raises(StriateError, match="im0"):
        bench.run([line])


def test_stopping_names_the_file_before_any_fit(bench):
    bench.subject()
    harm(bench)
    for path in ("im3", "im9"):
        (bench.root / "old" / f"{path}.png").write_bytes(b"half")
    pixels = {"x": {"use": "pixels", "size": 2}}
    (bench.root / "old" / "im7.png").write_bytes(b"no image")
    with pytest.raises(FileError, match=r"im3\.png"):
        bench.run(recipe(bench, features=pixels))
    (bench.root / "old" / "im7.png").unlink()
    with pytest.raises(DataError, match=r"'im7'.*im7\.png"):
        bench.run(recipe(bench, features=pixels))
    assert not noted(bench.log)
    assert not (bench.root / "runs").exists()


def test_nothing_is_left_when_all_are_broken(bench):
    bench.subject()
    for file in (bench.root / "old").iterdir():
        file.write_bytes(file.name.encode())
    with pytest.raises(DataError, match=r"for none of the stimuli; of 'im0'.*image"):
        bench.run(recipe(bench, on_error="skip"))


def test_a_split_that_lists_a_broken_stimulus(bench):
    bench.subject()
    gone, listed = harm(bench), {"use": "fixed", "test": bench.ids[:8]}
    report = bench.run(recipe(bench, on_error="skip", split=listed))
    assert set(report.predicted["s1"].row.values) == set(bench.ids[:8]) - set(gone)
    with pytest.raises(DataError, match="no such stimulus"):
        bench.run(recipe(bench, on_error="skip", split=listed | {"test": ["im1", "nobody"]}))


def test_broken_new_images_are_left_out_too(bench, tmp_path):
    bench.subject()
    new = colours(tmp_path / "new", ["n0", "n1"], seed=1)
    (tmp_path / "new" / "n2.png").write_bytes(b"half")
    files = [str(f) for f in sorted((tmp_path / "new").iterdir())]
    own = recipe(bench, on_error="skip")
    with pytest.warns(UserWarning, match="1 of 3 images left out, such as new/n2"):
        found = predict_images(own, files, bench.machine())["s1"]
    alone = predict_images(own, files[:2], bench.machine())["s1"]
    rows = ["new/n0", "new/n1"]
    np.testing.assert_array_equal(found.sel(row=rows).values, alone.sel(row=rows).values)
    assert list(found.row.values) == rows and len(new) == 2


def test_a_killed_worker_loses_nothing(bench, tmp_path):
    bench.subject()
    fatal = tmp_path / "killed"
    machine = bench.machine(scheduler="processes:2", batch=2)
    own = recipe(bench, means={"fatal": str(fatal), "wait": 0.02})
    report = run_recipe(own, bench.root / "runs", machine)
    assert fatal.exists()
    counts = pd.Series(extracted(bench)).value_counts()
    assert set(counts.index) == set(bench.ids) and set(counts) == {1}
    assert report.machine["features"]["x"]["extracted"] == 24
    assert report.machine["features"]["x"]["seconds"] > 0
    other = run_recipe(own, bench.root / "runs", bench.machine(store=bench.root / "alone", batch=2))
    assert snapshot(bench.store) == snapshot(bench.root / "alone")
    np.testing.assert_array_equal(values(report, ids=bench.ids), values(other, ids=bench.ids))
    assert report.summary == other.summary


def test_tables_and_nodes_that_members_read(bench):
    bench.subject()
    line = {"use": f"{PARTS}:Means"}
    members = [{"name": n, "features": [f], "encoder": bench.linear(n)} for n, f in
               (("one", "x"), ("two", "y.mean"), ("file", "z.a"))]  # fmt: skip
    stored = {"use": "array", "path": str(bench.root / "x.npz")}
    features = {"x": line, "y": line | {"gain": 2.0}, "z": stored}
    with using(bench.machine()):
        plan = Plan(bench.recipe(members, features=features))
        found = tables_of(plan, ["two", "file", "one", "two"])
    assert [(t.name, nodes) for t, nodes in found.items()] == [("y", ("mean",)), ("x", ("mean",))]


def test_broken_images_are_left_out_before_near_duplicates_are_looked_for(bench):
    bench.subject()
    (bench.root / "old" / "im5.png").write_bytes(b"half")
    with pytest.warns(LeakageWarning):
        report = bench.run(recipe(bench, on_error="skip", near_duplicates="warn"))
    assert [g["stimulus"] for g in report.summary["left_out"]["stimuli"]] == ["im5"]
