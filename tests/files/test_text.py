"""Tables in text, and the classic netCDF container, must be whole."""

import numpy as np
import pytest
import xarray as xr

from striate.errors import DataError, FileError
from striate.files import read_array
from striate.files.netcdf3 import check_classic, is_classic
from striate.files.text import is_number, read_table


def test_numbers_are_read_exactly(tmp_path):
    values = np.random.default_rng(0).standard_normal((20, 3))
    lines = [
        "id,a,b,c",
        *(f"s{k}," + ",".join(map(repr, map(float, r))) for k, r in enumerate(values)),
    ]
    (tmp_path / "x.csv").write_text("\r\n".join(lines) + "\r\n\r\n")
    found = read_table(tmp_path / "x.csv")
    assert found.values.dtype == np.float64 and found.shape == (20, 3)
    np.testing.assert_array_equal(found.values, values)
    assert list(found.dim_0.values[:2]) == ["s0", "s1"]
    (tmp_path / "x.tsv").write_text("\n".join(lines).replace(",", "\t"))
    np.testing.assert_array_equal(read_array(tmp_path / "x.tsv").values, values)
    found.values[0, 0] = 1


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("id,a,b\nx,1,2\ny,3\n", FileError, "line 3 of .* has 2 values, but the first has 3 names"),
        ("id,a,b\nx,1,2,3\n", FileError, "line 2 of .* has 4 values"),
        ("id,a\nx,1_0\n", DataError, "line 2 of .* text where responses belong: '1_0'"),
        ("id,a\nx,high\n", DataError, "text where responses belong"),
        ('id,a\n"x,1\n', FileError, "damaged or no table"),
        ("", FileError, "it is empty"),
        ("0,1\n2,3\n", DataError, "must name the targets"),
        ("id,a\nx," + "9" * 200_000 + "\n", FileError, "damaged or no table"),
    ],
)
def test_what_is_no_table_is_told(tmp_path, text, kind, told):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(kind, match=told):
        read_table(tmp_path / "x.csv")


def test_missing_values_and_numbers(tmp_path):
    (tmp_path / "x.csv").write_text("a,b,c\n,NA,1\nnan,n/a, 2 \n1e3,-inf,3\n")
    expected = [[np.nan, np.nan, 1], [np.nan, np.nan, 2], [1000, -np.inf, 3]]
    np.testing.assert_array_equal(read_table(tmp_path / "x.csv").values, expected)
    assert is_number("1e5") and not is_number("") and not is_number("1_0") and not is_number("v1")
    (tmp_path / "x.csv").write_bytes(b"id,a\n\xff\xfe,1\n")
    with pytest.raises(FileError, match="damaged or no table"):
        read_table(tmp_path / "x.csv")


@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def test_classic_netcdf_fills_its_file(tmp_path, form):
    path = tmp_path / "x.nc"
    values = np.arange(15, dtype="i2").reshape(5, 3)
    data = xr.Dataset(
        {"responses": (("row", "target"), values), "odd": ("row", np.arange(5, dtype="i1"))},
        coords={"target": ["a", "bc", "d"]}, attrs={"made": "by hand"},
    )  # fmt: skip
    for unlimited in ([], ["row"]):
        data.to_netcdf(path, engine="scipy", format=form, unlimited_dims=unlimited)
        assert is_classic(path)
        check_classic(path)
        np.testing.assert_array_equal(read_array(path, "responses").values, values)
        content = path.read_bytes()
        for wrong in (content[:-9], content + bytes(4), content[:40], content[:90] + content[91:]):
            path.write_bytes(wrong)
            with pytest.raises(FileError, match=r"x\.nc is damaged"):
                read_array(path, "responses")


def test_names_without_number_are_refused_before_they_are_taken_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("striate.files.text.MOST", 10)
    path = tmp_path / "x.csv"
    path.write_text(",".join("abcdefghij") + "\n" + 8 * (",".join("1" * 10) + "\n"))
    assert read_table(path).shape == (8, 10)
    for text in (
        ",".join("abcdefghijk") + "\n1\n",
        '"a\n' + 6 * "b,b\n" + 'b",' + "c," * 4 + '"d\n' + '",e,f,g\n',
        "a,b\n" + 11 * "1,1\n",
    ):
        path.write_text(text)
        with pytest.raises(FileError, match=r"than 10 (values|lines): save its values as .npy"):
            read_table(path)
