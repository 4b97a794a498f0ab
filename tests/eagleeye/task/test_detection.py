import copy

import numpy as np
import pytest
import torch
from torch import nn

import eagleeye
from eagleeye.compression.checks import check_network
from eagleeye.compression.record import key_of
from eagleeye.engine import Engine
from eagleeye.errors import ConfigError, DataError, EvaluationError
from eagleeye.given import batches_of
from eagleeye.scoring.measure import measure
from eagleeye.task.detection import classes_of
from eagleeye.task.named import TASKS
from tests.eagleeye.detectors import CLASSES, SIDE, detector, pictures, targets

TASK = TASKS["detection"]
SMALL = {"macs": 0.5, "candidates": 2, "tolerance": 0.05, "progress": False, "core": "backbone", "task": "detection"}


def test_map_is_that_of_torchmetrics():
    from torchmetrics.detection import MeanAveragePrecision

    model, images, wanted = detector(), pictures(30), targets(30)
    found = measure(model, [(images[:20], wanted[:20]), (images[20:], wanted[20:])], TASK)
    metric = MeanAveragePrecision()
    with torch.no_grad():
        metric.update(model(images), wanted)
    expected = metric.compute()
    assert found == {"mAP": float(expected["map"]), "mAP@50": float(expected["map_50"])}


def test_a_detector_is_compressed_fine_tuned_saved_and_reported(tmp_path):
    model, images = detector(), (pictures(64), targets(64))
    state = copy.deepcopy(model.state_dict())
    result = eagleeye.compress(model, images, epochs=2, **SMALL)
    assert (result.scored_by, list(result.scores)) == ("average_precision", list(TASK.scorers))
    assert list(result.metrics) == ["mAP", "mAP@50"]
    assert result.cost.macs <= 0.55 * result.full_cost.macs
    assert result.cost.macs == eagleeye.cost(result.model.backbone, pictures(1)).macs
    assert list(result.history.columns[3:5]) == ["validation_average_precision", "validation_f1"]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    result.save(tmp_path / "pruned.safetensors")
    whole = eagleeye.load(tmp_path / "pruned.safetensors", into=detector(seed=3))
    with torch.no_grad():
        pairs = zip(whole(images[0]), result.model(images[0]), strict=True)
        assert all(torch.equal(one[key], other[key]) for one, other in pairs for key in one)
    result.report(tmp_path / "report.html")
    assert "average precision" in (tmp_path / "report.html").read_text()
    own = copy.deepcopy(model)
    result.apply_to(own)
    with torch.no_grad():
        pairs = zip(own(images[0]), result.model(images[0]), strict=True)
        assert all(torch.allclose(one[key], other[key], atol=1e-5) for one, other in pairs for key in one)


def test_without_boxes_the_core_learns_from_the_full_network(tmp_path):
    result = eagleeye.compress(detector(), pictures(64), epochs=2, resume=tmp_path / "search.sqlite", **SMALL)
    assert (result.scored_by, list(result.scores)) == ("agreement", ["agreement", "imitation"])
    assert not result.metrics
    before = eagleeye.compress(detector(), pictures(64), **SMALL).model
    same = [torch.equal(a, b) for a, b in zip(result.model.head.parameters(), before.head.parameters(), strict=True)]
    assert all(same)  # nobody says anything about the head
    again = eagleeye.compress(detector(), pictures(64), epochs=2, resume=tmp_path / "search.sqlite", **SMALL)
    assert again.scores == result.scores


def box(*values, label=0):
    return {"boxes": torch.tensor([values], dtype=torch.float32), "labels": torch.tensor([label])}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (box(0, 0, 4, SIDE + 1), r"box \[0.0, 0.0, 4.0, 17.0\] lies outside of 16x16 pixels"),
        (box(-1, 0, 4, 4), r"box \[-1.0, 0.0, 4.0, 4.0\] lies outside"),
        (box(4, 0, 4, 4), r"box \[4.0, 0.0, 4.0, 4.0\] has no area"),
        (box(4, 4, 2, 2), "has no area; needed are x0, y0, x1, y1 in pixels"),
        (box(0, 0, 4, 4, label=CLASSES), "label 3, but the network has 3 classes, counted from 0"),
        (box(0, 0, 4, 4, label=-1), "label -1"),
        (
            {"boxes": torch.zeros(1, 5), "labels": torch.tensor([0])},
            r"boxes float32 \(1, 5\), labels int64 \(1,\); need",
        ),
        ({"boxes": torch.zeros(2, 4), "labels": torch.tensor([0])}, r"labels int64 \(1,\); needed are"),
        ({"boxes": torch.zeros(1, 4), "labels": torch.tensor([0.0])}, r"labels float32 \(1,\); needed are"),
        ({"boxes": torch.zeros(1, 4)}, "a dict; needed is a dict with tensors boxes, labels"),
    ],
)
def test_boxes_that_fit_neither_picture_nor_network_are_told_before_the_search(wrong, said):
    wanted = targets(12)
    wanted[7] = wrong
    space = eagleeye.trace(detector(), pictures(2), core="backbone")
    with pytest.raises((DataError, EvaluationError), match=f"image 7: .*{said}") as caught:
        Engine(detector(), space, pictures(8), (pictures(12), wanted), task=TASK)
    assert "\n" not in str(caught.value)


def test_they_are_told_in_training_too():
    wanted = [box(0, 0, 4, 40)] * 64
    model = detector()
    with pytest.raises(DataError, match="lies outside of 16x16 pixels"):
        eagleeye.compress(model, ((pictures(32), wanted[:32]), (pictures(32), targets(32))), epochs=1, **SMALL)


class Wrong(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.inner = detector()
        self.change = change

    def forward(self, x):
        return self.change(self.inner(x))


def with_nan(found):
    found[0]["scores"] = found[0]["scores"] * np.nan
    return found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_nan, "network output: image 0: scores hold NaN"),
        (lambda found: found[0], "network output: a dict; needed is a list with a dict of boxes, labels and scores"),
        (lambda found: [{"boxes": each["boxes"]} for each in found], "image 0: a dict; needed is a dict with tensors"),
    ],
)
def test_outputs_of_another_kind_are_told_before_the_search(change, said):
    with pytest.raises(EvaluationError, match=said) as caught:
        eagleeye.compress(Wrong(change), (pictures(64), targets(64)), **{**SMALL, "core": "inner.backbone"})
    assert "\n" not in str(caught.value)


def test_a_network_that_sees_nothing_says_nothing():
    model = detector()
    nn.init.constant_(model.head.bias, -50)
    batches = batches_of((pictures(20), targets(20)), model, labelled=True, task=TASK)
    with pytest.raises(EvaluationError, match="outputs are the same for all of 20 images"):
        check_network(model, batches, None, TASK, confirmed=False)


def test_settings_without_a_meaning_are_refused():
    with pytest.raises(ConfigError, match=r"label_smoothing is 0.1: detectors compute their losses themselves"):
        TASK.criterion(0.1)


def test_torchvisions_detectors_tell_their_classes():
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn, ssdlite320_mobilenet_v3_large

    settings = {"weights": None, "weights_backbone": None, "num_classes": 7}
    assert classes_of(ssdlite320_mobilenet_v3_large(**settings)) == 7
    assert classes_of(fasterrcnn_mobilenet_v3_large_320_fpn(**settings)) == 7
    assert classes_of(nn.Conv2d(1, 1, 1)) is None


def test_what_a_search_found_belongs_to_the_whole_network_and_its_boxes():
    def key(model, wanted):
        space = eagleeye.trace(model, pictures(2), core="backbone")
        return key_of(Engine(model, space, pictures(8), (pictures(12), wanted), task=TASK))

    other, moved = detector(), targets(12)
    other.head.weight.data[0, 0] += 0.1
    moved[4]["boxes"] = moved[4]["boxes"] * 0.5
    assert key(detector(), targets(12)) == key(detector(), targets(12))
    assert len({key(detector(), targets(12)), key(other, targets(12)), key(detector(), moved)}) == 3
