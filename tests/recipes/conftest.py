"""What tests of all recipes need."""

import runpy
import sys

import pytest


@pytest.fixture
def complaint(request, monkeypatch, capsys):
    """Return a function that runs the module's RECIPE in this process, where it is to fail.

    It takes the command line and returns the last line that the recipe leaves with.
    """
    recipe = request.module.RECIPE

    def complaint(*arguments):
        monkeypatch.setattr(sys, "argv", [recipe.name, *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            runpy.run_path(str(recipe), run_name="__main__")
        printed = capsys.readouterr().err if exit.value.code == 2 else exit.value.code
        return printed.strip().splitlines()[-1]

    return complaint
