"""Arrays and small objects out of files, with nothing hostile let through."""

from striate.files.arrays import READERS, read_array
from striate.files.hdf5 import h5_array, open_hdf5
from striate.files.matlab import read_mat
from striate.files.npy import read_npy, read_npz
from striate.files.pickles import (
    Opaque,
    read_object_npy,
    read_pickle,
    write_object_npy,
    write_pickle,
)
from striate.files.zips import is_zip, read_member, zip_members

__all__ = [
    "READERS",
    "Opaque",
    "h5_array",
    "is_zip",
    "open_hdf5",
    "read_array",
    "read_mat",
    "read_member",
    "read_npy",
    "read_npz",
    "read_object_npy",
    "read_pickle",
    "write_object_npy",
    "write_pickle",
    "zip_members",
]
