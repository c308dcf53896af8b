"""What CIFTI files say of their places is counted before memory is taken for it."""

import re
import struct

import nibabel as nib
import numpy as np
import pytest
from nibabel import cifti2

from striate.errors import FileError
from striate.files.brains import read_maps


@pytest.mark.parametrize("claim", [9, 150_000_000])
def test_places_that_are_not_there_take_no_memory(tmp_path, monkeypatch, claim):
    places = cifti2.BrainModelAxis.from_mask(np.ones(10, bool), "cortex_left")
    values = np.arange(10, dtype=np.float32)[None]
    image = cifti2.Cifti2Image(values, (cifti2.ScalarAxis(["a"]), places))
    nib.save(image, tmp_path / "c.dscalar.nii")
    np.testing.assert_array_equal(read_maps(tmp_path / "c.dscalar.nii").values(), values)
    content = (tmp_path / "c.dscalar.nii").read_bytes()
    offset = struct.unpack("<q", content[168:176])[0]
    xml = content[552:offset].rstrip(b"\0").replace(b'IndexCount="10"', b'IndexCount="%d"' % claim)
    xml = re.sub(rb">\s+<", b"><", xml)
    xml += bytes(-len(xml) % 16 + 8)
    begin = struct.pack("<q", 552 + len(xml))
    made = content[:168] + begin + content[176:544] + struct.pack("<ii", 8 + len(xml), 32) + xml
    (tmp_path / "d.dscalar.nii").write_bytes(made + content[offset:])
    monkeypatch.setattr(cifti2.Cifti2Header, "get_axis", None)
    with pytest.raises(FileError, match=f"1 × 10 values, but its axis 1 describes {claim} places"):
        read_maps(tmp_path / "d.dscalar.nii")
