import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eagleeye.train.augment import apply, draw, generator


def moved_by_hand(image, down, right, mirror):
    """The same, pixel by pixel: pad, cut out, mirror."""
    channels, height, width = image.shape
    padded = np.zeros((channels, 3 * height, 3 * width), image.dtype)
    padded[:, height : 2 * height, width : 2 * width] = image
    top, left = height - down, width - right
    cut = padded[:, top : top + height, left : left + width]
    return cut[:, :, ::-1] if mirror else cut


@settings(deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    changes=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 1)), min_size=1, max_size=4),
)
def test_every_image_moves_as_one_would_move_it_by_hand(height, width, changes):
    changes = [(max(-height, min(d, height)), max(-width, min(r, width)), m) for d, r, m in changes]
    pixels = torch.randint(1, 256, (len(changes), 3, height, width), dtype=torch.uint8)
    found = apply(pixels, torch.tensor(changes))
    for image, result, change in zip(pixels.numpy(), found.numpy(), changes, strict=True):
        np.testing.assert_array_equal(result, moved_by_hand(image, *change))
    assert found.dtype == torch.uint8


def test_shifts_reach_an_eighth_of_each_side_and_every_value_occurs():
    changes = draw("shift_flip", 4000, (32, 16), generator(0))
    assert sorted(set(changes[:, 0].tolist())) == list(range(-4, 5))
    assert sorted(set(changes[:, 1].tolist())) == list(range(-2, 3))
    assert 0.45 < changes[:, 2].float().mean() < 0.55


def test_shift_alone_never_mirrors_and_none_changes_nothing():
    assert not draw("shift", 500, (32, 32), generator(0))[:, 2].any()
    assert not draw("none", 500, (32, 32), generator(0)).any()


def test_equal_keys_draw_the_same_and_neighbouring_keys_differ():
    keys = [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 0)]
    draws = [draw("shift_flip", 64, (32, 32), generator(*key)) for key in keys]
    assert torch.equal(draws[0], draw("shift_flip", 64, (32, 32), generator(0, 0, 1)))
    assert not any(torch.equal(a, b) for i, a in enumerate(draws) for b in draws[:i])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_moves_images_as_the_cpu_does():
    pixels = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    changes = draw("shift_flip", 64, (32, 32), generator(0))
    assert torch.equal(apply(pixels.cuda(), changes).cpu(), apply(pixels, changes))
