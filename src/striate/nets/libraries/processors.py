"""What image processors of transformers do, by Pillow where that is the same to the byte."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Shaped, UInt8
from PIL import Image
from torch import Tensor

from striate.data import Shown
from striate.errors import RecipeError
from striate.media import Frames, read_frames
from striate.nets.inputs import Input
from striate.nets.inputs.clips import Clips
from striate.nets.inputs.pictures import Pictures, expected, normalised
from striate.nets.libraries.fitting import Fitted, stated_over
from striate.nets.libraries.sources import Source, loaded
from striate.nets.loading import Network
from striate.nets.preprocessing import FILTERS, Preprocessing
from striate.nets.weights import line_of

CLIPS = {
    "timesformer": "num_frames",
    "videomae": "num_frames",
    "vivit": "num_frames",
    "vjepa2": "frames_per_clip",
}
"""Types that are shown clips, and where their configuration has the number of frames."""
ANY = ("vjepa2",)
"""Types that take other numbers of frames as well."""
NAMES_OF_FILTERS = {int(value): name for name, value in FILTERS.items()}


def shown(network: Network, source: Source, config: Any, frames: Frames | None) -> Input:
    """Images or clips for a network of that configuration."""
    processor = loaded(source, config.model_type)
    if config.model_type in CLIPS:
        preprocessing = preprocessing_of(processor, network)
        return Clips(preprocessing, _frames_of_clip(network, config, frames), "frames")
    sized = network.size is not None or network.crop is not None
    if type(processor).__name__.startswith("SamImage") and not sized:
        box, edge = processor.pad_size, processor.size.longest_edge
        plain = stated_over(_plain(processor, (box.height, box.width)), network.stated)
        return Cornered(plain, frames or Frames(), int(edge))
    if not sized and not _known(processor):
        return _whole(processor, network, frames or Frames())
    return Pictures(preprocessing_of(processor, network), frames or Frames())


@dataclass(frozen=True)
class Called(Preprocessing):
    """Steps that only the library's processor itself can say, one frame at a time."""

    processor: Any = field(default=None, compare=False, repr=False)
    told: str = ""

    def pixels(self, image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
        """What the processor makes of an image, before scaling."""
        plain = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
        values = _frame(self.processor, image, **plain).transpose(1, 2, 0)
        return np.ascontiguousarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)

    def identity(self) -> dict[str, Any]:
        """The processor and its steps, with the normalisation."""
        return super().identity() | {"processor": self.told}


@dataclass(frozen=True)
class Cornered(Pictures):
    """The longer edge resized, and nothing behind normalisation right and below (SAM).

    Parameters
    ----------
    edge
        Length of the longer edge; `preprocessing` says the box that it is put in.

    """

    edge: int = 1024

    def read(self, shown: Shown) -> UInt8[np.ndarray, "frame height width 4"]:
        """Resized frames, with a fourth plane that is 1 where there is an image."""
        return np.stack([self._placed(image) for image in read_frames(shown, self.frames)])

    def __call__(self, items: Shaped[Tensor, "item height width 4"]) -> Float32[Tensor, "..."]:
        """Normalised images, zero where there is none."""
        images = normalised(items[..., :3], self.preprocessing)
        return images * items[..., 3:].movedim(-1, -3)

    def blank(self) -> Shaped[Tensor, "1 height width 4"]:
        """One black image."""
        pixels = torch.zeros(1, *self.preprocessing.shape, 4, dtype=torch.uint8)
        pixels[..., 3] = 1
        return pixels

    def identity(self) -> dict[str, Any]:
        """Preprocessing, frame rule and the longer edge."""
        return super().identity() | {"longer edge": self.edge}

    def _placed(self, image: Image.Image) -> UInt8[np.ndarray, "height width 4"]:
        scale = self.edge / max(image.size)
        width, height = (int(n * scale + 0.5) for n in image.size)
        resized = image.resize((width, height), FILTERS[self.preprocessing.interpolation])
        placed = np.zeros((*self.preprocessing.shape, 4), dtype=np.uint8)
        placed[:height, :width, :3] = np.asarray(resized)
        placed[:height, :width, 3] = 1
        return placed


@dataclass(frozen=True)
class Whole(Pictures):
    """Images just as the processor makes them, where its steps are of another kind (DINOv3).

    Parameters
    ----------
    processor
        Of transformers.
    told
        Its steps, for the identity; of `preprocessing`, only the shape is of use.

    """

    processor: Any = field(default=None, compare=False, repr=False)
    told: str = ""

    def read(self, shown: Shown) -> Float32[np.ndarray, "frame 3 height width"]:
        """Frames behind normalisation."""
        images = read_frames(shown, self.frames)
        made = [_frame(self.processor, image, return_tensors="np") for image in images]
        return np.stack(made).astype(np.float32)

    def __call__(self, items: Shaped[Tensor, "item 3 height width"]) -> Float32[Tensor, "..."]:
        """The same images."""
        return items

    def blank(self) -> Shaped[Tensor, "1 3 height width"]:
        """One image of zeros."""
        return torch.zeros(1, 3, *self.preprocessing.shape)

    def identity(self) -> dict[str, Any]:
        """Preprocessing, frame rule and the processor's steps."""
        return super().identity() | {"processor": self.told}


def preprocessing_of(processor: Any, network: Network) -> Preprocessing:
    """The processor's steps by Pillow where that is the same to the byte, or the processor itself.

    Either is held against what the processor makes of an image, for a release of the library may
    do what is not known here.

    Raises
    ------
    RecipeError
        When the processor makes images of different sizes, or does more than resize, crop and
        normalise, and no size is stated.

    """
    found = _translated(processor)
    if found is not None and _agrees(found, processor):
        return stated_over(found, network.stated)
    if network.size is not None or network.crop is not None:
        return stated_over(replace(_plain(processor, (1, 1)), crop=None), network.stated)
    plain = _called(processor)
    if not _agrees(plain, processor):
        raise RecipeError(
            f"{type(processor).__name__} of {network.model!r} does more than resize, crop and"
            " normalise, which is not known here: state size, and mean and std"
        )
    box = Fitted(plain.resize, None, plain.interpolation, plain.mean, plain.std)
    stated = stated_over(box, network.stated)
    names = ("interpolation", "mean", "std")
    if stated.interpolation != plain.interpolation:
        raise RecipeError(
            f"interpolation {stated.interpolation!r}: {type(processor).__name__} of"
            f" {network.model!r} has its own, so state size as well"
        )
    return replace(plain, **{n: getattr(stated, n) for n in names})


def _called(processor: Any) -> Called:
    """The processor itself, with the normalisation left to the device."""
    empty = Called(processor=processor, told=_told(processor))
    box = _plain(processor, empty.pixels(_noise()).shape[:2])
    names = ("resize", "interpolation", "mean", "std")
    return replace(empty, **{n: getattr(box, n) for n in names})


def _known(processor: Any) -> bool:
    """Whether the steps are a resize, a crop and a normalisation."""
    found = _translated(processor)
    if found is not None and _agrees(found, processor):
        return True
    try:
        return _agrees(_called(processor), processor)
    except RecipeError:
        return False


def _whole(processor: Any, network: Network, frames: Frames) -> Whole:
    stated = [name for name, value in network.stated.items() if value is not None]
    if stated:
        raise RecipeError(
            f"{', '.join(stated)}: {type(processor).__name__} of {network.model!r} has steps of"
            " another kind, so state size as well"
        )
    height, width = _frame(processor, _noise(), return_tensors="np").shape[1:]
    other = _frame(processor, _noise().rotate(90, expand=True), return_tensors="np")
    if other.shape[1:] != (height, width):
        raise RecipeError(
            f"{type(processor).__name__} of {network.model!r} makes images of different sizes:"
            " state size"
        )
    return Whole(_plain(processor, (height, width)), frames, processor, _told(processor))


def _told(processor: Any) -> str:
    told = {k: v for k, v in processor.to_dict().items() if k != "_processor_class"}
    return json.dumps(told, sort_keys=True, default=str)


def _agrees(preprocessing: Preprocessing, processor: Any) -> bool:
    """Whether an image comes out as the processor itself makes it, normalised."""
    found = normalised(torch.from_numpy(preprocessing.pixels(_noise())), preprocessing)
    whole = _frame(processor, _noise(), return_tensors="np")
    return whole.shape == tuple(found.shape) and bool(np.allclose(whole, found, atol=1e-4))


def _noise() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (183, 250, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def _frame(processor: Any, image: Image.Image, **steps: Any) -> np.ndarray:
    """What a processor of images or of films makes of one frame: (3, height, width)."""
    try:
        if hasattr(processor, "sample_frames"):
            clip = [np.array(image).transpose(2, 0, 1)]
            made = processor(videos=[clip], do_sample_frames=False, **steps)
        else:
            made = processor(images=image, **steps)
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"{type(processor).__name__} cannot make a picture ({line_of(error)}): state size, and"
            " mean and std"
        ) from error
    values = np.asarray(made.get("pixel_values_videos", made.get("pixel_values")))
    if values.ndim < 3 or values.shape[-3] != 3 or values.size != np.prod(values.shape[-3:]):
        raise RecipeError(
            f"{type(processor).__name__} makes {values.shape} of an image, not one picture of three"
            " colours: state size"
        )
    return values.reshape(values.shape[-3:])


def _translated(processor: Any) -> Fitted | None:
    """The steps as fields, where the processor does nothing of its own."""
    from transformers.image_processing_backends import PilBackend

    made: Any = PilBackend
    if not isinstance(processor, made):
        return None
    own = ["resize", "center_crop", "rescale", "normalize", "process_image", "convert_to_rgb"]
    if type(processor).__name__ != "VideoMAEImageProcessorPil":  # the plain steps, frame by frame
        own.append("_preprocess")
    if any(getattr(type(processor), n) is not getattr(made, n) for n in own):
        return None
    size = processor.size
    edges = size.shortest_edge, size.height
    simple = not size.longest_edge and any(edges) and processor.do_resize
    if not simple or not processor.do_rescale or getattr(processor, "do_pad", False):
        return None
    if abs(processor.rescale_factor * 255 - 1) > 1e-6:
        return None
    crop = processor.crop_size if processor.do_center_crop else None
    if size.shortest_edge and crop is None:
        return None
    resize = int(edges[0]) if edges[0] else (int(size.height), int(size.width))
    box = None if crop is None else (int(crop.height), int(crop.width))
    return replace(_plain(processor, box or (1, 1)), resize=resize, crop=box)


def _plain(processor: Any, size: tuple[int, int]) -> Fitted:
    """Filter, mean and standard deviation of a processor, at a size."""
    normal = bool(processor.do_normalize)
    return Fitted(
        resize=size,
        interpolation=NAMES_OF_FILTERS[int(processor.resample)],
        mean=tuple(float(v) for v in processor.image_mean) if normal else (0.0,) * 3,
        std=tuple(float(v) for v in processor.image_std) if normal else (1.0,) * 3,
        centre="down",
    )


def _frames_of_clip(network: Network, config: Any, frames: Frames | None) -> Frames:
    count = int(getattr(config, CLIPS[config.model_type]))
    if frames is None:
        return Frames.parse(count)
    if config.model_type not in ANY and expected(frames) != count:
        raise RecipeError(
            f"{network.model!r} is shown clips of {count} frames, not {expected(frames)}: use"
            f" frames = {count}"
        )
    return frames
