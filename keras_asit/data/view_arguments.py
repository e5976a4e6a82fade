"""Lengths and converters of the views of pre-training."""

import numbers

from keras_asit.arguments import check_number, check_positive_integer
from keras_asit.models import ASiTAudioConverter

PATCH_FRAMES = 16


def view_arguments(
    sample_rate,
    crop_seconds,
    num_local_crops,
    local_crop_seconds,
    num_mels,
    mean,
    standard_deviation,
    roll_probability,
):
    """Return arguments, once they are checked, as `RandomViews` and `LogMelViews` take them."""
    check_positive_integer("sample_rate", sample_rate)
    check_number("crop_seconds", crop_seconds, 0)
    is_integer = isinstance(num_local_crops, numbers.Integral)
    if not is_integer or isinstance(num_local_crops, bool) or num_local_crops < 0:
        raise ValueError(
            f"`num_local_crops` must be an integer of at least 0. "
            f"Received: num_local_crops={num_local_crops!r}"
        )
    longest = crop_seconds if num_local_crops else None
    check_number("local_crop_seconds", local_crop_seconds, 0, longest)
    check_number("roll_probability", roll_probability, 0, 1)

    def converter(name, seconds):
        full = ASiTAudioConverter(sample_rate, 1, num_mels, mean, standard_deviation)
        frames = full.filterbank.num_frames(round(seconds * sample_rate))
        if frames < PATCH_FRAMES:
            raise ValueError(
                f"`{name}` must give at least {PATCH_FRAMES} frames of 25 ms every 10 ms. "
                f"Received: {name}={seconds!r}"
            )
        frames -= frames % PATCH_FRAMES
        return ASiTAudioConverter(sample_rate, frames, num_mels, mean, standard_deviation)

    return {
        "converter": converter("crop_seconds", crop_seconds),
        "local_converter": (
            converter("local_crop_seconds", local_crop_seconds) if num_local_crops else None
        ),
        "crop": round(crop_seconds * sample_rate),
        "local_crop": round(local_crop_seconds * sample_rate),
        "num_local_crops": num_local_crops,
        "roll_probability": roll_probability,
    }
