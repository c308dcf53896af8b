import shutil

import numpy as np
import pytest

from striate.data import has_truth, membership, roi_names, stays_on_disk
from striate.datasets.algonauts2023 import CLASSES, Algonauts2023, to_fsaverage
from striate.datasets.algonauts2023.files import fmri_file, image_folder
from striate.datasets.algonauts2023.masks import FSAVERAGE, class_file, mapping_file, mask_file
from striate.errors import DataError, FileError, StriateError
from striate.registry import build
from striate.testing import check_dataset


@pytest.fixture
def tree(tmp_path):
    """Two subjects, of which the second lacks vertices; images without content."""
    place = tmp_path / "tree"
    Algonauts2023.twin(place, natural=False, subjects=("subj01", "subj06"))
    return place


def test_what_is_labelled(tree):
    ours = Algonauts2023(tree)
    blocks = ours.responses()
    assert list(blocks) == ["subj01", "subj06"]
    first, second = blocks.values()
    assert first.shape == (350, 760) and second.shape == (340, 725)
    for subject, block in blocks.items():
        place = tree / subject
        lh, rh = (np.load(fmri_file(place, h)) for h in ("lh", "rh"))
        train = len(lh)
        np.testing.assert_array_equal(block.values[:train], np.concatenate([lh, rh], axis=1))
        assert has_truth(block).sum() == train and np.isnan(block.values[train:]).all()
        where = [np.flatnonzero(np.load(mask_file(place, h))) for h in ("lh", "rh")]
        named = [f"{h}.{v:06d}" for h, w in zip(("lh", "rh"), where, strict=True) for v in w]
        assert list(block.target.values) == named
        assert list(block.hemisphere.values) == [n[:2] for n in named]
        assert set(block.subject.values) == {subject}
        names = sorted(p.name for p in image_folder(place, "training").iterdir())
        assert list(block.stimulus.values[:train]) == ["nsd" + n[-9:-4] for n in names]
        fraction = [
            np.load(place / f"test_split/noise_ceiling/{h}_noise_ceiling.npy") for h in ("lh", "rh")
        ]
        np.testing.assert_allclose(block.ceiling.values, np.concatenate(fraction))
        assert (block.ceiling.values == 0).sum() == 11
    shared = set(first.stimulus.values) & set(second.stimulus.values)
    assert 200 < len(shared) < 320
    both = set(first.target.values) & set(second.target.values)
    assert len(both) == second.shape[1] < first.shape[1]


def test_all_31_regions_overlap_and_some_vertices_have_none(tree):
    block = Algonauts2023(tree).responses()["subj01"]
    names = [n for group in CLASSES.values() for n in group]
    assert sorted(roi_names(block)) == sorted(names)
    table = membership(block)
    assert table["mTL-bodies"].sum() == 0 < table["EBA"].sum()
    assert (table.sum(axis=1) > 1).any() and (table.sum(axis=1) == 0).any()
    for group in CLASSES.values():
        assert table[list(group)].sum(axis=1).max() == 1
    labels = np.concatenate(
        [np.load(class_file(tree / "subj01", h, "streams")) for h in ("lh", "rh")]
    )
    np.testing.assert_array_equal(table["ventral"], labels == 5)


def test_a_shared_image_is_one_stimulus_on_one_side(tree):
    ours = Algonauts2023(tree)
    stimuli, blocks = ours.stimuli(), ours.responses()
    shown = {s for b in blocks.values() for s in b.stimulus.values}
    assert set(stimuli.ids) == shown and len(stimuli) < sum(map(len, blocks.values()))
    assert stimuli.table["part"].value_counts().to_dict() == {"train": 395, "test": 40}
    last, final = ours.split().calls(stimuli)
    assert len(last.test) == 40 and len(final.test) == 40
    assert not set(last.train) & set(last.test) and not set(final.test) & set(last.train)
    row = stimuli.table.loc[
        "nsd" + sorted(image_folder(tree / "subj06", "test").iterdir())[3].name[-9:-4]
    ]
    assert row["part"] == "test" and "/test_images/" in row["file"]


def test_who_is_tested_on_what_another_learns_is_refused(tree):
    own, others = (
        {p.name[-9:] for p in image_folder(tree / s, "training").iterdir()}
        for s in ("subj01", "subj06")
    )
    name = min(own - others)
    folder = image_folder(tree / "subj06", "test")
    shutil.copy(next(folder.iterdir()), folder / f"test-0041_nsd-{name}")
    with pytest.raises(DataError, match=rf"test-0041_nsd-{name}: subj06 .* subj01 in the other"):
        Algonauts2023(tree).stimuli()
    assert len(Algonauts2023(tree, subjects=("subj06",)).stimuli()) == 341
    told = [f for f in Algonauts2023(tree).inspect() if f.kind == "wrong"]
    assert [f.file.endswith(f"test-0041_nsd-{name}") for f in told] == [True]


def test_nothing_is_read_before_it_is_asked_for(tree, monkeypatch):
    blocks = Algonauts2023(tree).responses()
    fmri_file(tree / "subj06", "rh").write_bytes(b"")
    block = blocks["subj01"]
    assert stays_on_disk(block)
    assert stays_on_disk(block[10:20, 5:300]) and block[10:20, 5:300].shape == (10, 295)
    whole = block.values
    rows, targets = np.array([3, 349, 0, 340]), np.array([700, 1, 399, 400])
    part = block.isel(row=rows, target=targets)
    np.testing.assert_array_equal(part.values, whole[np.ix_(rows, targets)])
    with pytest.raises(FileError, match="rh_training_fmri"):
        blocks["subj06"]


def test_the_order_of_files_and_of_images_changes_nothing(tree, tmp_path):
    before = Algonauts2023(tree).responses()["subj06"].load()
    place, rng = tree / "subj06", np.random.default_rng(0)
    folder = image_folder(place, "training")
    names = sorted(p.name for p in folder.iterdir())
    order = rng.permutation(len(names))
    for new, old in enumerate(order):
        (folder / names[old]).rename(folder / f"_{new + 1:04d}{names[old][10:]}")
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace("_", "train-", 1))
    for side in ("lh", "rh"):
        path = fmri_file(place, side)
        np.save(path, np.asarray(np.load(path)[order], order="F" if side == "lh" else "C"))
    after = Algonauts2023(tree).responses()["subj06"]
    assert list(after.row.values) != list(before.row.values)
    np.testing.assert_array_equal(after.sel(row=before.row).values, before.values)


def test_released_answers_are_rows_with_values(tmp_path):
    Algonauts2023.twin(tmp_path / "x", natural=False, subjects=("subj06",), released=True)
    place = tmp_path / "x" / "subj06"
    block = Algonauts2023(tmp_path / "x").responses()["subj06"]
    assert has_truth(block).all()
    np.testing.assert_array_equal(block.values[300:, :380], np.load(fmri_file(place, "lh", "test")))
    np.testing.assert_array_equal(block.values[[339, 2], 720], block.values[:, 720][[339, 2]])
    fmri_file(place, "rh", "test").unlink()
    block = Algonauts2023(tmp_path / "x").responses()["subj06"]
    assert np.isnan(block.values[300:, 380:]).all() and has_truth(block).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ">f4"])
def test_other_floating_numbers(tree, dtype):
    before = Algonauts2023(tree).responses()["subj06"].values
    for side in ("lh", "rh"):
        path = fmri_file(tree / "subj06", side)
        np.save(path, np.load(path).astype(dtype))
    after = Algonauts2023(tree).responses()["subj06"]
    assert after.dtype == (np.float64 if dtype is np.float64 else np.float32)
    np.testing.assert_allclose(after.values, before, atol=0.004 if dtype is np.float16 else 0)


def test_what_a_copy_may_lack(tree):
    place = tree / "subj06"
    for side in ("lh", "rh"):
        class_file(place, side, "floc-words").unlink()
        class_file(place, side, "floc-words", "fsaverage").unlink()
    mapping_file(place, "streams").unlink()
    class_file(place, "rh", "streams").unlink()
    class_file(place, "lh", "floc-faces").unlink()
    class_file(place, "lh", "floc-faces", "fsaverage").unlink()
    whole = Algonauts2023(tree).responses()
    found, first = (membership(whole[s]) for s in ("subj06", "subj01"))
    assert "OWFA" not in found and "OWFA" in first
    assert found["ventral"].iloc[380:].sum() > 5
    assert not found["OFA"].iloc[:380].any() and found["OFA"].iloc[380:].any()
    shutil.rmtree(image_folder(place, "test"))
    shutil.rmtree(place / "test_split/noise_ceiling")
    ours = Algonauts2023(tree, subjects=("subj06",))
    block = ours.responses()["subj06"]
    assert len(block) == 300 and "ceiling" not in block.coords
    assert ours.ceilings().empty and ours.official_score({"subj06": block}, {"subj06": block}) == {}
    with pytest.raises(FileError, match=r"no images in .*test_images.*order"):
        Algonauts2023(tree).submission_warnings()
    assert not (tree / "out").exists()
    fmri_file(place, "lh").unlink()
    block = ours.responses()["subj06"]
    assert set(block.hemisphere.values) == {"rh"}
    with pytest.raises(FileError, match="lh_training_fmri"):
        Algonauts2023(tree, ("subj06",), ("lh", "rh")).responses()["subj06"]
    fmri_file(place, "rh").unlink()
    with pytest.raises(FileError, match=r"lh_training_fmri.*leave subj06 out"):
        ours.responses()["subj06"]


def test_one_hemisphere_or_subject_alone(tree):
    whole = Algonauts2023(tree).responses()["subj06"]
    mask_file(tree / "subj06", "lh").unlink()
    with pytest.raises(FileError, match=r"no .*lh.all-vertices.*dataset.hemispheres"):
        Algonauts2023(tree).responses()["subj06"]
    right = Algonauts2023(tree, hemispheres=("rh",), subjects=("subj06",))
    assert right.responses()["subj06"].identical(whole[:, 380:])
    made = build("dataset", {"use": "algonauts2023", "path": str(tree), "subjects": "subj06"})
    assert made.subjects == ("subj06",)
    with pytest.raises(StriateError, match="unknown subject 'subj07'"):
        Algonauts2023(tree, subjects=("subj07",)).responses()
    with pytest.raises(FileError, match=r"algonautsproject.com"):
        Algonauts2023(tree / "subj01").stimuli()
    shutil.rmtree(image_folder(tree / "subj01", "training"))
    with pytest.raises(FileError, match="names say what was"):
        Algonauts2023(tree).responses()["subj01"]


def test_ceilings_in_percent_from_a_folder(tree):
    own = Algonauts2023(tree)
    given = Algonauts2023(tree, noise_ceilings=tree / "noise_ceilings")
    assert set(own.ceilings()["unit"]) == {"fraction"}
    assert set(given.ceilings()["unit"]) == {"percent"}
    columns = ["mean", "median", "zeros", "vertices"]
    np.testing.assert_allclose(given.ceilings()[columns], own.ceilings()[columns], rtol=1e-6)
    one, other = (d.responses()["subj06"].ceiling.values for d in (own, given))
    np.testing.assert_allclose(one, other, atol=1e-7)
    lh = tree / "noise_ceilings/subj06/lh.npy"
    np.save(lh, np.load(lh) / 100)
    with pytest.raises(DataError, match=r"subj01/lh.npy is in percent, but .*subj06/lh.npy"):
        given.responses()["subj01"]
    np.save(lh, np.ones(10) * 50)
    with pytest.raises(DataError, match="10 ceilings for 380 vertices"):
        given.responses()["subj06"]
    lh.unlink()
    with pytest.raises(FileError, match=r"no .*subj06/lh.npy"):
        given.responses()["subj06"]


def test_coordinates(tree):
    pytest.importorskip("nilearn")
    block = Algonauts2023(tree, surface="pial").responses()["subj06"]
    vertex = np.array([int(t[3:]) for t in block.target.values])
    known = vertex < 10_242
    assert np.isfinite(block.x.values[known]).all() and np.isnan(block.y.values[~known]).all()
    left = block.hemisphere.values == "lh"
    assert block.x.values[known & left].mean() < -10 < 10 < block.x.values[known & ~left].mean()


def test_maps_on_fsaverage(tree):
    ours = Algonauts2023(tree)
    block = ours.responses()["subj06"][:, 380:]
    mask = ours.mask("subj06", "rh")
    whole = to_fsaverage(block.ceiling.values, mask, np.nan)
    assert whole.shape == (FSAVERAGE,) and mask.sum() == 345
    at = int(block.target.values[17][3:])
    assert whole[at] == block.ceiling.values[17]
    with pytest.raises(DataError, match="unknown subject"):
        ours.mask("subj02", "lh")


def test_the_contract(tree):
    check_dataset(Algonauts2023(tree))
