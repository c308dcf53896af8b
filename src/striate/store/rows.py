"""Feature rows found by the digest of their stimulus, written in blocks of one batch.

An entry holds what one extractor made. One block is one batch: a folder with one ``.npy`` file per
feature space and a manifest. Its name is the digest of its row digests, so the same batches give
the same bytes whoever writes them, after any number of interruptions.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from striate.errors import DataError, FileError, some, unknown
from striate.store.arrays import read_array, read_rows, write_array
from striate.store.atomic import (
    DamagedError,
    check_files,
    check_key,
    digest_of,
    read_manifest,
    remove,
    slug,
    write_folder,
)
from striate.store.temporary import cannot_write, sweep, write_bytes

KINDS = "biufc"


class RowsMissingError(DataError):
    """Rows that are asked for and not stored."""


@dataclass(frozen=True)
class _Form:
    """What the rows of one space look like."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __str__(self) -> str:
        return f"{' × '.join(map(str, self.shape)) or 'single'} {self.dtype}"


@dataclass(frozen=True)
class _Block:
    folder: Path
    digests: tuple[str, ...]
    files: dict[str, str]
    forms: dict[str, _Form]
    manifest: dict[str, Any]
    starts: dict[str, int] = field(default_factory=dict)


class Entry:
    """The stored rows of one extractor.

    Parameters
    ----------
    folder
        The store.
    key
        Key of the extractor; the entry is ``<store>/features/<key[:2]>/<key>``.
    identity
        What the key stands for, told to humans in ``entry.json``.

    """

    def __init__(self, folder: Path, key: str, identity: Mapping[str, Any]):
        self.store, self.key, self.identity = Path(folder), check_key(key), identity
        self.folder = self.store / "features" / key[:2] / key
        self._lock = threading.RLock()
        self._blocks: dict[str, _Block] = {}
        self._place: dict[str, tuple[str, int]] = {}
        self._forms: dict[str, _Form] = {}
        self._checked: set[tuple[str, str]] = set()
        self._swept = False

    def __reduce__(self) -> tuple[Any, ...]:
        return Entry, (self.store, self.key, dict(self.identity))

    def spaces(self) -> tuple[str, ...]:
        """Names of the spaces that stored rows have; none while nothing is stored."""
        with self._lock:
            self._scan()
            return tuple(self._forms)

    def facts(self, digests: Iterable[str]) -> dict[str, Any]:
        """What is stored of some rows: their number, types, bytes, and worst error of rounding.

        Bytes are those of all blocks that hold any of the rows, with all their spaces.
        """
        with self._lock:
            self._scan()
            there = [self._place[d][0] for d in dict.fromkeys(digests) if d in self._place]
            blocks = [self._blocks[n] for n in dict.fromkeys(there)]
            told = [s for b in blocks for s in b.manifest["about"]["spaces"].values()]
            return {
                "rows": len(there),
                "dtypes": sorted({str(f.dtype) for f in self._forms.values()}),
                "bytes": sum(size for b in blocks for size, _ in b.manifest["files"].values()),
                "rounding": max((s["rounding"] for s in told if "rounding" in s), default=None),
            }

    def missing(self, digests: Iterable[str], spaces: Iterable[str] | None = None) -> list[str]:
        """Those of the digests that are not stored, each once, in the order given.

        The files of the blocks concerned are compared with their checksums once per process: all
        of them, or those of some `spaces`. A damaged block is removed and its rows are missing.

        Raises
        ------
        DataError
            When blocks disagree about the shape of a row.
        FileError
            When a damaged block cannot be removed.

        """
        wanted = list(dict.fromkeys(digests))
        only = None if spaces is None else list(spaces)
        with self._lock:
            self._scan()
            self._describe(forgive=True)
            while True:
                names = {self._place[d][0]: None for d in wanted if d in self._place}
                damaged = [n for n in names if not self._sound(n, only)]
                if not damaged:
                    return [d for d in wanted if d not in self._place]
                for name in damaged:
                    remove(self._blocks[name].folder)
                self._forget(damaged)

    def append(
        self,
        digests: Sequence[str],
        arrays: Mapping[str, Shaped[np.ndarray, "stimulus ..."]],
        rounding: Mapping[str, float] | None = None,
    ) -> None:
        """Store one batch: a row of every space for each digest.

        Where the very same batch is stored already, that one stays. `rounding` says of a space how
        far its values are from what they were before they were rounded; it is kept beside them.

        Raises
        ------
        DataError
            When the arrays do not fit the digests or the rows that are stored.
        FileError
            When the store cannot be written.

        """
        if not digests or len(set(digests)) != len(digests) or "" in digests:
            raise DataError("a batch of features must name each of its rows once by a digest")
        forms = {}
        for space, array in sorted(arrays.items()):
            if array.ndim == 0 or len(array) != len(digests):
                raise DataError(
                    f"feature space {space!r} has shape {array.shape}, but the batch has"
                    f" {len(digests)} stimuli; the first axis must be the stimuli"
                )
            if array.dtype.kind not in KINDS:
                raise DataError(
                    f"feature space {space!r} holds {array.dtype}; features must be numbers"
                )
            forms[space] = _Form(array.shape[1:], array.dtype)
        name = digest_of(*digests)
        files = {space: f"{slug(k, space)}.npy" for k, space in enumerate(forms)}

        def fill(folder: Path) -> None:
            for space, file in files.items():
                write_array(folder / file, np.ascontiguousarray(arrays[space]))

        about = {
            "digests": list(digests),
            "spaces": {
                s: {"file": files[s], "shape": arrays[s].shape, "dtype": forms[s].dtype.str}
                | ({"rounding": rounding[s]} if rounding and s in rounding else {})
                for s in forms
            },
        }
        with self._lock:
            self._check_forms(forms, "the new batch")
            self._prepare()
            folder = self._folder(name)
            write_folder(folder, fill, about)
            if name not in self._blocks and (block := self._open(name)):
                self._adopt(name, block)

    def read(self, space: str, digests: Sequence[str]) -> Shaped[np.ndarray, "stimulus ..."]:
        """Rows of one space, in the order asked for, as one new array.

        Raises
        ------
        RowsMissingError
            (a DataError) when some are not stored; `missing` tells which.
        DataError
            When there is no such space, or blocks disagree about the shape of a row.
        FileError
            When a file holds anything else than a plain array.

        """
        for _ in range(3):
            plan = self._plan(space, digests)
            form = self._forms[space]
            out = np.empty((len(digests), *form.shape), form.dtype)
            try:
                for name, (places, rows) in plan.items():
                    path, start = self._start(name, space)
                    read_rows(path, start, rows, out, places)
            except FileError:
                # Another process may have found the block damaged and removed it.
                if all(self._blocks[n].folder.is_dir() for n in plan):
                    raise
                with self._lock:
                    self._checked.clear()
            else:
                return out
        raise RowsMissingError(
            f"rows of {space!r} disappear from {self.folder} while they are read"
        )

    def _plan(self, space: str, digests: Sequence[str]) -> dict[str, tuple[list[int], list[int]]]:
        """For each block: where its rows go, and which they are. All blocks are checked."""
        with self._lock:
            for attempt in range(2):
                plan: dict[str, tuple[list[int], list[int]]] = {}
                lost = 0
                for position, digest in enumerate(digests):
                    if (found := self._place.get(digest)) is None:
                        lost += 1
                        continue
                    places, rows = plan.setdefault(found[0], ([], []))
                    places.append(position)
                    rows.append(found[1])
                known = all((n, space) in self._checked for n in plan)
                if attempt == 0 and (lost or not self._forms or not known):
                    self.missing(digests, [space])
                    continue
                break
            if lost or not self._forms:
                raise RowsMissingError(
                    f"{lost} of {len(digests)} rows are not stored in {self.folder}; extract them"
                )
            if space not in self._forms:
                raise DataError(unknown("feature space", space, self._forms, str(self.folder)))
            self._checked.update((n, space) for n in plan)
            return plan

    def _start(self, name: str, space: str) -> tuple[Path, int]:
        """The file of a space of a block, and where its values begin there.

        That the file is the array of its manifest is looked at once, like its checksum.
        """
        block = self._blocks[name]
        path, form = block.folder / block.files[space], block.forms[space]
        if space not in block.starts:
            array = read_array(path, mmap=True)
            wanted = (len(block.digests), *form.shape), form.dtype, True
            if (array.shape, array.dtype, array.flags.c_contiguous) != wanted:
                raise FileError(
                    f"{path} holds {array.shape} {array.dtype}, but its manifest says otherwise;"
                    f" delete {block.folder}"
                )
            block.starts[space] = path.stat().st_size - array.nbytes
        return path, block.starts[space]

    def _folder(self, name: str) -> Path:
        return self.folder / "blocks" / name

    def _scan(self) -> None:
        """Learn of blocks that came or went since the last look."""
        try:
            with os.scandir(self.folder / "blocks") as items:
                names = {i.name for i in items if not i.name.startswith(".")}
        except FileNotFoundError:
            names = set()
        if gone := [n for n in self._blocks if n not in names]:
            self._forget(gone)
        for name in sorted(names - self._blocks.keys()):
            if block := self._open(name):
                self._adopt(name, block)
            else:
                remove(self._folder(name))

    def _open(self, name: str) -> _Block | None:
        """A block as its manifest describes it, or None when that is damaged."""
        folder = self._folder(name)
        try:
            body = read_manifest(folder)
            digests, spaces = tuple(body["about"]["digests"]), body["about"]["spaces"]
            files = {s: spaces[s]["file"] for s in spaces}
            shapes = {s: tuple(spaces[s]["shape"]) for s in spaces}
            forms = {s: _Form(shapes[s][1:], np.dtype(spaces[s]["dtype"])) for s in spaces}
            fits = all(shapes[s][0] == len(digests) for s in spaces)
            if (
                not fits
                or digest_of(*digests) != name
                or not set(files.values()) <= set(body["files"])
            ):
                return None
        except (DamagedError, KeyError, TypeError, ValueError, IndexError, AttributeError):
            return None
        return _Block(folder, digests, files, forms, body)

    def _adopt(self, name: str, block: _Block) -> None:
        self._check_forms(block.forms, f"block {name}")
        self._forms = self._forms or block.forms
        self._blocks[name] = block
        for row, digest in enumerate(block.digests):
            self._place.setdefault(digest, (name, row))

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            del self._blocks[name]
        self._checked = {(n, s) for n, s in self._checked if n in self._blocks}
        left, self._blocks, self._place, self._forms = self._blocks, {}, {}, {}
        for name, block in left.items():
            self._adopt(name, block)

    def _sound(self, name: str, spaces: list[str] | None) -> bool:
        block = self._blocks[name]
        wanted = block.files if spaces is None else [s for s in spaces if s in block.files]
        try:
            check_files(block.folder, block.manifest, [block.files[s] for s in wanted])
        except DamagedError:
            return False
        return True

    def _check_forms(self, forms: Mapping[str, _Form], what: str) -> None:
        if not self._forms or forms == self._forms:
            return
        odd = [s for s in {**self._forms, **forms} if forms.get(s) != self._forms.get(s)]
        have = some(f"{s!r} {self._forms.get(s, 'none')}" for s in odd)
        new = some(f"{s!r} {forms.get(s, 'none')}" for s in odd)
        raise DataError(
            f"{self.folder} holds rows of another shape than {what}: {have} there, {new} here; it"
            " was written by an older version of the extractor: raise the extractor's `version`"
            " or delete the folder"
        )

    def _prepare(self) -> None:
        """Make the entry's folder ready for writing."""
        if self._swept:
            return
        try:
            (self.folder / "blocks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        sweep(self.folder)
        sweep(self.folder / "blocks")
        self._describe()
        self._swept = True

    def _describe(self, forgive: bool = False) -> None:
        """Write ``entry.json`` where it is missing or damaged, if there is an entry at all."""
        path = self.folder / "entry.json"
        body = {
            "about": "Features of one frozen extractor; a folder in `blocks` holds one batch.",
            "identity": dict(self.identity),
            "key": self.key,
        }
        data = (json.dumps(body, indent=2, sort_keys=True, default=str) + "\n").encode()
        try:
            if self.folder.is_dir() and not (path.is_file() and path.read_bytes() == data):
                write_bytes(path, data)
        except OSError as error:
            if not forgive:
                raise cannot_write(self.folder, error) from error
