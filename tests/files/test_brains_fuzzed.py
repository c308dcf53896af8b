from collections import Counter
from itertools import islice

import nibabel as nib
import numpy as np
import pytest

from striate.files.brains import read_maps
from striate.files.surfaces import read_mesh

from .fuzzing import arrays_of, mutations, trial
from .test_brains import cifti, save_nifti
from .test_surfaces import mesh, save_gifti


def whole(path):
    return read_maps(path).values()


def few(shape):
    """Few different values, so that a change of scale or dtype is told from a wrong reading."""
    return np.random.default_rng(0).integers(0, 9, shape).astype("float32")


def volume(place):
    return [save_nifti(place / "a.nii", few((4, 5, 6, 3)))]


def version_two(place):
    return [save_nifti(place / "b.nii", few((4, 5, 6, 3)).astype("int16"), version=2)]


def compressed(place):
    return [save_nifti(place / "a.nii.gz", few((4, 5, 6, 3)))]


def freesurfer(place):
    for name in ("a.mgh", "a.mgz"):
        nib.save(nib.MGHImage(few((50, 1, 1, 4)), np.eye(4)), place / name)
    return [place / "a.mgh", place / "a.mgz"]


def gifti(place):
    found = []
    for encoding in ("ASCII", "B64BIN", "B64GZ"):
        kind = "int32" if encoding == "B64BIN" else "float32"
        arrays = [
            nib.gifti.GiftiDataArray(
                row.astype(kind),
                intent="NIFTI_INTENT_SHAPE",
                encoding=f"GIFTI_ENCODING_{encoding}",
            )
            for row in few((3, 60))
        ]
        found.append(place / f"{encoding}.gii")
        nib.save(nib.GiftiImage(darrays=arrays), found[-1])
    return found


def grayordinates(place):
    return [cifti(place / "a.dlabel.nii", few((9, 7)) % 3, "label")]


def meshes(place):
    points, faces = mesh(40)
    nib.freesurfer.write_geometry(place / "lh.pial", points, faces)
    save_gifti(place / "lh.pial.gii", points, faces)
    return [place / "lh.pial", place / "lh.pial.gii"]


KINDS = [volume, version_two, compressed, freesurfer, gifti, grayordinates, meshes]


@pytest.mark.parametrize("samples", KINDS, ids=lambda k: k.__name__)
def test_mutated_files(tmp_path, samples):
    held(samples, tmp_path, 100)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("samples", KINDS, ids=lambda k: k.__name__)
def test_many_mutated_files(tmp_path, samples):
    held(samples, tmp_path, 2000)


def held(samples, place, count):
    def read(path):
        read_mesh.cache_clear()
        return list(read_mesh(path)) if samples is meshes else whole(path)

    made, told = samples(place), Counter()
    for number, sample in enumerate(made):
        content, right = sample.read_bytes(), arrays_of(read(sample))
        cases = list(islice(mutations(content, number), -(-count // len(made))))
        if sample.suffix == ".gii":
            for case in cases:  # A letter of base64 has bits of two bytes.
                case.touched *= 2
        # What may follow the values is of any length there: values added, lost or claimed by other
        # dimensions move the rest unseen.
        free = sample.suffix in (".mgh", ".pial")
        moved = [
            free and (c.what in ("insert", "delete") or c[:100] != content[:100]) for c in cases
        ]
        for hidden in (False, True):
            some = [c for c, m in zip(cases, moved, strict=True) if m == hidden]
            one = None if hidden else right
            told += trial(read, some, place, sample.name, one, 2 * len(content))
    assert sum(told.values()) >= count
    errors = sum(n for k, n in told.items() if k.endswith("error"))
    assert errors > count // 20, told
