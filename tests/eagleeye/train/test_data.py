import pytest
import torch

from eagleeye.data import Batches, Preprocess
from eagleeye.errors import ConfigError, DataError
from eagleeye.train import Recipe, ResidentData, StreamedData, open_training
from eagleeye.train.data import epoch_plan
from eagleeye.train.distributed import Share

ALONE = Share()


def collect(data, recipe, epoch=0, share=ALONE):
    return [(x.clone(), y.clone()) for x, y in data.batches(recipe, epoch, share)]


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(x, a) and torch.equal(y, b) for (x, y), (a, b) in zip(first, second, strict=True)
    )


def test_an_epoch_shows_every_image_once_with_its_own_label(images, preprocess):
    data = ResidentData(images, preprocess, "cpu")
    seen = collect(data, Recipe(epochs=1, batch_size=10, augment="none"))
    pixels = torch.cat([x for x, _ in seen])
    labels = torch.cat([y for _, y in seen])
    plain = next(iter(Batches(images, preprocess, batch_size=64, device="cpu", labelled=True)))
    order = [int((plain[0] == x).flatten(1).all(1).nonzero()) for x in pixels]
    assert sorted(order) == list(range(64))
    assert order != sorted(order)
    assert torch.equal(labels, plain[1][order])


@pytest.mark.parametrize("augment", ["none", "shift", "shift_flip"])
def test_streamed_images_are_the_resident_ones_bit_for_bit(squares, images, preprocess, augment):
    recipe = Recipe(epochs=1, batch_size=24, augment=augment, seed=3)
    resident = ResidentData(images, preprocess, "cpu")
    streamed = StreamedData(squares, range(64), preprocess, "cpu", workers=0)
    assert same(collect(resident, recipe, 1), collect(streamed, recipe, 1))


@pytest.mark.parametrize("augment", ["shift_flip", "resized_crop"])
def test_workers_do_not_change_what_is_seen(squares, augment):
    recipe = Recipe(epochs=1, batch_size=24, augment=augment)
    sized = Preprocess(size=12)
    alone, two = (StreamedData(squares, range(64), sized, "cpu", workers=count) for count in (0, 2))
    assert same(collect(alone, recipe), collect(two, recipe))


def test_a_random_crop_shows_parts_of_the_picture_and_other_parts_next_time(squares):
    data = StreamedData(squares, range(64), Preprocess(size=8), "cpu", workers=0)
    recipe = Recipe(epochs=2, batch_size=64, augment="resized_crop")
    first, again, later = (collect(data, recipe, epoch)[0][0] for epoch in (0, 0, 1))
    assert first.shape == (64, 3, 8, 8)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_a_random_crop_leaves_the_callers_random_state_alone(squares):
    data = StreamedData(squares, range(64), Preprocess(size=8), "cpu", workers=0)
    before = torch.get_rng_state()
    collect(data, Recipe(epochs=2, batch_size=64, augment="resized_crop"))
    assert torch.equal(before, torch.get_rng_state())


def test_only_the_training_rows_are_shown(squares, preprocess):
    rows = [5, 9, 11, 40]
    data = open_training(squares, rows, preprocess, Recipe(epochs=1, augment="none"), device="cpu")
    (x, y), *rest = collect(data, Recipe(epochs=1, augment="none"))
    assert not rest
    assert sorted(y.tolist()) == sorted(squares.labels[rows].tolist())
    mean = squares.pictures[rows].mean() / 255
    assert float((x * data.std + data.mean).mean()) == pytest.approx(mean, abs=1e-5)


def test_epochs_and_seeds_give_other_orders(images, preprocess):
    plans = [torch.cat(epoch_plan(64, Recipe(epochs=2, seed=seed), epoch)) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    assert not any(torch.equal(plans[i], plans[j]) for i, j in [(0, 1), (0, 2), (1, 2)])


def test_a_last_batch_of_one_image_is_dropped_because_batch_norm_cannot_use_it():
    assert [len(rows) for rows in epoch_plan(21, Recipe(epochs=1, batch_size=10), 0)] == [10, 10]
    assert [len(rows) for rows in epoch_plan(22, Recipe(epochs=1, batch_size=10), 0)] == [10, 10, 2]


@pytest.mark.parametrize("augment", ["none", "shift_flip"])
def test_the_shares_of_all_processes_make_up_the_batches_of_one(images, preprocess, augment):
    data, recipe = ResidentData(images, preprocess, "cpu"), Recipe(epochs=1, batch_size=20, augment=augment)
    whole = collect(data, recipe)
    shares = [collect(data, recipe, share=Share(rank, 2)) for rank in (0, 1)]
    for (x, y), (x0, y0), (x1, y1) in zip(whole, *shares, strict=True):
        assert torch.equal(x[0::2], x0)
        assert torch.equal(x[1::2], x1)
        assert torch.equal(torch.stack([y0, y1], 1).flatten(), y)


def test_processes_get_equal_shares_even_of_the_last_batch():
    plan = epoch_plan(23, Recipe(epochs=1, batch_size=8), 0, world=4)
    assert [len(rows) for rows in plan] == [8, 8]


def test_a_batch_that_cannot_be_shared_out_is_refused():
    with pytest.raises(ConfigError, match="batch_size 10 cannot be shared out among 4 processes"):
        epoch_plan(64, Recipe(epochs=1, batch_size=10), 0, world=4)


def test_the_memory_limit_decides_between_resident_and_streamed(squares, preprocess):
    recipe, needed = Recipe(epochs=1), 64 * 3 * 16 * 16
    at, below = (
        open_training(squares, range(64), preprocess, recipe, device="cpu", resident_limit_bytes=limit)
        for limit in (needed, needed - 1)
    )
    assert isinstance(at, ResidentData)
    assert isinstance(below, StreamedData)


def test_random_crops_are_always_cut_from_the_original_pictures(squares):
    recipe = Recipe(epochs=1, augment="resized_crop")
    assert isinstance(open_training(squares, range(64), Preprocess(size=8), recipe, device="cpu"), StreamedData)


def test_a_random_crop_without_a_size_is_refused(squares, preprocess):
    data = StreamedData(squares, range(64), preprocess, "cpu", workers=0)
    with pytest.raises(ConfigError, match="needs the size"):
        collect(data, Recipe(epochs=1, augment="resized_crop"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_image_is_named_without_a_workers_traceback(squares, preprocess, workers):
    good = squares.encoded
    squares.encoded = lambda row: b"not an image" if row == 7 else good(row)
    data = StreamedData(squares, range(64), preprocess, "cpu", workers=workers)
    with pytest.raises(DataError, match=r"^[^\n]*row 7[^\n]*$"):
        collect(data, Recipe(epochs=1))


def test_no_training_images_is_an_error(squares, preprocess):
    with pytest.raises(DataError, match="no training image is left"):
        open_training(squares, [], preprocess, Recipe(epochs=1), device="cpu")
