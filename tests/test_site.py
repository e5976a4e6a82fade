"""The documentation site: it builds without a warning, is complete, and asks no network."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import keras_asit
from keras_asit import hear

pytest.importorskip("mkdocs", reason="the site is built with the extra docs")
pytestmark = pytest.mark.slow
ROOT = Path(keras_asit.__file__).parents[1]
PACKAGES = [*(getattr(keras_asit, name) for name in keras_asit.__all__), hear]
# What a browser loads by itself; links that a reader may follow are `href` of `a`.
LOADED = {"src": {"audio", "embed", "iframe", "img", "script", "source"}, "href": {"link"}}
NOT_LOADED = {"canonical", "next", "prev"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site, in which a warning is an error, and return its folder."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


class Elements(HTMLParser):
    """The addresses that a page loads, and the ids of its elements."""

    def __init__(self, page):
        super().__init__()
        self.loaded, self.ids = [], set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids.add(values.get("id"))
        if values.get("rel") not in NOT_LOADED:
            self.loaded += [
                values[name] for name, tags in LOADED.items() if tag in tags and values.get(name)
            ]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_reference_has_every_public_name(site, package):
    page = site / "reference" / f"{package.__name__.removeprefix('keras_asit.')}.html"
    ids = Elements(page).ids
    names = {f"{package.__name__}.{name}" for name in package.__all__}
    assert names and names <= ids, sorted(names - ids)


def test_pages_load_nothing_from_the_network(site):
    pages = sorted(site.rglob("*.html"))
    loaded = {address for page in pages for address in Elements(page).loaded}
    assert len(pages) > len(PACKAGES)
    assert len(loaded) > 5
    # What is in the page itself, such as the sounds of notebooks, is in its address.
    assert not {address for address in loaded if "//" in address and address[:5] != "data:"}
    styles = "".join(sheet.read_text(encoding="utf-8") for sheet in site.rglob("*.css"))
    assert not re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^\"')]+", styles)
