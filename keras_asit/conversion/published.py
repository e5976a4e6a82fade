"""Presets from published PyTorch files."""

from keras_asit.conversion.loading import load_backbone, load_event_detector
from keras_asit.models import ASiTAudioConverter
from keras_asit.models.presets import CONVERSIONS, PRESETS


def convert_published_file(name, path, folder):
    """Write the built-in preset that is made of a published file to a folder.

    Raises:
        ValueError: if the file cannot be loaded, or holds a network of another size.
    """
    preset = PRESETS[name]
    expected = preset["backbone"]
    load = load_backbone if preset["task"] is None else load_event_detector
    try:
        model = load(path, num_heads=expected["num_heads"])
        config = (model if preset["task"] is None else model.backbone).get_config()
        differing = {key: config[key] for key in expected if config[key] != expected[key]}
        if differing:
            raise ValueError(f"The network has {differing}, not those of {expected}.")
    except ValueError as error:
        raise ValueError(f"{path} is not the published file of {name!r}. {error}") from error
    model.save_to_preset(str(folder))
    ASiTAudioConverter(**preset["converter"]).save_to_preset(str(folder))


CONVERSIONS[".pt"] = convert_published_file
