import gzip
import struct
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from striate.errors import FileError
from striate.files.brains import (
    kind_of,
    labels_beside,
    read_label_table,
    read_maps,
    read_surface,
    read_volume,
)
from striate.files.brains_out import write_map
from striate.files.gifti import read_gifti
from striate.files.places import vertex_targets, vertices_of, voxel_targets, voxels_of

AFFINE = np.array([[-2.0, 0, 0.5, 90], [0, 2, 0, -126], [0.25, 0, 2, -72], [0, 0, 0, 1]])
SHAPES = st.tuples(*[st.integers(1, 5)] * 3).filter(lambda s: sum(n > 1 for n in s) > 1)
TYPES = ["uint8", "int16", "int32", "float32", "float64", ">f4", ">i2"]


def numbers(shape, dtype="float32", seed=0):
    found = np.random.default_rng(seed).normal(0, 50, shape)
    return np.abs(found).astype(dtype) if dtype == "uint8" else found.astype(dtype)


def save_nifti(path, values, slope=None, version=1):
    make = {1: nib.Nifti1Image, 2: nib.Nifti2Image}[version]
    image = make(values, AFFINE, dtype=values.dtype)
    if slope:
        image.header.set_slope_inter(*slope)
        image.header.set_data_dtype(values.dtype)
    nib.save(image, path)
    return path


def loaded(path):
    """By nibabel, which leaves .mgh files open."""
    if path.suffix == ".mgh":
        return nib.MGHImage.from_bytes(path.read_bytes())
    return nib.load(path)


def cifti(path, rows, kind="scalar"):
    left = nib.cifti2.BrainModelAxis.from_surface(np.array([1, 4, 7]), 10, "CortexLeft")
    right = nib.cifti2.BrainModelAxis.from_surface(np.array([0, 9]), 10, "CortexRight")
    mask = np.zeros((3, 4, 5), bool)
    mask[1, 2, 3] = mask[2, 0, 4] = True
    deep = nib.cifti2.BrainModelAxis.from_mask(mask, "thalamus_left", AFFINE)
    names = [f"m{k}" for k in range(len(rows))]
    if kind == "scalar":
        axis = nib.cifti2.ScalarAxis(names)
    elif kind == "series":
        axis = nib.cifti2.SeriesAxis(0, 1.5, len(rows))
    else:
        table = {0: ("???", (0, 0, 0, 0)), 1: ("V1", (1, 0, 0, 1)), 2: ("V2", (0, 1, 0, 1))}
        axis = nib.cifti2.LabelAxis(names, [table] * len(rows))
    nib.save(nib.Cifti2Image(rows, (axis, left + right + deep)), path)
    return path


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shape=SHAPES,
    count=st.integers(1, 4),
    dtype=st.sampled_from(TYPES),
    kind=st.sampled_from([".nii", ".nii.gz", ".mgh", ".mgz"]),
    slope=st.sampled_from([None, (0.5, 3.0), (1.0, -1.0)]),
    version=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
def test_volumes_are_what_nibabel_reads(
    tmp_path_factory, shape, count, dtype, kind, slope, version, seed
):
    path = tmp_path_factory.mktemp("v") / f"a{kind}"
    values = numbers((*shape, count), dtype, seed)
    if kind.startswith(".nii"):
        save_nifti(path, values, slope, version)
    else:
        kept = values.astype("float32") if values.dtype.itemsize == 8 else values
        nib.save(nib.MGHImage(kept[..., 0] if count == 1 else kept, AFFINE), path)
    image = loaded(path)
    want = image.get_fdata()
    want = want[..., None] if want.ndim == 3 else want
    found = read_volume(path)
    assert (found.grid, found.count) == (shape, count) and found.mapped == (
        kind in (".nii", ".mgh")
    )
    np.testing.assert_allclose(found.affine, image.affine, atol=1e-5)
    np.testing.assert_allclose(found.values(), np.moveaxis(want, 3, 0), rtol=1e-6)
    rng = np.random.default_rng(seed)
    rows, at = rng.integers(0, count, 3), rng.integers(0, found.places, 4)
    np.testing.assert_array_equal(
        found.read(rows, at), found.values().reshape(count, -1)[np.ix_(rows, at)]
    )
    some = np.arange(found.places)[::2]
    block = found.rows(some)
    assert block.shape == (count, len(some)) and block.dtype == found.dtype
    np.testing.assert_array_equal(
        block.read(np.arange(count), np.arange(len(some))),
        found.values().reshape(count, -1)[:, some],
    )


@pytest.mark.parametrize("kind", [".gii", ".mgh", ".mgz", ".nii.gz"])
def test_surfaces_are_what_nibabel_reads(tmp_path, kind):
    values, path = numbers((3, 40)), tmp_path / f"lh.a{kind}"
    if kind == ".gii":
        arrays = [nib.gifti.GiftiDataArray(v, intent="NIFTI_INTENT_SHAPE") for v in values]
        about = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": "CortexLeft"})
        nib.save(nib.GiftiImage(darrays=arrays, meta=about), path)
    elif kind == ".nii.gz":
        save_nifti(path, values.T.reshape(40, 1, 1, 3).copy())
    else:
        nib.save(nib.MGHImage(values.T.reshape(40, 1, 1, 3).copy(), np.eye(4)), path)
    found = read_surface(path)
    assert found.grid == (40,) and found.count == 3 and found.affine is None
    np.testing.assert_array_equal(found.values(), values)
    np.testing.assert_array_equal(
        found.read(np.array([2]), np.array([39, 0]))[0], values[2, [39, 0]]
    )
    assert found.targets(np.array([5]), "lh").index.tolist() == ["lh.000005"]
    with pytest.raises(FileError, match="a volume is wanted"):
        read_volume(path)
    save_nifti(tmp_path / "v.nii", numbers((2, 3, 4)))
    with pytest.raises(FileError, match="vertices of a hemisphere"):
        read_surface(tmp_path / "v.nii")


@pytest.mark.parametrize("encoding", ["ASCII", "B64BIN", "B64GZ"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_every_encoding_of_gifti(tmp_path, encoding, order, dtype):
    if (encoding, order) == ("ASCII", "F"):
        pytest.skip("nibabel writes and reads text by rows, whatever order the file tells")
    values = numbers((6, 3), dtype)
    array = nib.gifti.GiftiDataArray(
        values,
        intent="NIFTI_INTENT_TIME_SERIES",
        encoding=f"GIFTI_ENCODING_{encoding}",
        ordering={"C": 1, "F": 2}[order],
    )
    nib.save(nib.GiftiImage(darrays=[array]), tmp_path / "a.gii")
    want = nib.load(tmp_path / "a.gii").darrays[0].data
    np.testing.assert_allclose(read_gifti(tmp_path / "a.gii").arrays[0].values, want)
    np.testing.assert_allclose(want, values, atol=1e-5)
    np.testing.assert_allclose(read_maps(tmp_path / "a.gii").values(), values.T, atol=1e-5)
    (tmp_path / "b.gii.gz").write_bytes(gzip.compress((tmp_path / "a.gii").read_bytes()))
    np.testing.assert_allclose(read_maps(tmp_path / "b.gii.gz").values(), values.T, atol=1e-5)


def test_labels_of_gifti(tmp_path):
    keys = np.array([0, 1, 2, 2], dtype=np.int32)
    table = nib.gifti.GiftiLabelTable()
    for key, name in enumerate(("???", "V1 & more", "V2")):
        one = nib.gifti.GiftiLabel(key)
        one.label = name
        table.labels.append(one)
    array = nib.gifti.GiftiDataArray(keys, intent="NIFTI_INTENT_LABEL", datatype="int32")
    nib.save(nib.GiftiImage(darrays=[array], labeltable=table), tmp_path / "rh.a.label.gii")
    found = read_maps(tmp_path / "rh.a.label.gii")
    assert found.labels == ({0: "???", 1: "V1 & more", 2: "V2"},)
    assert found.values().tolist() == [[0, 1, 2, 2]]


@pytest.mark.parametrize("kind", ["scalar", "series", "label"])
def test_grayordinates(tmp_path, kind):
    values = np.arange(14, dtype=np.float32).reshape(2, 7) % 3
    path = cifti(tmp_path / f"a.d{kind}.nii", values, kind)
    found = read_maps(path)
    np.testing.assert_array_equal(found.values(), nib.load(path).get_fdata())
    table = found.targets(np.arange(7))
    ids = ["lh.000001", "lh.000004", "lh.000007", "rh.000000", "rh.000009"]
    assert table.index.tolist() == [*ids, "v001_002_003", "v002_000_004"]
    assert table.hemisphere.tolist() == ["lh"] * 3 + ["rh"] * 2 + ["lh"] * 2
    assert table.structure.iloc[-1] == "THALAMUS_LEFT"
    want = AFFINE @ [1, 2, 3, 1]
    np.testing.assert_allclose(table[["x", "y", "z"]].iloc[5], want[:3])
    np.testing.assert_array_equal(found.read(np.array([1]), np.array([6, 2]))[0], values[1, [6, 2]])
    if kind == "label":
        assert found.labels[1] == {0: "???", 1: "V1", 2: "V2"}
    else:
        assert found.labels == ()


def test_colour_tables(tmp_path):
    (tmp_path / "streams.mgz.ctab").write_text("# all\n0 Unknown 0 0 0 0\n 1  early 1 2 3 0\n")
    assert labels_beside(tmp_path / "lh.streams.mgz") == {0: "Unknown", 1: "early"}
    assert labels_beside(tmp_path / "lh.others.mgz") == {}
    (tmp_path / "lh.streams.mgz.ctab").write_text("2 late\n")
    assert labels_beside(tmp_path / "lh.streams.mgz") == {2: "late"}
    for wrong in ("one early\n", "1\n", "1 a\n1 b\n"):
        (tmp_path / "x.ctab").write_text(wrong)
        with pytest.raises(FileError, match=r"x.ctab, line"):
            read_label_table(tmp_path / "x.ctab")


def test_ids_tell_places():
    ids = voxel_targets(np.arange(24), (2, 3, 4), AFFINE).index
    assert voxels_of(ids).tolist() == [list(i) for i in np.ndindex(2, 3, 4)]
    assert voxels_of(["v1_2_3", "t0"]) is None and voxels_of([]) is None
    sides, vertices = vertices_of(vertex_targets("rh", np.array([3, 163841])).index)
    assert sides.tolist() == ["rh", "rh"] and vertices.tolist() == [3, 163841]
    assert vertices_of(["lh.1", "v001_002_003"]) is None


@pytest.mark.parametrize("kind", [".nii", ".nii.gz", ".mgh", ".mgz"])
@pytest.mark.parametrize("count", [1, 3])
def test_volumes_written_are_read_by_nibabel(tmp_path, kind, count):
    values = numbers((count, 3, 4, 5)).astype("float64")
    values[0, 0] = np.nan
    image = loaded(write_map(tmp_path / f"new/a{kind}", values, AFFINE))
    assert image.shape == ((3, 4, 5) if count == 1 else (3, 4, 5, 3))
    found = image.get_fdata()
    np.testing.assert_array_equal(
        found if count > 1 else found[..., None], np.moveaxis(values, 0, 3)
    )
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    assert [p.name for p in (tmp_path / "new").iterdir()] == [f"a{kind}"]


@pytest.mark.parametrize("kind", [".gii", ".mgh", ".mgz"])
def test_surfaces_written_are_read_by_nibabel(tmp_path, kind):
    values = numbers((2, 30))
    path = write_map(tmp_path / f"rh.a{kind}", values, hemisphere="rh", names=["r", "ceiling"])
    image = loaded(path)
    if kind == ".gii":
        np.testing.assert_array_equal([a.data for a in image.darrays], values)
        assert [a.meta["Name"] for a in image.darrays] == ["r", "ceiling"]
        assert read_maps(path).hemisphere == "rh" and read_maps(path).names == ("r", "ceiling")
    else:
        np.testing.assert_array_equal(image.get_fdata(), values.T[:, None, None])
    with pytest.raises(FileError, match=r"name a file that ends in \.mgh, \.mgz, \.gii"):
        write_map(tmp_path / "a.nii", values)
    with pytest.raises(FileError, match="cannot be written"):
        write_map(path / "below.mgh", values)


def test_without_nibabel_the_extra_is_named(tmp_path, monkeypatch):
    path = save_nifti(tmp_path / "a.nii", numbers((2, 3, 4)))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(FileError, match=r"pip install 'striate\[brain\]'"):
        read_maps(path)


def test_what_is_mapped_reads_no_more_than_asked(tmp_path):
    path = tmp_path / "big.nii"
    header = nib.Nifti1Header()
    header.set_data_dtype("float32")
    header.set_data_shape((100, 100, 100, 2000))
    header["magic"], header["vox_offset"] = b"n+1", 352
    with path.open("wb") as stream:
        stream.write(header.binaryblock + bytes(4))
        stream.truncate(352 + 4 * 2000 * 100**3)
    found = read_volume(path)
    assert found.count == 2000
    assert found.read(np.array([1999]), np.array([7])).tolist() == [[0.0]]


def edited(content, at, form, *values):
    return content[:at] + struct.pack(form, *values) + content[at + struct.calcsize(form) :]


HOSTILE = {
    "empty.nii": lambda c: b"",
    "head.nii": lambda c: c[:200],
    "short.nii": lambda c: c[:-1],
    "large.nii": lambda c: edited(c, 42, "<4h", 32767, 32767, 32767, 32767),
    "none.nii": lambda c: edited(c, 42, "<h", 0),
    "negative.nii": lambda c: edited(c, 42, "<2h", -5, -2),
    "axes.nii": lambda c: edited(c, 40, "<h", 77),
    "type.nii": lambda c: edited(c, 70, "<h", 12345),
    "complex.nii": lambda c: edited(c, 70, "<h", 32),
    "early.nii": lambda c: edited(c, 108, "<f", 0.0),
    "late.nii": lambda c: edited(c, 108, "<f", 1e9),
    "nowhere.nii": lambda c: edited(c, 108, "<f", float("nan")),
    "pair.nii": lambda c: edited(c, 344, "4s", b"ni1\0"),
    "affine.nii": lambda c: edited(c, 280, "<f", float("inf")),
    "slope.nii": lambda c: edited(c, 112, "<2f", 1.0, float("inf")),
    "cifti.nii": lambda c: edited(c, 68, "<h", 3006),
    "bomb.nii.gz": lambda c: gzip.compress(edited(c, 42, "<4h", 32767, 32767, 32767, 99)),
    "offset.nii.gz": lambda c: gzip.compress(edited(c, 108, "<f", 2e9)),
    "cut.nii.gz": lambda c: gzip.compress(c)[:-9],
    "sum.nii.gz": lambda c: edited(gzip.compress(c), -8 + len(gzip.compress(c)), "<I", 7),
    "short.nii.gz": lambda c: gzip.compress(c[:-1]),
    "text.nii.gz": lambda c: b"no archive at all",
    "other.mgh": lambda c: c,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_volumes_are_refused(tmp_path, name):
    good = save_nifti(tmp_path / "good.nii", numbers((3, 4, 5, 2))).read_bytes()
    (tmp_path / name).write_bytes(HOSTILE[name](good))
    with pytest.raises(FileError, match=name):
        read_maps(tmp_path / name).values()


def test_hostile_mgh_is_refused(tmp_path):
    nib.save(nib.MGHImage(numbers((3, 4, 5, 2)), AFFINE), tmp_path / "good.mgh")
    good = (tmp_path / "good.mgh").read_bytes()
    for wrong in (
        edited(good, 4, ">4i", 2**31 - 1, 2**31 - 1, 2**31 - 1, 2**31 - 1),
        edited(good, 4, ">i", -3),
        edited(good, 4, ">i", 0),
        edited(good, 20, ">i", 99),
        edited(good, 0, ">i", 2),
        good[: 284 + 4 * 119],
        good[:100],
    ):
        (tmp_path / "bad.mgh").write_bytes(wrong)
        with pytest.raises(FileError, match=r"bad\.mgh"):
            read_maps(tmp_path / "bad.mgh").values()


def test_hostile_gifti_is_refused(tmp_path):
    array = nib.gifti.GiftiDataArray(np.zeros(1000, "float32"), intent="NIFTI_INTENT_SHAPE")
    nib.save(nib.GiftiImage(darrays=[array]), tmp_path / "good.gii")
    (tmp_path / "secret").write_bytes(bytes(4000))
    good = (tmp_path / "good.gii").read_text()
    entity = good.replace("<GIFTI", '<!DOCTYPE GIFTI [<!ENTITY a "aaaa">]><GIFTI', 1)
    outside = good.replace("GZipBase64Binary", "ExternalFileBinary").replace(
        'ExternalFileName=""', 'ExternalFileName="secret"'
    )
    shifted = outside.replace('Encoding="External', 'ExternalFileName="secret" Encoding="External')
    for wrong in (
        entity if "<!DOCTYPE GIFTI SYSTEM" not in good else good.replace("SYSTEM", "[<!ENTITY a"),
        outside,
        shifted,
        good.replace('Dim0="1000"', 'Dim0="10"'),
        good.replace('Dim0="1000"', 'Dim0="100000000000"'),
        good.replace('Dim0="1000"', 'Dim0="-1"'),
        good.replace('Dim0="1000"', ""),
        good.replace("NIFTI_TYPE_FLOAT32", "NIFTI_TYPE_COMPLEX64"),
        good.replace("</Data>", "~~~~</Data>"),
        good[: len(good) // 2],
        good.replace("<Data>", "<Data>" + "A" * 3_000_000),
        "<svg/>",
        "",
    ):
        (tmp_path / "bad.gii").write_text(wrong)
        try:
            values = read_maps(tmp_path / "bad.gii").values()
        except FileError as error:
            assert "bad.gii" in str(error)
        else:
            assert wrong.count("~") and values.tolist() == [[0.0] * 1000]


def test_kinds():
    names = ("a.nii", "a.NII.GZ", "a.dscalar.nii", "a.func.gii", "a.gii.gz", "a.gz", "a")
    assert [kind_of(n) for n in names] == [".nii", ".nii.gz", ".nii", ".gii", ".gii.gz", "", ""]
    with pytest.raises(FileError, match=r"none of \.nii"):
        read_maps(Path("a.img"))


def test_entities_in_grayordinates_are_not_expanded(tmp_path):
    content = cifti(tmp_path / "a.dscalar.nii", numbers((2, 7))).read_bytes()
    (begin,), (size,) = struct.unpack("<q", content[168:176]), struct.unpack("<i", content[544:548])
    laughs = '<!ENTITY e0 "ha">' + "".join(
        f'<!ENTITY e{k} "{f"&e{k - 1};" * 30}">' for k in range(1, 12)
    )
    text = content[552 : 544 + size].rstrip(b"\0").decode()
    text = text.replace("<CIFTI", f"<!DOCTYPE CIFTI [{laughs}]><CIFTI", 1).replace("m0", "&e11;", 1)
    room = -(-(8 + len(text)) // 16) * 16
    extension = struct.pack("<ii", room, 32) + text.encode().ljust(room - 8, b"\0")
    head = content[:168] + struct.pack("<q", 544 + room) + content[176:544]
    (tmp_path / "b.dscalar.nii").write_bytes(head + extension + content[begin:])
    with pytest.raises(FileError, match=r"b\.dscalar\.nii is damaged"):
        read_maps(tmp_path / "b.dscalar.nii")
