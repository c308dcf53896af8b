import nibabel
import numpy as np
import pytest

from striate.datasets.algonauts2025.parcels import parcel_table, read_names, read_parcellation
from striate.errors import DataError, FileError


def lines(count=1000):
    return [f"{k + 1}\t7Networks_{'LR'[k // 500]}H_Vis_{k + 1}\t1\t2\t3\t0" for k in range(count)]


def volume(path, affine):
    """A thousand parcels of one or two voxels, each in its place."""
    path.parent.mkdir(parents=True)
    labels = np.zeros((10, 10, 25), dtype=np.int16)
    labels[:, :, 5:15] = 1 + np.arange(1000).reshape(10, 10, 10)
    labels[0, 0, 4] = 1
    nibabel.save(nibabel.Nifti1Image(labels, affine), path)
    return labels


def test_centres_are_in_millimetres(tmp_path):
    affine = np.array([[0, -2.0, 0, 90], [3.0, 0, 0, -7], [0, 0, 4.0, 1], [0, 0, 0, 1]])
    file = tmp_path / "fmri/sub-01/atlas/sub-01_x_desc-dseg_parcellation.nii.gz"
    labels = volume(file, affine)
    table = parcel_table(tmp_path, "sub-01")
    for parcel in (1, 2, 737, 1000):
        at = np.argwhere(labels == parcel).mean(axis=0)
        want = affine[:3, :3] @ at + affine[:3, 3]
        found = table.loc[f"parcel{parcel:04d}", ["x", "y", "z"]].to_numpy(float)
        np.testing.assert_allclose(found, want, atol=1e-3)
    found, kept = read_parcellation(file)
    np.testing.assert_array_equal(found, labels)
    np.testing.assert_array_equal(kept, affine)
    assert "x" not in parcel_table(tmp_path, "sub-02")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda n: n[1:], "names 999 parcels"),
        (lambda n: [*n, n[0]], "is no number and name"),
        (lambda n: ["1;7Networks_LH_Vis_1", *n[1:]], "is no number and name"),
        (lambda n: ["1\t17Networks_LH_VisCent_1", *n[1:]], "is no number and name"),
        (lambda n: [*n, "1001\t7Networks_LH_Vis_1"], "names 1001 parcels"),
        (lambda n: [], "names 0 parcels"),
    ],
)
def test_names_must_be_those_of_the_atlas(tmp_path, change, told):
    file = tmp_path / "Schaefer2018_1000Parcels_7Networks_order.txt"
    file.write_text("\n".join(lines()[::-1]))
    assert read_names(file)[:2] == ["7Networks_LH_Vis_1", "7Networks_LH_Vis_2"]
    file.write_text("\n".join(change(lines())))
    with pytest.raises(DataError, match=told):
        read_names(file)
    file.write_bytes(b"\xff\xfe\x00" * 9)
    with pytest.raises(FileError, match="cannot be read"):
        read_names(file)
