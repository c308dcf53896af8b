"""What finished tasks leave: predictions and fitted state under the task's key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.data import Responses
from striate.store.atomic import DamagedError, check_folder, check_key, remove, write_folder
from striate.store.responses import read_responses, write_responses
from striate.store.temporary import sweep
from striate.store.tree import read_tree, write_tree


class Products:
    """Predictions and fitted states of tasks, in ``<store>/tasks/<key[:2]>/<key>``.

    ``fit/`` holds the state and a note, ``rows-<digest>/`` the predictions of some rows. Each
    appears at once or not at all; a damaged one counts as absent and is removed, so that it is
    made again.

    Parameters
    ----------
    folder
        The store.

    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def save(
        self,
        key: str,
        rows_digest: str,
        predictions: Mapping[str, Responses],
        state: Any | None,
        note: Mapping[str, Any],
    ) -> None:
        """Store what a task made, the fit before the predictions.

        What is there already stays, but a fit that was stored without a state gets one.

        Raises
        ------
        Unstorable
            When `state` or `note` holds something that has no plain form (see `save_tree`).
        FileError
            When the store cannot be written.

        """
        sweep(self._task(key))
        fit, rows = self._fit(key), self._rows(key, rows_digest)

        def fill_fit(folder: Path) -> None:
            parts = {"note": dict(note)} | ({} if state is None else {"state": state})
            for name, tree in parts.items():
                (folder / name).mkdir()
                write_tree(folder / name, tree)

        def fill_rows(folder: Path) -> None:
            for k, block in enumerate(predictions.values()):
                (folder / str(k)).mkdir()
                write_responses(folder / str(k), block)

        there = self._about(fit)
        if there is None or (state is not None and not there["state"]):
            write_folder(fit, fill_fit, {"state": state is not None}, replace=there is not None)
        if self._about(rows) is None:
            write_folder(rows, fill_rows, {"subjects": list(predictions)})

    def load_predictions(
        self, key: str, rows_digest: str, mmap: bool = False
    ) -> dict[str, Responses] | None:
        """Predictions by subject, or None when they are not there.

        With `mmap`, values stay on disk until they are used.
        """
        folder = self._rows(key, rows_digest)
        about = self._about(folder)
        if about is None:
            return None
        return {
            subject: read_responses(folder / str(k), mmap)
            for k, subject in enumerate(about["subjects"])
        }

    def load_state(self, key: str) -> Any | None:
        """The fitted state, or None when it is not there."""
        return self._tree(key, "state")

    def load_note(self, key: str) -> dict[str, Any] | None:
        """The note that was stored with the fit, or None when it is not there."""
        return self._tree(key, "note")

    def _tree(self, key: str, name: str) -> Any | None:
        folder = self._fit(key)
        about = self._about(folder)
        if about is None or not (folder / name).is_dir():
            return None
        return read_tree(folder / name)

    def _about(self, folder: Path) -> dict[str, Any] | None:
        """What a manifest says, or None when there is nothing sound."""
        if not folder.exists():
            return None
        try:
            return check_folder(folder)
        except DamagedError:
            remove(folder)
            return None

    def _task(self, key: str) -> Path:
        return self.folder / "tasks" / check_key(key)[:2] / key

    def _fit(self, key: str) -> Path:
        return self._task(key) / "fit"

    def _rows(self, key: str, rows_digest: str) -> Path:
        return self._task(key) / f"rows-{check_key(rows_digest)}"
