import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import (
    has_truth,
    row_table,
    target_table,
)
from striate.datasets.algonauts2025 import Algonauts2025
from striate.datasets.algonauts2025 import twin as made
from striate.datasets.algonauts2025.films import chunk_count
from striate.datasets.algonauts2025.runs import Movie, on_disk, parse_key, runs_of
from striate.errors import DataError, FileError, RecipeError
from striate.files import read_object_npy, write_object_npy
from striate.registry import build
from striate.testing import check_dataset

SUBJECTS = ("sub-01", "sub-02", "sub-03", "sub-05")


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """A tree without films, its truth."""
    place = tmp_path_factory.mktemp("twin") / "algonauts2025"
    return place, made.write(place, media=False)


@pytest.fixture
def tree(twin, tmp_path):
    """A copy to be changed."""
    return shutil.copytree(twin[0], tmp_path / "tree")


def released(root):
    """The answers put beside the responses."""
    shutil.copytree(root / "answers", root / "fmri", dirs_exist_ok=True)
    return root


def test_names_of_films_and_runs():
    assert parse_key("ses-003_task-s01e02a") == (
        Movie("s01e02a", "friends", "friends-s1"),
        "003",
        "",
    )
    assert parse_key("ses-006_task-life01_run-2") == (
        Movie("life01", "movie10", "movie10-life"),
        "006",
        "2",
    )
    assert Movie.parse("chaplin1") == Movie("chaplin1", "ood", "ood-chaplin")
    for wrong in ("s1e02a", "bourne1", "chaplin01", "matrix01", "", "s01e02a_run-1"):
        assert Movie.parse(wrong) is None
    for wrong in ("task-s01e02a", "ses-1_task-", "ses-1_task-s01e02a_run-x", "x_ses-1_task-wolf01"):
        assert parse_key(wrong) is None


def test_rows_are_samples_and_stimuli_are_chunks(twin):
    place, _ = twin
    ours = Algonauts2025(place)
    stimuli, blocks = ours.stimuli(), ours.responses()
    assert tuple(blocks) == SUBJECTS
    block = blocks["sub-01"]
    table = row_table(block)
    assert list(block.target.values[[0, -1]]) == ["parcel0001", "parcel1000"]
    assert {"friends_s01e01a#0005", "life01_run-1#0007", "life01_run-2#0007"} <= set(table.index)
    twice = table.loc[["life01_run-1#0007", "life01_run-2#0007"]]
    assert twice["stimulus"].tolist() == ["life01#0007"] * 2
    assert twice["run"].tolist() == ["life01_run-1", "life01_run-2"]
    values = block.sel(row=twice.index.tolist()).values
    assert not np.allclose(values[0], values[1])
    line = stimuli.table.loc["friends_s01e02b#0011"]
    assert (line["group"], line["season"], line["index"]) == ("friends_s01e02b", "friends-s1", 11)
    assert line["onset"] == pytest.approx(11 * 1.49) and line["duration"] == 1.49
    with h5py.File(next((place / "fmri/sub-01/func").glob("*friends*.h5"))) as file:
        key = next(k for k in file if k.endswith("s01e02b"))
        want = file[key][:]
    own = np.flatnonzero(table["run"] == "friends_s01e02b")
    np.testing.assert_array_equal(block.values[own], want[5:-5])
    assert table["sample"].to_numpy()[own].tolist() == list(range(5, len(want) - 5))
    hidden = ~has_truth(block)
    assert set(table["season"][hidden]) == {"friends-s7"}
    lengths = read_object_npy(
        place / "fmri/sub-01/target_sample_number/sub-01_friends-s7_fmri_samples.npy"
    )
    assert table["movie"][hidden].value_counts().to_dict() == {
        f"friends_{s}": n for s, n in lengths.items()
    }
    counted = table.groupby("run")["scored"].sum()
    assert counted["friends_s07e01a"] == lengths["s07e01a"] - 10
    assert counted["friends_s01e02b"] == len(want) - 10
    text = stimuli.table["text"]
    assert text.map(bool).mean() > 0.5 and "nan" not in text.str.lower().tolist()


def test_missing_episodes_and_both_spellings(twin):
    blocks = Algonauts2025(twin[0]).responses()
    movies = {s: set(b.movie.values) for s, b in blocks.items()}
    assert movies["sub-01"] - movies["sub-02"] == {"friends_s05e20a"}
    assert movies["sub-03"] - movies["sub-05"] == {"friends_s04e01a"}
    assert (twin[0] / "fmri/sub-05/target_samples_number").is_dir()
    assert "friends_s07e01a" in movies["sub-05"]


@pytest.mark.parametrize("kit", [False, True])
@given(chunks=st.integers(1, 400), rest=st.floats(0.01, 0.99))
@settings(max_examples=30, deadline=None)
def test_chunks_of_a_film_are_whole(kit, chunks, rest):
    assert chunk_count((chunks + rest) * 1.49, 1.49, kit) == chunks


def test_words_before_a_chunk_may_stand_in_its_text(twin):
    plain = Algonauts2025(twin[0]).stimuli().table.query("movie == 'bourne01'")["text"].tolist()
    longer = Algonauts2025(twin[0], context=4).stimuli().table.query("movie == 'bourne01'")["text"]
    said: list[str] = []
    for own, text in zip(plain, longer, strict=True):
        assert text.split() == said[-4:] + own.split()
        said += own.split()


def test_parcels_have_places_and_networks_where_files_tell(tree):
    table = target_table(Algonauts2025(tree).responses()["sub-03"])
    assert table["hemisphere"].tolist() == ["lh"] * 500 + ["rh"] * 500
    assert (table["x"][:500] < 0).all() and (table["x"][500:] > 0).all()
    regions = [c for c in table if c.startswith("roi:")]
    assert len(regions) == 7 and (table[regions].sum(axis=1) == 1).all()
    next(tree.glob("fmri/Schaefer*")).unlink()
    for file in tree.glob("fmri/*/atlas/*"):
        file.unlink()
    table = target_table(Algonauts2025(tree).responses()["sub-03"])
    assert list(table.columns) == ["subject"]


def test_only_what_is_asked_for_is_used(twin):
    small = Algonauts2025(twin[0], subjects=(3,), train=("friends-s1", "movie10-life"), test="ood")
    assert set(small.stimuli().table["season"]) == {
        "friends-s1",
        "movie10-life",
        "ood-chaplin",
        "ood-wot",
    }
    assert set(small.responses()) == {"sub-03"}
    parts = small.stimuli().table.groupby("season")["part"].unique()
    assert parts["ood-wot"].tolist() == ["test"] and parts["movie10-life"].tolist() == ["train"]
    assert (small.stimuli().table.query("season == 'ood-chaplin'")["text"] == "").all()
    with pytest.raises(RecipeError, match=r"'movie11' is no part"):
        Algonauts2025(twin[0], train=("movie11",))
    with pytest.raises(FileError, match="holds no responses"):
        Algonauts2025(twin[0], subjects=(4,)).responses()
    with pytest.raises(RecipeError, match="above 0"):
        Algonauts2025(twin[0], tr=0.0)


def test_what_is_not_there(tmp_path, tree):
    with pytest.raises(FileError, match=r"datalad|courtois-neuromod"):
        Algonauts2025(tmp_path / "nowhere").stimuli()
    shutil.rmtree(tree / "stimuli")
    for place in tree.glob("fmri/*/target_sample*"):
        shutil.rmtree(place)
    ours = Algonauts2025(tree)
    assert has_truth(ours.responses()["sub-01"]).all()
    assert (ours.stimuli().table["file"] == "").all()
    with pytest.raises(FileError, match="does not tell how many samples friends-s7"):
        ours.write_submission(ours.responses(), tmp_path / "out")
    inner = tmp_path / "above"
    inner.mkdir()
    shutil.move(tree, inner / "algonauts_2025.competitors")
    assert tuple(Algonauts2025(inner).responses()) == SUBJECTS


def test_the_order_of_keys_and_files_does_not_matter(tree):
    want = Algonauts2025(tree).responses()["sub-01"].load()
    file = next((tree / "fmri/sub-01/func").glob("*friends*.h5"))
    other = file.with_name(file.name.replace("s123456", "more"))
    with h5py.File(file) as old:
        runs = {k: old[k][:] for k in old}
    file.unlink()
    turned = list(runs)[::-1]
    for path, keys in ((file, turned[::2]), (other, turned[1::2])):
        with h5py.File(path, "w", track_order=True) as new:
            for key in keys:
                new.create_dataset(key, data=runs[key], compression="gzip", chunks=(7, 100))
    place = tree / "fmri/sub-01/target_sample_number/sub-01_friends-s7_fmri_samples.npy"
    write_object_npy(place, dict(reversed(read_object_npy(place).items())))
    assert Algonauts2025(tree).responses()["sub-01"].load().identical(want)


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_rows_and_targets_are_read_as_they_are_stored(twin, data):
    runs = runs_of(twin[0], "sub-02")[:4]
    cut = [
        (r, data.draw(st.integers(0, 5)), r.samples - data.draw(st.integers(0, 5))) for r in runs
    ]
    stored = on_disk(cut)
    whole = []
    for run, first, stop in cut:
        with h5py.File(run.file) as file:
            whole.append(file[run.key][first:stop])
    want = np.concatenate(whole)
    assert stored.shape == want.shape
    rows = data.draw(st.lists(st.integers(0, len(want) - 1), max_size=12))
    targets = data.draw(st.lists(st.integers(0, 999), min_size=1, max_size=5))
    found = stored.read(np.array(rows, dtype=int), np.array(targets))
    np.testing.assert_array_equal(found, want[np.ix_(rows, targets)])


def test_what_the_readers_refuse(tree):
    ours = Algonauts2025(tree)
    file = next((tree / "fmri/sub-01/func").glob("*movie10*.h5"))
    for key, shape, dtype, told in (
        ("ses-001_task-matrix01", (40, 1000), "f4", "'ses-001_task-matrix01' is no run"),
        ("ses-001_task-wolf02", (1000, 40), "f4", "axes are swapped"),
        ("ses-001_task-wolf02", (40, 400), "f4", r"shape \(40, 400\)"),
        ("ses-001_task-wolf02", (40, 1000), "i4", "int32"),
        ("ses-009_task-wolf01", (40, 1000), "f4", "a second time"),
    ):
        with h5py.File(file, "a") as opened:
            opened.create_dataset(key, shape, dtype)
        with pytest.raises(DataError, match=told):
            ours.responses()
        with h5py.File(file, "a") as opened:
            del opened[key]
    place = tree / "fmri/sub-01/target_sample_number/sub-01_friends-s7_fmri_samples.npy"
    for content, told in (
        ([1, 2], "must hold a dictionary"),
        ({}, "must hold a dictionary"),
        ({"s06e01a": 40}, "no film of friends-s7"),
        ({"s07e01a": 0}, "has 0 samples"),
        ({"s07e01a": 40.5}, "has 40.5 samples"),
        ({"s07e01a": True}, "has True samples"),
    ):
        write_object_npy(place, content)
        with pytest.raises(DataError, match=told):
            ours.responses()
    released(tree)
    write_object_npy(place, {"s07e01a": 99})
    with pytest.raises(DataError, match=r"s07e01a has \d+ samples, but .* asks for 99"):
        ours.responses()


def test_whole_seasons_are_held_out(twin):
    ours = Algonauts2025(twin[0])
    stimuli = ours.stimuli()
    held, final = ours.split().calls(stimuli)
    season = stimuli.table["season"]
    assert set(season[list(held.test)]) == {"friends-s6"} and held.name == "held out"
    assert not {"friends-s6", "friends-s7"} & set(season[list(held.train)])
    assert set(season[list(final.test)]) == {"friends-s7"}
    assert set(final.train) == set(held.train) | set(held.test)
    folds = Algonauts2025(twin[0], validation=("friends-s7",)).split().calls(stimuli)
    movie = stimuli.table["movie"]
    assert [c.name for c in folds] == [*(f"fold{k}" for k in range(5)), "final"]
    for call in folds:
        assert not set(movie[list(call.train)]) & set(movie[list(call.test)])
    named = build("split", {"use": "heldout", "label": "season", "values": ["friends-s6"]})
    assert named.calls(stimuli) == ours.split().calls(stimuli)
    small = Algonauts2025(twin[0], validation=("movie10-life", "friends-s1"))
    held = small.split().calls(stimuli)[0]
    assert set(season[list(held.test)]) == {"movie10-life", "friends-s1"}


def test_the_contract(twin):
    check_dataset(Algonauts2025(twin[0], train=("friends-s1", "movie10")))


def test_a_run_that_has_vanished_is_an_error(tree):
    block = Algonauts2025(tree).responses()["sub-01"]
    file = next((tree / "fmri/sub-01/func").glob("*movie10*.h5"))
    with h5py.File(file, "a") as opened:
        del opened[next(iter(opened))]
    with pytest.raises(FileError, match="changed while it was read"):
        _ = block.values
