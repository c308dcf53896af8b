import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from striate.data import assemble, row_table, target_table
from striate.datasets import opened
from striate.datasets.folder import Folder
from striate.errors import DataError
from striate.registry import build
from striate.scores import score_table

from .test_dataset import images

EXAMPLE = Path(__file__).parents[3] / "examples" / "time_resolved.py"
AXES = ("stimulus", "target", "time")


@pytest.fixture
def home(tmp_path):
    images(tmp_path / "images", 6)
    np.save(tmp_path / "responses.npy", np.arange(6.0 * 3 * 4).reshape(6, 3, 4))
    return tmp_path


def test_samples_are_labelled_in_seconds(home):
    each = Folder(home, axes=AXES, times=(0.1, 0.2, 0.5, 0.7)).responses()["subject"]
    assert each.time.values.tolist() == [0.1, 0.2, 0.5, 0.7] * 3
    steps = Folder(home, axes=AXES, times=(-0.1, 0.1)).responses()["subject"]
    assert steps.time.values.tolist() == [-0.1, 0.0, 0.1, 0.2] * 3
    line = {"use": "folder", "path": str(home), "axes": ",".join(AXES), "times": [-100, 100]}
    milliseconds = build("dataset", line).responses()["subject"]
    assert milliseconds.time.values.tolist() == [-100, 0, 100, 200] * 3
    numbers = Folder(home, axes=AXES).responses()["subject"]
    assert numbers.time.values.tolist() == [0, 1, 2, 3] * 3
    for block in (each, steps, milliseconds, numbers):
        np.testing.assert_array_equal(block.values, np.arange(72.0).reshape(6, 12))
        assert block.target.values.tolist() == np.repeat(["t0", "t1", "t2"], 4).tolist()
    with pytest.raises(DataError, match=r"times has 3 labels, but .* has 4 samples"):
        Folder(home, axes=AXES, times=(0.1, 0.2, 0.3)).responses()
    with pytest.raises(DataError, match=r"times labels an axis `time`, but .* target, repeat"):
        Folder(home, axes=("stimulus", "target", "repeat"), times=(0.0, 1.0)).responses()


def test_a_file_that_knows_its_times_needs_none(home):
    (home / "responses.npy").unlink()
    array = xr.DataArray(
        np.arange(6.0 * 2 * 3).reshape(6, 2, 3),
        dims=("stimulus", "time", "target"),
        coords={"time": [0.05, 0.1], "target": ["b", "a", "c"]},
        name="meg",
    )
    array.to_netcdf(home / "responses.nc")
    block = Folder(home).responses()["subject"]
    assert block.time.values.tolist() == [0.05, 0.1] * 3
    assert block.target.values.tolist() == ["a", "a", "b", "b", "c", "c"]
    here = (block.target.values == "a") & (block.time.values == 0.1)
    np.testing.assert_array_equal(block.values[:, here][:, 0], array.sel(target="a", time=0.1))


@pytest.mark.parametrize("large", [1 << 26, 1000])
def test_scores_of_made_up_meg_by_time(tmp_path, large, monkeypatch):
    """The example's recording, with a linear model: r at each time is what is known."""
    made = runpy.run_path(str(EXAMPLE))
    known = made["record"](tmp_path / "data")
    monkeypatch.setattr(opened, "LARGE", large)
    dataset = Folder(tmp_path / "data", axes=AXES, times=(made["START"], made["STEP"]))
    block = dataset.responses()["subject"]
    (call,) = dataset.split().calls(dataset.stimuli())
    ids = pd.read_csv(tmp_path / "data" / "stimuli.csv")["id"].tolist()
    train, test = block.sel(row=list(call.train)), block.sel(row=list(call.test))
    order = np.random.default_rng(0).permutation(block.shape[1])
    for name in ("early", "late"):
        features = pd.DataFrame(np.load(tmp_path / "data" / f"{name}.npy"), index=ids)
        weights = np.linalg.lstsq(features.loc[list(call.train)], train.values, rcond=None)[0]
        fitted = features.loc[list(call.test)].to_numpy() @ weights
        predicted = assemble(fitted[:, order], row_table(test), target_table(test).iloc[order])
        table = score_table({"subject": test}, {"subject": predicted}, ["pearson"], name)
        one = table.query("target == 't7' and time == 0.12")["value"].item()
        column = 7 * 40 + 11
        r = np.corrcoef(fitted[:, column], test.values[:, column])[0, 1]
        assert abs(one - r) < 1e-6
        found = table.groupby("time")["value"].mean()
        assert found.index.tolist() == known["time"].tolist()
        off = found.to_numpy() - known[name].to_numpy()
        assert np.abs(off).max() < 0.08 and abs(off.mean()) < 0.02
        strong = known[name].to_numpy() > 0.5
        assert strong.sum() >= 3 and abs(off[strong].mean()) < 0.02
        moved = test.values[np.random.default_rng(1).permutation(len(test))]
        lost = [np.corrcoef(a, b)[0, 1] for a, b in zip(fitted.T, moved.T, strict=True)]
        assert abs(np.mean(lost)) < 0.03
