"""Frames to a video file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from greenroom.errors import ConfigurationError, GreenroomError
from greenroom.specs import Array

SUFFIXES = (".mp4", ".gif")


def check_video_path(path: Path) -> None:
    """Refuse, before anything is played, a file name that no video can be written to."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(
            f"A video's file name must end in {' or '.join(SUFFIXES)}. Got: {path.name}."
        )
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigurationError(f"A video is a file in an existing folder. Got: {path}.")


def write_video(path: Path, frames: Sequence[Array], frames_per_second: float) -> None:
    """Write frames ([height, width, 3] uint8 each) as mp4 (H.264) or gif, by the suffix.

    Raises:
        ConfigurationError: another suffix, or no such folder.
        GreenroomError: imageio is not installed.
    """
    check_video_path(path)
    try:
        import imageio.v3 as imageio
    except ImportError as error:
        raise GreenroomError(
            "Videos need imageio; pip install 'greenroom[video]'. Got: " + str(error)
        ) from error
    if path.suffix.lower() == ".gif":
        imageio.imwrite(path, list(frames), duration=1000 / frames_per_second, loop=0)
    else:
        # Players refuse other pixel formats and odd sizes; macro_block_size 2 pads to even.
        imageio.imwrite(
            path,
            list(frames),
            fps=frames_per_second,
            codec="libx264",
            pixelformat="yuv420p",
            macro_block_size=2,
        )
