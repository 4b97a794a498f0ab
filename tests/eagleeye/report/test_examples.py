"""Test images with masks and boxes, as they are drawn."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from eagleeye.report import write_report
from eagleeye.report.examples import Examples, draw_examples
from eagleeye.report.theme import LIGHT

MASK = np.array([[0, 1], [255, 2]])
BOXES = {"boxes": np.array([[1.0, 2.0, 5.0, 8.0]]), "labels": np.array([3])}


@pytest.fixture
def examples() -> Examples:
    images = np.random.default_rng(0).random((2, 2, 2))
    return Examples(images, {"as labelled": [MASK, MASK], "pruned": [MASK, np.zeros((2, 2), int)]})


def test_pixels_of_a_class_are_coloured_and_no_others(examples: Examples) -> None:
    figure = draw_examples(examples, LIGHT)
    axes = np.array(figure.axes).reshape(2, 3)
    assert [each.get_title(loc="left") for each in axes[0]] == ["image", "as labelled", "pruned"]
    image, over = axes[0, 1].get_images()
    assert np.array_equal(image.get_array(), examples.images[0])
    colours = np.asarray(over.get_array())
    assert np.array_equal(colours[..., 3] > 0, (MASK != 0) & (MASK != 255))
    assert not np.array_equal(colours[0, 1], colours[1, 1])
    assert (np.asarray(axes[1, 2].get_images()[1].get_array())[..., 3] == 0).all()


def test_boxes_are_where_they_are_in_the_picture() -> None:
    figure = draw_examples(Examples(np.zeros((1, 9, 9, 3)), {"full network": [BOXES]}), LIGHT)
    (box,) = [patch for patch in figure.axes[1].patches if isinstance(patch, Rectangle)]
    assert (box.get_xy(), box.get_width(), box.get_height()) == ((1.0, 2.0), 4.0, 6.0)


def test_the_page_begins_its_figures_with_them(make_report, examples: Examples, tmp_path) -> None:
    write_report(make_report(examples=examples), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.index("Test images</h2>") < page.index("Scores before fine-tuning</h2>")
    assert (tmp_path / "examples.png").is_file()
    write_report(make_report(), tmp_path / "without")
    assert not (tmp_path / "without" / "examples.png").exists()
