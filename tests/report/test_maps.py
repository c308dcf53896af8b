import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from files.test_brains import AFFINE, loaded, save_nifti
from striate.cli import app
from striate.data import label_responses
from striate.errors import DataError, FileError
from striate.files.places import vertex_targets, voxel_targets
from striate.machine import Machine
from striate.recipe import load_recipe
from striate.report import Report
from striate.report.maps import export_maps
from striate.run import run_recipe
from striate.scores import score_table

GRID = (4, 5, 6)
VOXELS = np.array([3, 17, 44, 90, 119])


def reported(ids, times=(), subjects=("ann",), members=("ridge", "a b", "a/b"), ceilings=True):
    """A run whose targets have these ids, shuffled."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(ids) * max(1, len(times)))
    names = np.repeat(ids, max(1, len(times)))[order]
    labels = {"ceiling": rng.uniform(0.2, 0.9, len(order))} if ceilings else {}
    if len(times):
        labels["time"] = np.tile(times, len(ids))[order]
    truth, predicted, tables = {}, {}, []
    for subject in subjects:
        about = {"subject": subject, "target_labels": labels}
        truth[subject] = label_responses(
            rng.normal(size=(20, len(order))), [f"i{k}" for k in range(20)], names, **about
        )
    for member in members:
        predicted = {s: b + rng.normal(size=b.shape) for s, b in truth.items()}
        tables.append(score_table(truth, predicted, ["pearson", "spearman"], member))
    return Report("", {"headline": "pearson"}, pd.concat(tables), predicted=predicted)


def wanted(report, member, quantity="value", score="pearson", subject="ann"):
    table = report.scores.query("member == @member and score == @score and subject == @subject")
    keys = ["target", "time"] if "time" in table else "target"
    return table.set_index(keys)[quantity]


def voxels():
    return list(voxel_targets(VOXELS, GRID, AFFINE).index)


@pytest.fixture
def mask(tmp_path):
    inside = np.zeros(GRID, "uint8")
    inside.ravel()[VOXELS] = 1
    return save_nifti(tmp_path / "mask.nii.gz", inside)


@pytest.mark.parametrize("kind", ["", ".nii", ".mgz"])
def test_voxels_become_volumes(tmp_path, mask, kind):
    report = reported(voxels())
    told = pd.read_csv(export_maps(report, tmp_path / "out", like=mask, kind=kind))
    made = {p.name for p in (tmp_path / "out").iterdir()} - {"maps.csv"}
    assert made == set(told["file"]) and len(made) == 3 * 2 + 1
    for member, name in (("ridge", "ridge"), ("a b", "a_b"), ("a/b", "a_b-2")):
        for quantity in ("value", "normalised", "ceiling"):
            suffix = {"value": "_pearson", "normalised": "_pearson_normalised"}.get(quantity)
            name_of = f"ann_{name}{suffix}" if suffix else "ann_ceiling"
            if name_of.startswith("ann_a_b-2"):
                name_of = f"ann_a_b{suffix}-2"
            image = loaded(tmp_path / "out" / f"{name_of}{kind or '.nii.gz'}")
            assert image.shape == GRID
            np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
            flat = image.get_fdata().ravel()
            want = wanted(report, member, quantity).loc[voxels()].to_numpy("float32")
            np.testing.assert_array_equal(flat[VOXELS], want)
            assert np.isnan(np.delete(flat, VOXELS)).all()
    first = told[told["member"] == "ridge"].iloc[0]
    assert (first["quantity"], first["subject"], first["map"]) == ("pearson", "ann", 0)


@pytest.mark.parametrize("kind", ["", ".gii", ".mgz"])
@pytest.mark.parametrize("last, size", [(10241, 10242), (10242, 40962), (163841, 163842)])
def test_vertices_become_surfaces(tmp_path, kind, last, size):
    left, right = np.array([0, 77, last]), np.array([5, 9])
    ids = [*vertex_targets("lh", left).index, *vertex_targets("rh", right).index]
    report = reported(ids, ceilings=False, members=["ridge"], subjects=("ann", "bob"))
    export_maps(report, tmp_path, "spearman", ["ridge"], kind=kind)
    for subject in ("ann", "bob"):
        want = wanted(report, "ridge", score="spearman", subject=subject)
        for side, vertices in (("lh", left), ("rh", right)):
            image = loaded(tmp_path / f"{side}.{subject}_ridge_spearman{kind or '.mgh'}")
            data = image.darrays[0].data if kind == ".gii" else image.get_fdata().ravel()
            assert len(data) == size and np.isnan(data).sum() == size - len(vertices)
            mine = [f"{side}.{v:06d}" for v in vertices]
            np.testing.assert_array_equal(data[vertices], want.loc[mine].to_numpy("float32"))
    assert len(list(tmp_path.iterdir())) == 5


def test_samples_in_time_are_maps_in_order(tmp_path, mask):
    times = [-0.1, 0.0, 0.25]
    report = reported(voxels(), times, members=["ridge"])
    told = pd.read_csv(export_maps(report, tmp_path / "out", like=mask, predictions=True))
    data = loaded(tmp_path / "out" / "ann_ridge_pearson.nii.gz").get_fdata()
    assert data.shape == (*GRID, 3)
    want = wanted(report, "ridge")
    for k, time in enumerate(times):
        mine = [want.loc[(v, time)] for v in voxels()]
        np.testing.assert_array_equal(data[..., k].ravel()[VOXELS], np.float32(mine))
    here = told[told["file"] == "ann_ridge_pearson.nii.gz"]
    assert here["time"].tolist() == times and here["map"].tolist() == [0, 1, 2]
    block = report.predicted["ann"]
    data = loaded(tmp_path / "out" / "ann_predictions.nii.gz").get_fdata()
    assert data.shape == (*GRID, 20 * 3)
    lines = told[told["quantity"] == "prediction"]
    assert lines["row"].tolist() == np.repeat(block.row.values, 3).tolist()
    for k in (0, 7, 59):
        line = lines.iloc[k]
        mine = block.sel(row=line["row"]).values[block.time.values == line["time"]]
        ids = block.target.values[block.time.values == line["time"]]
        place = [VOXELS[voxels().index(i)] for i in ids]
        np.testing.assert_array_equal(data[..., k].ravel()[place], np.float32(mine))


def test_what_cannot_be_drawn_is_told(tmp_path, mask):
    report = reported(voxels(), members=["ridge"])
    small = save_nifti(tmp_path / "small.nii", np.zeros((4, 5, 2), "uint8"))
    flat = tmp_path / "lh.flat.mgh"
    nib.save(nib.MGHImage(np.zeros((50, 1, 1), "float32"), np.eye(4)), flat)
    surface = reported(["lh.000003", "lh.163842"], members=["ridge"])
    for given, keywords, error, told in (
        (report, {}, DataError, "pass --like FILE, such as their mask"),
        (report, {"like": small}, DataError, r"v000_000_003.* lie outside"),
        (report, {"like": flat}, FileError, "a volume is wanted"),
        (report, {"like": mask, "score": "r2"}, DataError, "unknown score 'r2' in this run"),
        (report, {"like": mask, "members": ["x"]}, DataError, "unknown member 'x' in this run"),
        (report, {"like": mask, "kind": ".gii"}, FileError, "name a file that ends in"),
        (surface, {}, DataError, "on no fsaverage"),
        (surface, {"like": flat}, DataError, r"has 50 vertices, but one is lh\.163842"),
        (reported(["t0", "t1"]), {}, DataError, r"such as t0, t1 name no one kind of place"),
        (reported(["lh.000001", *voxels()]), {}, DataError, "name no one kind of place"),
    ):
        with pytest.raises(error, match=told):
            export_maps(given, tmp_path / "out", **keywords)
    assert not (tmp_path / "out" / "maps.csv").exists()
    big = export_maps(reported(["lh.000003"], members=["ridge"]), tmp_path / "out", like=flat)
    assert loaded(big.with_name("lh.ann_ridge_pearson.mgh")).shape == (50, 1, 1)


def test_a_run_over_volumes_is_exported(tmp_path, mask):
    rng = np.random.default_rng(0)
    home = tmp_path / "data"
    (home / "images").mkdir(parents=True)
    for k in range(40):
        Image.new("RGB", (4, 4), (k, 0, 0)).save(home / "images" / f"im{k}.png")
    features = rng.normal(size=(40, 3)).astype("float32")
    np.save(home / "features.npy", features)
    (home / "ids.txt").write_text("\n".join(f"im{k}" for k in range(40)))
    responses = np.zeros((*GRID, 40), "float32")
    responses.reshape(-1, 40)[:] = rng.normal(size=(120, 40))
    responses.reshape(-1, 40)[VOXELS] = (features @ rng.normal(size=(3, 5))).T
    save_nifti(home / "responses.nii", responses)
    (home / "mask.nii.gz").write_bytes(mask.read_bytes())
    text = f"""
        title = "Volumes"
        dataset = {{ use = "folder", path = "{home}" }}
        scores = ["pearson"]
        [features.net]
        use = "array"
        path = "{home}/features.npy"
        ids = "{home}/ids.txt"
        [[member]]
        name = "ridge"
        features = ["net"]
        encoder = {{ use = "ridge" }}
    """
    (tmp_path / "recipe.toml").write_text(text)
    machine = Machine(device="cpu", store=tmp_path / "store", quiet=True)
    run = run_recipe(load_recipe(str(tmp_path / "recipe.toml")), tmp_path / "runs", machine, "v")
    line = ["export", str(run.folder), "--out", str(tmp_path / "maps"), "--like", str(mask)]
    found = CliRunner().invoke(app, [*line, "--member", "ridge", "--predictions"])
    assert found.exit_code == 0, found.output
    assert found.output.strip().endswith("maps.csv")
    data = loaded(tmp_path / "maps" / "subject_ridge_pearson.nii.gz").get_fdata().ravel()
    assert (data[VOXELS] > 0.99).all() and np.isnan(np.delete(data, VOXELS)).all()
    predicted = loaded(tmp_path / "maps" / "subject_predictions.nii.gz").get_fdata()
    rows = pd.read_csv(tmp_path / "maps" / "maps.csv")["row"].dropna()
    assert sorted(rows) == sorted(f"im{k}" for k in range(40))
    order = rows.str.removeprefix("im").astype(int).to_numpy()
    measured = responses.reshape(-1, 40)[VOXELS][:, order]
    for one, other in zip(predicted.reshape(-1, 40)[VOXELS], measured, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.99
