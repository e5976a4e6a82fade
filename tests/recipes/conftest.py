"""What tests of all recipes need."""

import contextlib
import io
import runpy
import sys

import keras
import pytest

from keras_asit.models import ASiTAudioConverter, ASiTBackbone


@pytest.fixture(scope="module")
def run_here(request):
    """Return a function that runs the module's RECIPE in this process.

    It takes the command line and returns what the recipe prints.
    """
    recipe = request.module.RECIPE

    def run_here(*arguments):
        printed = io.StringIO()
        try:
            with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
                patch.setattr(sys, "argv", [recipe.name, *map(str, arguments)])
                runpy.run_path(str(recipe), run_name="__main__")
        finally:
            print(printed.getvalue(), end="")
        return printed.getvalue()

    return run_here


@pytest.fixture
def complaint(run_here, capsys):
    """Return a function that runs the module's RECIPE in this process, where it is to fail.

    It takes the command line and returns the last line that the recipe leaves with.
    """

    def complaint(*arguments):
        with pytest.raises(SystemExit) as exit:
            run_here(*arguments)
        printed = capsys.readouterr().err if exit.value.code == 2 else exit.value.code
        return printed.strip().splitlines()[-1]

    return complaint


@pytest.fixture(scope="session")
def preset(tmp_path_factory):
    """The folder of a small preset that reads 32 frames and 16 mel bins."""
    folder = str(tmp_path_factory.mktemp("preset"))
    keras.utils.set_random_seed(1)
    ASiTBackbone((32, 16), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8).save_to_preset(
        folder
    )
    ASiTAudioConverter(num_frames=32, num_mels=16).save_to_preset(folder)
    return folder
