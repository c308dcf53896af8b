import json
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest

from striate.datasets import made_films
from striate.datasets.bold_moments import BoldMoments, shown
from striate.datasets.bold_moments import twin as twins
from striate.errors import DataError, FileError
from striate.machine import Machine, using
from striate.media import film_facts
from striate.recipe import load_recipe
from striate.run import run_recipe


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    with pytest.MonkeyPatch.context() as patch, using(Machine(store=folder / "s", quiet=True)):
        plan = {"train": 22, "test": 4, "pixels": 32, "voxels": 3, "A": 3, "B": 3}
        patch.setitem(twins.SIZES, "tiny", plan)
        twins.write(folder / "bmd", versions=("A",))
        yield folder / "bmd"


def ours(place, **fields):
    return BoldMoments(place, version="A", **fields)


def test_films_are_found_and_show_what_was_planted(twin):
    table = ours(twin).stimuli().table
    assert table["file"].str.endswith(".mp4").all() and len(table) == 26
    found = [film_facts(f) for f in table["file"]]
    assert {f.rate for f in found} == set(twins.FRAMES["tiny"])
    assert [f.sound_rate is None for f in found] == [k % twins.SILENT == 0 for k in range(26)]
    assert all(f.seconds == pytest.approx(3, abs=0.2) for f in found)
    ids = pd.read_csv(twin / "ids.csv")["id"].tolist()
    for kind in ("early", "motion", "sound"):
        seen = np.stack([made_films.seen(table["file"][i])[kind] for i in ids[:8]])
        planted = np.load(twin / f"features_{kind}.npy")[:8]
        for one, other in zip(seen.T, planted.T, strict=True):
            assert np.corrcoef(one, other)[0, 1] > 0.999


def test_films_elsewhere_in_an_archive_or_missing(twin, tmp_path):
    copy = shutil.copytree(twin, tmp_path / "copy")
    elsewhere = shutil.move(copy / "mp4_h264", tmp_path / "films")
    assert (ours(copy).stimuli().table["file"] == "").all()
    table = ours(copy, stimuli_path=elsewhere).stimuli().table
    assert table["file"]["vid1004"].endswith("1004.mp4")
    with zipfile.ZipFile(copy / "mp4_h264.zip", "w") as archive:
        for file in sorted(elsewhere.iterdir()):
            archive.write(file, f"mp4_h264/{file.name}")
    table = ours(copy).stimuli().table
    assert table["file"]["vid0007"].endswith("mp4_h264.zip::mp4_h264/0007.mp4")
    with pytest.raises(FileError, match="nowhere"):
        ours(copy, stimuli_path=tmp_path / "nowhere").stimuli()
    shutil.copy(elsewhere / "0001.mp4", elsewhere / "0002_b.mp4")
    with pytest.raises(FileError, match="both film 2"):
        ours(copy, stimuli_path=elsewhere).stimuli()
    (tmp_path / "other").mkdir()
    shutil.copy(elsewhere / "0001.mp4", tmp_path / "other" / "a.mp4")
    with pytest.raises(FileError, match=r"0001\.mp4 to 1102\.mp4"):
        ours(copy, stimuli_path=tmp_path / "other").stimuli()


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("0001.mp4", 1),
        ("a/b/1102.mp4", 1102),
        ("x.zip::mp4_h264/0020.mp4", 20),
        ("vid0042.mp4", 42),
        ("0033_yoga-9.mp4", 33),
        ("0000.mp4", None),
        ("1103.mp4", None),
        ("00012.mp4", None),
        ("0001.txt", None),
        ("frame_0001.mp4", None),
    ],
)
def test_numbers_of_films(name, number):
    assert shown.film_number(name) == number


def test_annotations_become_labels(twin, tmp_path):
    place = twin
    table = ours(place, labels=("memorability_score", "objects")).stimuli().table
    assert table["memorability_score"].between(0.5, 1).all()
    assert set(table["objects"]) == {"leaves", "stripes", "stones"}
    with pytest.raises(DataError, match=r"'object' in .*: did you mean 'objects'"):
        ours(place, labels=("object",)).stimuli()
    told = tmp_path / "told.json"
    told.write_text(json.dumps({"0001": {"text_descriptions": ["a", "b", "a"]}}))
    table = ours(place, annotations_path=told).stimuli().table
    assert table["text"].tolist()[:2] == ["a b", ""]
    for wrong in ("[" * 100_000, "{}", '{"1": {}}', '["a"]', '{"0001": 3}', "\xff"):
        told.write_text(wrong, "latin1")
        with pytest.raises(FileError, match=r"told\.json"):
            ours(place, annotations_path=told).stimuli()


def test_the_recipe_runs(twin, tmp_path):
    asked = ["dataset.version=A", 'dataset.rois=["V1v", "LOC"]', f"dataset.path={twin}"]
    small = ["features.frames.weights=none", "features.frames.size=64", "features.frames.frames=2"]
    small += ["inner.folds=2", "features.motion.frequencies=[2.0, 4.0]"]
    machine = Machine(store=tmp_path / "store", quiet=True, threads=1)
    report = run_recipe(load_recipe("bold_moments/ridge", [*asked, *small]), tmp_path, machine)
    scores = report.summary["scores"]
    assert scores["pearson"]["left_out"] == 0
    assert all(-2 < scores[name]["value"] < 2 for name in ("official", "corrected"))
    again = run_recipe(load_recipe(report.folder / "recipe.toml"), tmp_path, machine)
    assert again.scores.equals(report.scores)
