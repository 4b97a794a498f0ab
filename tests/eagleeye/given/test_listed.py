import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from eagleeye.compression.training import CollectedData
from eagleeye.data import Batches, Images
from eagleeye.errors import ConfigError, DataError
from eagleeye.given import batches_of, collect, streamed
from eagleeye.task.named import TASKS
from eagleeye.train import Recipe, current_share
from tests.eagleeye.detectors import detector, pictures, targets

TASK = TASKS["detection"]


class Pairs(Dataset):
    def __init__(self, images, wanted):
        self.images, self.wanted = images, wanted

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        return self.images[row], {**self.wanted[row], "image_id": row}


def forms():
    data = Pairs(pictures(10), targets(10))
    zipped = DataLoader(data, batch_size=4, shuffle=True, collate_fn=lambda items: tuple(zip(*items, strict=True)))
    stacked = DataLoader(
        data, collate_fn=lambda items: (torch.stack([item[0] for item in items]), [item[1] for item in items])
    )
    return {"pair": (data.images, data.wanted), "set": data, "loader": DataLoader(data), "zip": zipped, "list": stacked}


def equal(one, other):
    return len(one) == len(other) and all(
        torch.equal(a[key], b[key]) for a, b in zip(one, other, strict=True) for key in ("boxes", "labels")
    )


@pytest.mark.parametrize("form", list(forms()))
def test_boxes_stay_with_their_images_in_every_form(form):
    found = collect(forms()[form], task=TASK)
    rows = np.array([7, 2, 2, 9, 0])
    read = found.read(rows)
    assert found.labelled and len(read) == 5
    assert torch.equal(read.pixels, pictures(10)[rows])
    assert equal(read.labels, [targets(10)[row] for row in rows])


def test_batches_of_them_are_cut_where_the_images_are():
    batches = batches_of((pictures(10), targets(10)), detector(), labelled=True, task=TASK)
    batches.batch_size = 4
    assert [len(images) for images, _ in batches] == [len(wanted) for _, wanted in batches] == [4, 4, 2]
    assert equal([each for _, wanted in batches for each in wanted], targets(10))
    assert equal(batches.first(3).labels, targets(10)[:3])
    images, wanted = batches.in_precision(torch.float64).part(3, 6)
    assert images.dtype == torch.float64 and equal(wanted, targets(10)[3:6])
    assert wanted[0]["boxes"].dtype == torch.float32


def test_without_boxes_what_the_network_is_sure_of_stands_for_them():
    batches = batches_of(pictures(6), detector(), labelled=True, task=TASK)
    with torch.no_grad():
        outputs = detector()(pictures(6))
    sure = [{key: each[key][each["scores"] >= 0.5] for key in ("boxes", "labels")} for each in outputs]
    assert not batches.labels_known
    assert equal(batches.labels, sure)


def test_training_reads_them_batch_by_batch():
    data = CollectedData(collect(Pairs(pictures(10), targets(10)), task=TASK), np.arange(2, 10), torch.device("cpu"))
    recipe = Recipe(1, batch_size=3, augment="none")
    known = {tuple(image.flatten().tolist()): row for row, image in enumerate(pictures(10))}
    seen = []
    for images, wanted in data.batches(recipe, 0, current_share()):
        rows = [known[tuple(image.flatten().tolist())] for image in images]
        assert equal(wanted, [targets(10)[row] for row in rows])
        seen += rows
    assert sorted(seen) == list(range(2, 10))


def test_a_stream_passes_them_on():
    loader = DataLoader(
        Pairs(pictures(4), targets(4)), collate_fn=lambda items: (torch.stack([items[0][0]]), [items[0][1]])
    )
    assert equal([wanted[0] for _, wanted in streamed(loader, detector(), labelled=True)], targets(4))


def other_size(row):
    images = list(pictures(4))
    images[row] = torch.rand(1, 16, 20)
    return images


@pytest.mark.parametrize(
    ("images", "wanted", "said"),
    [
        (other_size(2), targets(4), r"image 2 has shape \(1, 16, 20\), image 0 \(1, 16, 16\); bring all to one size"),
        (pictures(4), [{"boxes": torch.tensor([[0, 0, np.nan, 1]])}] * 4, "target of image 0 holds NaN"),
        (pictures(4), [{"name": "cat"}] * 4, "target of image 0 is a dict without tensors"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_line(images, wanted, said):
    with pytest.raises(DataError, match=said) as caught:
        collect(Pairs(images, wanted), task=TASK).read(np.arange(4))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "task", "said"),
    [
        (targets(3), "detection", "4 images, but 3 targets; needed is one for each"),
        (torch.zeros(4, 2, 2), "detection", "targets are a Tensor; detection needs a list with a dict of tensors"),
        (targets(4), "regression", "targets are a list; regression needs a tensor with an entry for each"),
    ],
)
def test_targets_of_another_kind_are_refused(wanted, task, said):
    with pytest.raises(DataError, match=said):
        collect((pictures(4), wanted), task=TASKS[task])


def test_images_without_a_batch_are_refused():
    with pytest.raises(ConfigError, match="batch_size"):
        Batches(Images(pictures(2), targets(2)), None, batch_size=0, device="cpu", labelled=True)
