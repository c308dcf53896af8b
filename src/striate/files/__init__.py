"""Arrays and small objects out of files, with nothing hostile let through."""

from striate.files.arrays import READERS, read_array
from striate.files.hdf5 import checked_hdf5, h5_array, open_hdf5
from striate.files.matlab import read_mat
from striate.files.npy import read_npy, read_npz
from striate.files.pickles import (
    Opaque,
    read_object_npy,
    read_pickle,
    write_object_npy,
    write_pickle,
)
from striate.files.zips import is_inside, is_zip, open_member, read_member, zip_members

__all__ = [
    "READERS",
    "Opaque",
    "checked_hdf5",
    "h5_array",
    "is_inside",
    "is_zip",
    "open_hdf5",
    "open_member",
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
