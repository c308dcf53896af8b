"""Films and sounds that are made for a test; the brightness of a frame is its number."""

from fractions import Fraction

import av
import numpy as np

FIRST, STEP = 10, 3
"""Grey level of frame 0, and how much brighter each next frame is."""


def number(image):
    """The number that a frame carries."""
    return round((float(np.asarray(image.convert("L")).mean()) - FIRST) / STEP)


def film(
    path,
    frames=30,
    rate=30,
    size=(64, 48),
    codec="libx264",
    pixels="yuv420p",
    stamps=None,
    tick=None,
    options=None,
    picture=None,
    rotation=0,
    sound=None,
):
    """Write a film of frames whose grey is their number; `stamps` are times in ticks."""
    options = {"crf": "4", "g": "12", "bf": "2"} if options is None else options
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        base = tick or Fraction(1, rate)
        stream.time_base = stream.codec_context.time_base = base
        if rotation:
            stream.set_display_rotation(rotation)
        heard = None
        if sound is not None:
            heard = container.add_stream("aac", rate=16000, layout="mono")
        for k in range(frames):
            if picture is None:
                values = np.full((size[1], size[0], 3), FIRST + STEP * k, dtype=np.uint8)
            else:
                values = picture(k)
            frame = av.VideoFrame.from_ndarray(values, format="rgb24")
            frame.pts, frame.time_base = k if stamps is None else stamps[k], base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if heard is not None:
            block = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = 16000, 0, Fraction(1, 16000)
            container.mux(heard.encode(block))
            container.mux(heard.encode(None))
    return str(path)


def tone(seconds, rate, hertz=440.0, layout="mono"):
    """A sine of amplitude 0.5."""
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.stack([wave] * (2 if layout == "stereo" else 1)).astype(np.float32)


def sound(path, values, rate, codec, kind="fltp"):
    """Write a file of sound; `values` have the shape (channel, sample)."""
    layout = "stereo" if len(values) == 2 else "mono"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        block = av.AudioFrame.from_ndarray(values, format="fltp", layout=layout)
        block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
        size = stream.codec_context.frame_size or 1024
        fifo = av.AudioFifo()
        fitting = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for ready in fitting.resample(block):
            fifo.write(ready)
        while (piece := fifo.read(size, partial=True)) is not None:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return str(path)
