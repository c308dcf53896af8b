"""Where a network of transformers is from, and what comes with it besides weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from striate.errors import FileError, RecipeError, unknown
from striate.nets.libraries import needed
from striate.nets.loading import Network
from striate.nets.repair import repair
from striate.nets.weights import line_of

USUAL = ("clip", "dinov2", "sam", "videomae", "vjepa2", "whisper", "wav2vec2", "owner/name")
"""What to name where a type is not known."""


@dataclass(frozen=True)
class Source:
    """Where a network is from: a folder, a hub, or nowhere but the name of its type.

    Parameters
    ----------
    place
        Folder or id of a hub; empty for a type.
    revision
        Of the hub: a commit, once that is known.
    type
        The type of the network where it has no place.

    """

    place: str
    revision: str | None = None
    type: str = ""

    @property
    def local(self) -> bool:
        """Whether it is a folder."""
        return bool(self.place) and Path(self.place).is_dir()


def source_of(network: Network) -> Source:
    """Where the network is from.

    Raises
    ------
    RecipeError
        When the name is neither a folder, nor an id of a hub, nor a type.
    FileError
        When a folder has no configuration, or a hub cannot be reached.

    """
    model = network.model
    folder = Path(model).expanduser()
    if (folder / "config.json").is_file():
        return Source(str(folder))
    paths = model.startswith((".", "/", "~")) or model.count("/") > 1
    if paths or ("/" in model and folder.is_dir()):
        raise FileError(
            f"{model}: no folder with config.json; save_pretrained() of transformers writes one"
        )
    if "/" in model:
        tagged = network.pretrained and network.weights != "default"
        return Source(model, _commit(model, network.weights if tagged else None))
    if model not in library().CONFIG_MAPPING:
        raise RecipeError(unknown("transformers model", model, [*USUAL, "a folder"]))
    return Source("", type=model)


def fields_of(source: Source) -> dict[str, Any]:
    """The configuration of a folder or hub, as it is written there; empty for a type."""
    return dict(_config(source.place, source.revision, stamp(source))) if source.place else {}


def loaded(source: Source, type_: str, sound: bool = False) -> Any:
    """The processor of a folder or hub, or as its class makes it where there is none."""
    return _loaded(source.place, source.revision, type_, sound, stamp(source))


@lru_cache(maxsize=16)
def _loaded(place: str, revision: str | None, type_: str, sound: bool, changed: int) -> Any:
    from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoVideoProcessor

    pictures: list[Any] = [(AutoImageProcessor, {"backend": "pil"}), (AutoVideoProcessor, {})]
    reasons = []
    with warnings.catch_warnings(), silent():
        warnings.simplefilter("ignore")  # of filters for sound that hold no frequency
        if not place or (Path(place).is_dir() and not any(Path(place).glob("*process*.json"))):
            return _default(type_, sound)
        for auto, more in [(AutoFeatureExtractor, {})] if sound else pictures:
            try:
                return auto.from_pretrained(place, revision=revision, **more)
            except Exception as error:  # of many kinds, by what is missing or damaged
                reasons.append(line_of(error))
    raise FileError(
        f"{place}: what prepares stimuli for it cannot be read ({'; '.join(reasons)}); correct its"
        " preprocessor_config.json, or remove that for the defaults of its type"
    )


def _default(type_: str, sound: bool) -> Any:
    import transformers
    from transformers.models.auto import feature_extraction_auto, image_processing_auto

    base = type_.removesuffix("_vision_model")
    name: Any
    if sound:
        name = feature_extraction_auto.FEATURE_EXTRACTOR_MAPPING_NAMES.get(base)
    else:
        kinds = image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES.get(base) or {}
        name = kinds.get("pil") or kinds.get("torchvision")
    if name is None and not sound:
        from transformers.models.auto import video_processing_auto

        name = video_processing_auto.VIDEO_PROCESSOR_MAPPING_NAMES.get(base)
        name = next(iter(name.values()), None) if isinstance(name, dict) else name
    if name is None:
        raise RecipeError(
            f"networks of type {type_!r} have no processor of their own: give a folder with"
            " preprocessor_config.json"
        )
    return getattr(transformers, name)()


def stamp(source: Source) -> int:
    """When the files of a folder that are no weights were last changed."""
    if not source.local:
        return 0
    return max((f.stat().st_mtime_ns for f in Path(source.place).glob("*.json")), default=0)


@contextmanager
def silent() -> Iterator[None]:
    """No bars and no reports of tensors that the other tower would have taken."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def library() -> Any:
    """The package, imported when torchvision is fit to be.

    Raises
    ------
    RecipeError
        When it is not installed.

    """
    try:
        repair()
        import transformers
    except ImportError as error:
        raise needed("transformers", "transformers", error) from error
    return transformers


@lru_cache(maxsize=16)
def _config(place: str, revision: str | None, changed: int) -> dict[str, Any]:
    try:
        library()
        from transformers import PreTrainedConfig

        found: dict[str, Any] = PreTrainedConfig.get_config_dict(place, revision=revision)[0]
        return found
    except (OSError, ValueError) as error:
        raise FileError(
            f"{place}: is no configuration of a network that transformers knows ({line_of(error)})"
        ) from error


@lru_cache(maxsize=16)
def _commit(model: str, revision: str | None) -> str:
    """The commit that a tag or branch of a hub stands for."""
    library()
    from transformers.utils.hub import cached_file, extract_commit_hash

    try:
        file = str(cached_file(model, "config.json", revision=revision))
        found = extract_commit_hash(file, None)
    except (OSError, ValueError) as error:
        raise FileError(
            f"{model!r} of a hub is not on this computer and could not be downloaded"
            f" ({line_of(error)}); fetch it where there is a network and name its folder as model"
        ) from error
    return str(found or revision or "main")
