"""The one door to all sources."""

from pathlib import Path

import numpy as np
import pytest

from eagleeye.data import ImageSet, Preprocess, decode, open_source
from eagleeye.errors import ConfigError, DataError

OWN = """
import numpy as np
from PIL import Image
from eagleeye.errors import DataError

def good(count, side=8):
    items = [(np.full((side, side, 3), row, dtype=np.uint8), row % 2) for row in range(count)]
    return items, [(Image.new("L", (side, side)), 0), (Image.new("L", (side, side)), 1)]

def failing():
    raise FileNotFoundError("no microscope\\nattached")

def refusing():
    raise DataError("plate 7 is empty")

def lonely():
    return [1, 2, 3]
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_source_module.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_source_module"


def test_a_function_of_ones_own(own: str) -> None:
    train, test = open_source(f"{own}:good", count=30, side=6)
    assert isinstance(train, ImageSet)
    assert isinstance(test, ImageSet)
    found = decode(train, None, Preprocess())
    assert found.pixels.shape == (30, 3, 6, 6)
    assert found.pixels[:, 0, 0, 0].tolist() == list(range(30))
    assert np.array_equal(train.labels, np.arange(30) % 2)
    assert train.classes == test.classes == ("0", "1")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("good", {"cuont": 1}, "good failed: TypeError: good() got an unexpected keyword argument 'cuont'"),
        ("failing", {}, "failing failed: FileNotFoundError: no microscope attached"),
        ("refusing", {}, "plate 7 is empty"),
        ("lonely", {}, "lonely returned a list; needed is a pair"),
        ("absent", {}, "'absent' is missing in"),
    ],
)
def test_what_can_go_wrong_in_it(own: str, name: str, options: dict, message: str) -> None:
    with pytest.raises(DataError) as caught:
        open_source(f"{own}:{name}", **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digit", {}, "unknown data source 'digit'; allowed are digits, scenes, parquet, imagefolder"),
        ("digits", {"size": 8}, "data source digits has no option 'size'; it takes none"),
        ("parquet", {"train": "a"}, "data source parquet needs the option 'test'"),
        ("imagefolder", {"train": "a", "tset": "b"}, "has no option 'tset'; it takes train, test"),
        ("imagefolder", {"train": "a", "test": None}, "needs the option 'test'"),
    ],
)
def test_unknown_names_and_options(name: str, options: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(name, **options)
    assert message in str(caught.value)
