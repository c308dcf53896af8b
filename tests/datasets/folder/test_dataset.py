import zipfile

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from files.test_arrays import save, save_v73
from media.made_films import film, tone
from media.made_films import sound as make_sound
from striate.data import digest, has_truth, roi_names, target_table
from striate.datasets.check import summary
from striate.datasets.folder import Folder
from striate.errors import DataError, FileError, RecipeError, StriateError
from striate.registry import build
from striate.splits import KFold, Parts, leak_units


def images(folder, count=5, start=1, kind="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        Image.new("RGB", (4, 4), (k, 0, 0)).save(folder / f"im{start + k}.{kind}")


def values(rows=5, targets=3):
    return np.random.default_rng(rows * targets).normal(size=(rows, targets))


@pytest.fixture
def home(tmp_path):
    """Twelve images, in whose natural order im9 comes before im10, and three targets."""
    images(tmp_path / "images", 12)
    np.save(tmp_path / "responses.npy", values(12))
    return tmp_path


def test_images_pair_with_rows_in_natural_order(home):
    found = Folder(home)
    assert found.stimuli().ids == tuple(f"im{k}" for k in range(1, 13))
    block = found.responses()["subject"]
    np.testing.assert_array_equal(block.sel(row="im10").values, values(12)[9])
    assert list(block.target.values) == ["t0", "t1", "t2"]
    assert isinstance(found.split(), KFold)
    assert build("dataset", {"use": "folder", "path": str(home)}) == Folder(str(home))
    made = build("dataset", {"use": "folder", "path": str(home), "axes": "target,stimulus"})
    assert made.axes == ("target", "stimulus")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    axes=st.permutations(["stimulus", "target", "time", "repeat"]),
    drop=st.sets(st.sampled_from(["target", "time", "repeat"])),
    kind=st.sampled_from([".npy", ".npz", ".mat", ".nc", ".h5", "v7.3"]),
)
def test_every_order_of_axes(tmp_path_factory, axes, drop, kind):
    home = tmp_path_factory.mktemp("f")
    images(home / "images", 5)
    sizes = {"stimulus": 5, "target": 3, "time": 2, "repeat": 4}
    axes = [a for a in axes if a not in drop]
    array = xr.DataArray(
        np.random.default_rng(0).normal(size=[sizes[a] for a in axes]), dims=axes, name="responses"
    )
    if kind == "v7.3":
        save_v73(home / "responses.mat", responses=array.values)
    else:
        save(home / f"responses{kind}", array.values)
    block = Folder(home, axes=tuple(axes)).responses()["subject"]
    for absent in drop:
        array = array.expand_dims(absent)
    want = array.transpose("stimulus", "target", "time", "repeat").values
    want = want.reshape(5, -1, want.shape[-1])
    want = want[..., 0] if "repeat" in drop else want
    np.testing.assert_array_equal(block.values, want)
    times = 1 if "time" in drop else 2
    assert block.dims == (("row", "target") if "repeat" in drop else ("row", "target", "repeat"))
    assert ("time" in block.coords) == (times == 2)
    if times == 2:
        assert list(block.time.values[:3]) == ([0, 1] if "target" in drop else [0, 1, 0])


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1000), rows=st.integers(2, 6), targets=st.integers(1, 5))
def test_shuffling_lines_rows_and_targets_changes_nothing(tmp_path_factory, seed, rows, targets):
    home, rng = tmp_path_factory.mktemp("f"), np.random.default_rng(seed)
    images(home / "images", rows)
    array = values(rows, targets)
    lines = pd.DataFrame({"file": [f"im{k + 1}.png" for k in range(rows)], "row": range(rows)})
    about = pd.DataFrame(
        {
            "target": [f"v{k}" for k in range(targets)],
            "column": range(targets),
            "roi": ["V1;V2" if k % 2 else "V1" for k in range(targets)],
        }
    )
    found = []
    for shuffled in (False, True):
        r = rng.permutation(rows) if shuffled else np.arange(rows)
        c = rng.permutation(targets) if shuffled else np.arange(targets)
        np.save(home / "responses.npy", array[r][:, c])
        mine = lines.assign(row=np.argsort(r)).iloc[rng.permutation(rows)]
        mine.to_csv(home / "stimuli.csv", index=False)
        also = about.assign(column=np.argsort(c)).iloc[rng.permutation(targets)]
        also.to_csv(home / "targets.csv", index=False)
        one = Folder(home, axes=("stimulus", "target"))
        found.append((one.stimuli().table, one.responses()["subject"]))
    pd.testing.assert_frame_equal(found[0][0], found[1][0])
    xr.testing.assert_identical(found[0][1], found[1][1])
    assert digest(found[0][1]) == digest(found[1][1])


def test_swapped_axes_name_the_fix(home):
    np.save(home / "responses.npy", values(12).T)
    with pytest.raises(DataError) as caught:
        Folder(home).responses()
    assert "3 rows" in str(caught.value) and "has 12" in str(caught.value)
    assert "axes look swapped: pass dataset.axes=target,stimulus" in str(caught.value)
    block = Folder(home, axes=("target", "stimulus")).responses()["subject"]
    np.testing.assert_array_equal(block.values, values(12))
    np.save(home / "responses.npy", values(12))
    with pytest.raises(DataError, match=r"axes look swapped: pass dataset.axes=stimulus,target"):
        Folder(home, axes=("target", "stimulus")).responses()


def test_counts_that_differ_are_both_told(home):
    np.save(home / "responses.npy", values(11))
    with pytest.raises(DataError, match=r"11 rows .* folder of images .* has 12"):
        Folder(home).responses()


def test_a_square_array_must_say_its_axes(home):
    np.save(home / "responses.npy", values(12, 12))
    with pytest.raises(DataError, match="either axis could be the stimuli"):
        Folder(home).responses()
    block = Folder(home, axes=("stimulus", "target")).responses()["subject"]
    np.testing.assert_array_equal(block.values, values(12, 12))


def test_three_axes_must_be_said(home):
    np.save(home / "responses.npy", np.zeros((3, 12, 2)))
    with pytest.raises(DataError, match=r"\(3, 12, 2\).*dataset.axes=target,stimulus,repeat"):
        Folder(home).responses()
    for axes in (("stimulus", "voxel", "x"), ("target", "repeat"), ("stimulus", "stimulus")):
        with pytest.raises(DataError, match=r"axis|axes"):
            Folder(home, axes=axes).responses()


def test_missing_responses_are_counted_and_located(home):
    array = values(12)
    array[4, 1] = array[7, 1] = np.nan
    np.save(home / "responses.npy", array)
    with pytest.raises(DataError, match=r"2 of 36 .* im5, im8 and targets t1.*missing=keep"):
        Folder(home).responses()
    assert np.isnan(Folder(home, missing="keep").responses()["subject"].values).sum() == 2
    array[0, 0] = np.inf
    np.save(home / "responses.npy", array)
    with pytest.raises(DataError, match="infinite"):
        Folder(home, missing="keep").responses()


def test_missing_repeats_are_no_missing_responses(home):
    array = np.random.default_rng(0).normal(size=(12, 3, 4))
    array[2, 1, :3] = np.nan
    np.save(home / "responses.npy", array)
    ours = Folder(home, axes=("stimulus", "target", "repeat"))
    assert ours.responses()["subject"].shape == (12, 3, 4)
    array[2, 1] = np.nan
    np.save(home / "responses.npy", array)
    with pytest.raises(DataError, match=r"1 of 36 responses are NaN in every repeat.*im3.*t1"):
        ours.responses()


def test_labelled_tables_align_by_label(home):
    array, order = values(12), np.random.default_rng(1).permutation(12)
    names = [f"im{k + 1}.png" for k in order]
    (home / "responses.npy").unlink()
    table = pd.DataFrame(array[order], columns=["v10", "v9", "v1"])
    table.insert(0, "file", names)
    table.to_csv(home / "responses.csv", index=False)
    block = Folder(home).responses()["subject"]
    assert list(block.target.values) == ["v1", "v9", "v10"]
    np.testing.assert_allclose(block.values, array[:, [2, 1, 0]])
    pd.DataFrame({"target": ["v9", "v10", "v1"], "roi": ["a", "b", ""]}).to_csv(
        home / "targets.csv", index=False
    )
    block = Folder(home).responses()["subject"]
    assert block["roi:b"].values.tolist() == [False, False, True]
    table["file"] = ["nobody.png", *names[1:]]
    table.to_csv(home / "responses.csv", index=False)
    with pytest.raises(DataError, match=r"nobody.png"):
        Folder(home).responses()


def test_rows_labelled_without_images_or_table(tmp_path):
    pd.DataFrame({"id": ["b", "a"], "v": [1.0, 2.0]}).to_csv(
        tmp_path / "responses.csv", index=False
    )
    found = Folder(tmp_path)
    assert found.stimuli().ids == ("a", "b")
    assert found.responses()["subject"].values.ravel().tolist() == [2.0, 1.0]
    array = xr.DataArray(
        [[1.0, 2.0]],
        dims=("stimulus", "target"),
        coords={"stimulus": ["a"], "target": ["y", "x"], "hemisphere": ("target", ["lh", "rh"])},
        name="r",
    )
    (tmp_path / "responses.csv").unlink()
    array.to_netcdf(tmp_path / "responses.nc")
    block = Folder(tmp_path).responses()["subject"]
    assert block.sel(target="x").values == 2.0 and list(block.hemisphere.values) == ["rh", "lh"]
    (tmp_path / "responses.nc").unlink()
    np.save(tmp_path / "responses.npy", values())
    for method in (Folder(tmp_path).stimuli, Folder(tmp_path).responses):
        with pytest.raises(FileError, match=r"no images, films or sounds in .* and no stimuli.csv"):
            method()


def test_a_block_saved_as_netcdf_comes_back(home):
    about = pd.DataFrame({"subject": ["ann", "bob", "ann"], "roi": ["a", "b", "a;b"]})
    about.to_csv(home / "targets.csv", index=False)
    blocks = Folder(home).responses()
    (home / "responses.npy").unlink()
    (home / "targets.csv").unlink()
    (home / "responses").mkdir()
    for subject, block in blocks.items():
        block[::-1].to_netcdf(home / "responses" / f"{subject}.nc")
    for subject, block in Folder(home).responses().items():
        assert block.equals(blocks[subject])
        assert set(roi_names(block)) == {"a", "b"}
        pd.testing.assert_frame_equal(
            target_table(block), target_table(blocks[subject]), check_like=True, check_dtype=False
        )


def test_hidden_tests_are_rows_without_values(home):
    part = ["train"] * 9 + ["test"] * 3
    table = pd.DataFrame({"file": [f"im{k + 1}.png" for k in range(12)], "part": part})
    table.to_csv(home / "stimuli.csv", index=False)
    np.save(home / "responses.npy", values(9))
    found = Folder(home)
    block = found.responses()["subject"]
    assert has_truth(block).tolist() == [True] * 9 + [False] * 3
    assert isinstance(found.split(), Parts)
    call = found.split().calls(found.stimuli())[0]
    assert call.test == ("im10", "im11", "im12")
    table.assign(row=[*range(9), "", "", ""]).to_csv(home / "stimuli.csv", index=False)
    np.testing.assert_array_equal(Folder(home).responses()["subject"].values, block.values)
    np.save(home / "responses.npy", values(12))
    table.to_csv(home / "stimuli.csv", index=False)
    assert has_truth(Folder(home).responses()["subject"]).all()
    table.assign(part="train", row=[*range(11), ""]).to_csv(home / "stimuli.csv", index=False)
    np.save(home / "responses.npy", values(11))
    with pytest.raises(DataError, match="im12 has no row"):
        Folder(home).responses()


def test_presentations_of_one_stimulus_are_rows_of_their_own(home):
    table = pd.DataFrame(
        {"file": ["im1.png", "im2.png", "im1.png"], "session": ["a", "a", "b"], "class": "x"}
    )
    table.to_csv(home / "stimuli.csv", index=False)
    np.save(home / "responses.npy", values(3, 2))
    found = Folder(home)
    assert found.stimuli().ids == ("im1", "im2")
    assert "session" not in found.stimuli().table and "class" in found.stimuli().table
    block = found.responses()["subject"]
    assert list(block.row.values) == ["im1#1", "im1#2", "im2"]
    assert list(block.stimulus.values) == ["im1", "im1", "im2"]
    assert list(block.session.values) == ["a", "b", "a"]
    np.testing.assert_array_equal(block.values, values(3, 2)[[0, 2, 1]])


def test_subjects_who_saw_different_images(home):
    (home / "responses.npy").unlink()
    (home / "responses").mkdir()
    np.save(home / "responses" / "ann.npy", values(3, 2))
    np.save(home / "responses" / "bob.npy", values(4, 3))
    lines = [("ann", f"im{k}.png") for k in (3, 1, 2)] + [
        ("bob", f"im{k}.png") for k in (2, 5, 4, 1)
    ]
    table = pd.DataFrame(lines, columns=["subject", "file"])
    table.to_csv(home / "stimuli.csv", index=False)
    about = pd.DataFrame(
        {"subject": ["ann"] * 2 + ["bob"] * 3, "target": [*"ab", *"abc"], "ceiling": 0.5}
    )
    about.to_csv(home / "targets.csv", index=False)
    found = Folder(home)
    blocks = found.responses()
    assert list(blocks) == ["ann", "bob"]
    assert found.stimuli().ids == ("im1", "im2", "im3", "im4", "im5")
    np.testing.assert_array_equal(blocks["ann"].sel(row="im3").values, values(3, 2)[0])
    np.testing.assert_array_equal(blocks["bob"].sel(row="im1").values, values(4, 3)[3])
    assert set(blocks["bob"].subject.values) == {"bob"}
    table.assign(subject="eve").to_csv(home / "stimuli.csv", index=False)
    with pytest.raises(DataError, match="unknown subject 'eve'"):
        found.responses()


def test_one_file_of_several_subjects(home):
    about = pd.DataFrame({"subject": ["ann", "bob", "ann"], "target": ["a", "a", "b"]})
    about.to_csv(home / "targets.csv", index=False)
    blocks = Folder(home).responses()
    assert {s: b.shape for s, b in blocks.items()} == {"ann": (12, 2), "bob": (12, 1)}
    np.testing.assert_array_equal(blocks["bob"].values[:, 0], values(12)[:, 1])


def test_labels_of_targets(home):
    about = pd.DataFrame(
        {
            "target": ["a", "b", "c"],
            "roi": ["V1; V2", "", "V2"],
            "roi:big": ["true", "0", "1"],
            "hemisphere": ["lh", "rh", "rh"],
            "x": [1, 2, 3.5],
            "ceiling": [0.1, 0.2, ""],
        }
    )
    about.to_csv(home / "targets.csv", index=False)
    block = Folder(home).responses()["subject"]
    assert set(roi_names(block)) == {"V1", "V2", "big"}
    assert block["roi:V2"].values.tolist() == [True, False, True]
    table = target_table(block)
    assert table["x"].tolist() == [1, 2, 3.5] and np.isnan(table["ceiling"].iloc[2])
    for wrong, told in (
        (about.iloc[:2], "describes 2 targets, but .* has 3"),
        (about.assign(ceiling=60), "divide percentages by 100"),
        (about.assign(x="left"), "must hold numbers, but holds left"),
        (about.assign(column=[1, 2, 3]), "count from 0, not from 1"),
        (about.assign(target="a"), "targets repeat"),
        (about.rename(columns={"roi:big": "roi:x"}).assign(**{"roi:x": "some"}), "true or false"),
    ):
        wrong.to_csv(home / "targets.csv", index=False)
        with pytest.raises(DataError, match=told):
            Folder(home).responses()


@pytest.mark.parametrize(
    "table, told",
    [
        ({"file": ["im1.png"] * 5}, r"12 rows .* but .*stimuli.csv has 5"),
        ({"file": [*(f"im{k}.png" for k in range(1, 12)), "gone.png"]}, "gone.png"),
        ({"note": range(12)}, "neither a column `file` nor"),
        ({"file": [f"im{k}" for k in range(1, 13)], "row": range(1, 13)}, "not from 1"),
        ({"id": ["a", *(f"im{k}" for k in range(2, 13))]}, "no files in .*: a"),
        ({"file": [""] * 12}, "names no stimulus"),
        ({"file": ["im1.png"] * 12, "part": ["test", *["train"] * 11]}, "several values of 'part'"),
    ],
)
def test_bad_stimulus_tables_are_one_sentence(home, table, told):
    pd.DataFrame(table).to_csv(home / "stimuli.csv", index=False)
    before = sorted(home.rglob("*"))
    with pytest.raises(StriateError, match=told):
        found = Folder(home)
        found.stimuli(), found.responses()
    assert sorted(home.rglob("*")) == before


def test_files_are_found_by_path_name_or_stem(home):
    images(home / "images" / "more", 1, start=20)
    cells = ["images/im1.png", "im2", "im3.png", "more/im20.png"]
    pd.DataFrame({"file": cells, "group": ["g", "g", "", ""]}).to_csv(
        home / "stimuli.tsv", index=False, sep="\t"
    )
    np.save(home / "responses.npy", values(4, 2))
    stimuli = Folder(home).stimuli()
    assert stimuli.ids == ("im1", "im2", "im3", "im20")
    assert leak_units(stimuli).tolist() == ["im1", "im1", "im3", "im20"]


def test_stems_that_clash_become_paths(tmp_path):
    images(tmp_path / "images" / "a", 1)
    images(tmp_path / "images" / "b", 1)
    images(tmp_path / "images" / "b", 1, start=7)
    images(tmp_path / "images" / "b", 1, start=7, kind="bmp")
    np.save(tmp_path / "responses.npy", values(4))
    assert Folder(tmp_path).stimuli().ids == ("a/im1", "b/im1", "b/im7.bmp", "b/im7.png")


def test_images_beside_the_responses_or_in_an_archive(home, tmp_path_factory):
    want = Folder(home).responses()["subject"]
    with zipfile.ZipFile(home / "images.zip", "w") as archive:
        for file in (home / "images").iterdir():
            archive.write(file, f"pictures/{file.name}")
    zipped = Folder(home, images="images.zip")
    assert zipped.stimuli().ids[8:10] == ("im9", "im10")
    assert zipped.stimuli().table["file"].iloc[0].endswith("images.zip::pictures/im1.png")
    xr.testing.assert_identical(zipped.responses()["subject"], want)
    ids = zipped.stimuli().ids
    for file in (home / "images").iterdir():
        file.rename(home / file.name)
    (home / "images").rmdir()
    (home / "images.zip").unlink()
    assert Folder(home).stimuli().ids == ids


def test_files_that_are_not_there(home, tmp_path_factory, monkeypatch):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(FileError, match="no folder"):
        Folder(empty / "nowhere").responses()
    images(empty / "images")
    with pytest.raises(FileError, match=r"must hold one responses\.\*.*holds images"):
        Folder(empty).responses()
    with pytest.raises(
        FileError, match=r"no responses other.npy: looked for .* and .*holds images"
    ):
        Folder(home, response_file="other.npy").responses()
    np.savez(home / "responses.npz", a=values(12))
    with pytest.raises(FileError, match=r"responses.npy, responses.npz: name the file"):
        Folder(home).responses()
    monkeypatch.chdir(home)
    (home / "sub").mkdir()
    ours = Folder("sub", images="images", response_file="responses.npy")
    assert ours.responses()["subject"].shape == (12, 3)


def test_rules_for_leak_groups(home):
    def units(rule):
        return leak_units(Folder(home, group=rule).stimuli()).tolist()

    assert units("pairs:6") == [f"im{k}" for k in [1, 2, 3, 4, 5, 6]] * 2
    assert units(r"regex:im(\d)") == ["im1", *(f"im{k}" for k in range(2, 10)), *["im1"] * 3]
    assert units(r"regex:im1(\d)") == [f"im{k}" for k in range(1, 13)]
    for rule in ("pairs:12", "pairs:x", "regex:im", "regex:(", "regex:(zebra)", "colour"):
        with pytest.raises(RecipeError):
            units(rule)


def test_a_matlab_file_keeps_trailing_axes_and_single_targets(home):
    (home / "responses.npy").unlink()
    save(home / "responses.mat", values(12)[:, :, None])
    ours = Folder(home, axes=("stimulus", "target", "repeat"))
    assert ours.responses()["subject"].shape == (12, 3, 1)
    save(home / "responses.mat", values(12, 1))
    assert Folder(home, axes=("stimulus",)).responses()["subject"].shape == (12, 1)


V4 = [
    ("201025", ("target", "stimulus"), "", (1200, 89)),
    ("190923", ("target", "stimulus"), "", (1200, 33)),
    ("201016", ("target", "stimulus", "repeat"), "responses_raw.npy", (600, 82, 10)),
]


@pytest.mark.parametrize("session, axes, file, shape", V4)
def test_recordings_of_v4(real_data, session, axes, file, shape):
    place = real_data / "v4" / session
    block = Folder(place, axes=axes, response_file=file).responses()["subject"]
    assert block.shape == shape
    assert block.row.values[9] == "image0010"
    given = np.load(place / "responses.npy").T
    mean = block.values if block.ndim == 2 else np.nanmean(block.values, axis=2)
    np.testing.assert_allclose(mean, given)
    with pytest.raises(DataError, match=r"look swapped|say what they are"):
        Folder(place, response_file=file).responses()


def test_altered_copies_in_v4_share_a_group(real_data):
    place = real_data / "v4" / "201016"
    stimuli = Folder(place, axes=("target", "stimulus"), group="pairs:300").stimuli()
    units = leak_units(stimuli)
    assert len(set(units)) == 300 and units["image0301"] == "image0001"


def clips(folder, names, frames=4):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        film(folder / name, frames)


def test_films_and_sounds_beside_images(tmp_path):
    images(tmp_path / "images", 2)
    clips(tmp_path / "clips", ["c10.mp4", "c9.mkv", "both.mp4"])
    (tmp_path / "sounds").mkdir()
    make_sound(tmp_path / "sounds" / "both.wav", tone(0.2, 16000), 16000, "pcm_s16le")
    np.save(tmp_path / "responses.npy", values(6))
    found = Folder(tmp_path)
    assert found.stimuli().ids == ("c9", "c10", "clips/both", "im1", "im2", "sounds/both")
    assert found.responses()["subject"].shape == (6, 3)
    lines = summary(found)
    assert lines[0].startswith("6 stimuli: 2 images, 3 films, 1 sounds")
    assert "film sizes and rates: 64 × 48 at 30 per s (3)" in lines
    assert "rates of sounds: 16000 per s (1)" in lines
    (tmp_path / "clips" / "both.mp4").write_bytes(b"damaged")
    assert "1 unreadable" in summary(found)[0] and "both.mp4" in summary(found)[0]


def test_a_film_and_a_sound_of_one_name_in_one_folder(tmp_path):
    clips(tmp_path / "stimuli", ["a.mp4"])
    make_sound(tmp_path / "stimuli" / "a.wav", tone(0.1, 16000), 16000, "pcm_s16le")
    np.save(tmp_path / "responses.npy", values(2))
    assert Folder(tmp_path).stimuli().ids == ("a.mp4", "a.wav")


def test_pieces_of_a_movie_carry_their_texts(tmp_path):
    clips(tmp_path / "videos", ["movie.mp4"], 60)
    table = pd.DataFrame(
        {
            "id": [f"movie#{k}" for k in range(4)],
            "file": "movie.mp4",
            "onset": [0.0, 0.5, 1.0, 1.5],
            "duration": 0.5,
            "movie": "movie",
            "index": range(4),
            "text": ["so it", "", "began, they said", ""],
        }
    )
    table.to_csv(tmp_path / "stimuli.csv", index=False)
    np.save(tmp_path / "responses.npy", values(4))
    stimuli = Folder(tmp_path, group="movie").stimuli()
    assert [s.text for s in stimuli.shown()] == ["so it", "", "began, they said", ""]
    assert [(s.onset, s.duration) for s in stimuli.shown()] == [(0.5 * k, 0.5) for k in range(4)]
    assert stimuli.table["index"].tolist() == [0, 1, 2, 3]
    assert leak_units(stimuli).nunique() == 1
    block = Folder(tmp_path).responses()["subject"]
    assert "text" not in block.coords and block.sizes["row"] == 4
    twice = pd.concat([table, table.assign(text="other")])
    twice.to_csv(tmp_path / "stimuli.csv", index=False)
    with pytest.raises(DataError, match="several values of 'text'"):
        Folder(tmp_path).stimuli()
