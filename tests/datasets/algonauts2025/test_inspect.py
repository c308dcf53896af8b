import gzip
import os
import shutil

import h5py
import nibabel
import numpy as np
import pytest

from striate.datasets import made_films
from striate.datasets.algonauts2025 import Algonauts2025
from striate.datasets.algonauts2025 import twin as made
from striate.datasets.algonauts2025.films import film_file
from striate.datasets.algonauts2025.runs import Movie
from striate.files import read_object_npy, write_object_npy


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """A tree with three of its films."""
    place = tmp_path_factory.mktemp("twin") / "algonauts2025"
    made.write(place, media=False)
    for split in ("s01e01a", "wolf01", "wot1"):
        file = film_file(place, Movie.parse(split))
        file.parent.mkdir(parents=True)
        made_films.write_film(file, np.random.default_rng(0), 38.3 * 1.49, 4, 32, False)
    return place


@pytest.fixture
def tree(twin, tmp_path):
    """A copy whose files may be replaced, but not written into."""
    place = tmp_path / "tree"
    shutil.copytree(twin, place, copy_function=os.link, ignore=shutil.ignore_patterns("answers"))
    return place


def replaced(file, content):
    file.unlink()
    file.write_bytes(content)


def changed(file, change):
    """An HDF5 file whose runs are changed: a function of key and array, to a key and an array."""
    with h5py.File(file) as old:
        runs = {k: old[k][:] for k in old}
    file.unlink()
    with h5py.File(file, "w") as new:
        for key, values in runs.items():
            for name, array in change(key, values):
                new.create_dataset(name, data=array)


def friends(tree, subject="sub-01"):
    return next((tree / "fmri" / subject / "func").glob("*task-friends*.h5"))


def only(key, change):
    def apply(name, values):
        return [(name, change(values) if name.endswith(key) else values)]

    return apply


def broken_truncated_responses(tree):
    file = friends(tree)
    replaced(file, file.read_bytes()[: file.stat().st_size // 3])
    return file


def broken_swapped_axes(tree):
    changed(friends(tree), only("s01e01b", np.transpose))
    return friends(tree)


def broken_dtype(tree):
    changed(friends(tree, "sub-03"), only("s06e01a", lambda v: (100 * v).astype(np.int16)))
    return friends(tree, "sub-03")


def broken_not_finite(tree):
    changed(friends(tree), only("s01e01a", lambda v: np.where(v > 3.5, np.nan, v)))
    return friends(tree)


def broken_scale(tree):
    changed(friends(tree, "sub-02"), only("s01e02a", lambda v: 100 * v))
    return friends(tree, "sub-02")


def broken_constant(tree):
    changed(friends(tree, "sub-05"), only("s01e02a", lambda v: v * (np.arange(1000) > 7)))
    return friends(tree, "sub-05")


def broken_key(tree):
    changed(friends(tree), lambda k, v: [(k.replace("s01e01a", "s01e01"), v)])
    return friends(tree)


def broken_link(tree):
    file = friends(tree)
    content = file.read_bytes()
    replaced(file, content)
    with h5py.File(file, "a") as opened:
        opened["ses-001_task-s02e01a"] = h5py.ExternalLink("/etc/passwd", "/x")
    return file


def broken_twice(tree):
    file = friends(tree)
    other = file.with_name(file.name.replace("s123456", "s1234567"))
    shutil.copy(file, other)
    return other


def broken_task(tree):
    file = next((tree / "fmri/sub-01/func").glob("*movie10*.h5"))
    content = friends(tree).read_bytes()
    friends(tree).unlink()
    replaced(file, content)
    return file


def broken_length_of_a_run(tree):
    changed(friends(tree, "sub-03"), only("s01e01a", lambda v: np.concatenate([v, v])))
    return friends(tree, "sub-03")


def broken_hostile_samples(tree):
    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {tree}/canary",)

    file = tree / "fmri/sub-02/target_sample_number/sub-02_ood_fmri_samples.npy"
    array = np.empty((), dtype=object)
    array[()] = Hostile()
    file.unlink()
    np.save(file, array, allow_pickle=True)
    return file


def broken_sample_number(tree):
    file = tree / "fmri/sub-02/target_sample_number/sub-02_friends-s7_fmri_samples.npy"
    content = read_object_npy(file)
    file.unlink()
    write_object_npy(file, content | {"s07e01a": 90})
    return file


def broken_films_of_samples(tree):
    file = tree / "fmri/sub-01/target_sample_number/sub-01_friends-s7_fmri_samples.npy"
    file.unlink()
    write_object_npy(file, {"chaplin1": 40})
    return file


def broken_film(tree):
    file = tree / "stimuli/movies/friends/s1/friends_s01e01a.mkv"
    replaced(file, file.read_bytes()[: file.stat().st_size // 2])
    return file


def broken_empty_film(tree):
    file = tree / "stimuli/movies/ood/wot/task-wot1_video.mkv"
    replaced(file, b"")
    return file


def broken_other_film(tree):
    file = tree / "stimuli/movies/movie10/wolf/wolf01.mkv"
    file.unlink()
    made_films.write_film(file, np.random.default_rng(0), 20.0, 4, 32, False)
    return file


def broken_list(tree):
    file = tree / "stimuli/transcripts/friends/s1/friends_s01e01b.tsv"
    content = file.read_text().replace("['", "[__import__('os').system('x'), '", 1)
    replaced(file, content.encode())
    return file


def broken_columns(tree):
    file = tree / "stimuli/transcripts/movie10/bourne/movie10_bourne01.tsv"
    replaced(file, file.read_bytes().replace(b"text_per_tr", b"text"))
    return file


def broken_lines(tree):
    file = tree / "stimuli/transcripts/movie10/bourne/movie10_bourne01.tsv"
    replaced(file, b"\n".join(file.read_bytes().split(b"\n")[:12]))
    return file


def atlas(tree, subject):
    return next((tree / "fmri" / subject / "atlas").glob("*.nii.gz"))


def broken_parcel(tree):
    file = atlas(tree, "sub-03")
    image = nibabel.load(file)
    values = np.asarray(image.dataobj).copy()
    values[0, 0, 0] = 1001
    file.unlink()
    nibabel.save(nibabel.Nifti1Image(values, image.affine), file)
    return file


def broken_lost_parcel(tree):
    file = atlas(tree, "sub-03")
    image = nibabel.load(file)
    values = np.asarray(image.dataobj).copy()
    values[values == 17] = 0
    file.unlink()
    nibabel.save(nibabel.Nifti1Image(values, image.affine), file)
    return file


def broken_volume(tree):
    file = atlas(tree, "sub-05")
    replaced(file, gzip.compress(gzip.decompress(file.read_bytes())[:5000]))
    return file


def broken_names(tree):
    file = tree / "fmri/Schaefer2018_1000Parcels_7Networks_order.txt"
    replaced(file, b"\n".join(file.read_bytes().split(b"\n")[1:]))
    return file


BROKEN = {
    n.removeprefix("broken_"): f for n, f in dict(globals()).items() if n.startswith("broken_")
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named_and_the_rest_is_gone_through(tree, name):
    file = BROKEN[name](tree)
    found = list(Algonauts2025(tree).inspect())
    wrong = {f.file for f in found if f.kind == "wrong"}
    assert wrong == {str(file.relative_to(tree))}, [str(f) for f in found if f.kind == "wrong"]
    assert any(f.kind == "there" and "transcripts" in f.file for f in found)
    assert not (tree / "canary").exists()


def test_what_is_missing_is_told(tree):
    shutil.rmtree(tree / "fmri/sub-02")
    shutil.rmtree(tree / "stimuli/movies/ood")
    shutil.rmtree(tree / "stimuli/transcripts/friends/s6")
    shutil.rmtree(tree / "fmri/sub-01/atlas")
    friends(tree).unlink()
    friends_link = tree / "fmri/sub-03/func" / friends(tree, "sub-03").name
    friends_link.unlink()
    friends_link.symlink_to(tree / ".git/annex/objects/x")
    (tree / "fmri/Schaefer2018_1000Parcels_7Networks_order.txt").unlink()
    shutil.rmtree(tree / "fmri/sub-05/target_samples_number")
    found = list(Algonauts2025(tree, test="ood").inspect())
    missing = {f.file: f.told for f in found if f.kind == "missing"}
    assert not [f for f in found if f.kind == "wrong"]
    assert missing["fmri/sub-02"] == "nothing of this subject can be used"
    assert "(4 of ood) are not here" in missing["stimuli/movies"]
    assert "3 films have no transcript" in missing["stimuli/transcripts"]
    assert "datalad get" in missing[str(friends_link.relative_to(tree))]
    assert len(missing) == 9
