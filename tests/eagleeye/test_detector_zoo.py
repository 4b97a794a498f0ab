"""torchvision's detectors with random weights: their cores pruned to half, scored without labels, saved and loaded."""

import pytest
import torch
from torch import nn
from torchvision.models import detection as zoo
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

import eagleeye
from eagleeye.channels.core import core_inputs, core_of
from eagleeye.engine import Engine, Method
from eagleeye.task.named import TASKS

SIDE = 64
SIZE = {"min_size": SIDE, "max_size": SIDE}
NONE = {"weights": None, "weights_backbone": None, "num_classes": 5}
SURE = {"detections_per_img": 10, "score_thresh": 0.0}
BOXES = {"box_detections_per_img": 10, "box_score_thresh": 0.0, "rpn_post_nms_top_n_test": 50}


def ssdlite() -> nn.Module:
    model = zoo.ssdlite320_mobilenet_v3_large(**NONE, **SURE)
    model.transform.fixed_size = (SIDE, SIDE)
    model.transform.min_size = (SIDE,)
    model.transform.max_size = SIDE
    return model


def pyramid(norm: type[nn.Module] = nn.BatchNorm2d) -> nn.Module:
    """As the backbones of torchvision's detectors, but for the depth."""
    return resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5, norm_layer=norm)


def retinanet() -> nn.Module:
    return zoo.RetinaNet(pyramid(), 5, **SIZE, **SURE)


def fcos() -> nn.Module:
    """With batch normalisation that is frozen, as in all networks with weights of COCO."""
    from torchvision.ops import FrozenBatchNorm2d

    return zoo.FCOS(pyramid(FrozenBatchNorm2d), 5, **SIZE, **SURE)


def faster_rcnn() -> nn.Module:
    return zoo.fasterrcnn_mobilenet_v3_large_320_fpn(**NONE, **SIZE, **BOXES)


def keypoint_rcnn() -> nn.Module:
    from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor

    points = {"keypoint_head": KeypointRCNNHeads(256, (32,)), "keypoint_predictor": KeypointRCNNPredictor(32, 17)}
    return zoo.KeypointRCNN(pyramid(), 5, **points, **SIZE, **BOXES)


DETECTORS = {
    "ssdlite": (ssdlite, "backbone"),
    "retinanet": (retinanet, "backbone"),
    "retinanet's head": (retinanet, "head"),
    "fcos": (fcos, "backbone"),
    "faster r-cnn": (faster_rcnn, "backbone"),
    "keypoint r-cnn": (keypoint_rcnn, "backbone"),
}


def alive(model: nn.Module) -> nn.Module:
    """With statistics of pictures: untrained layers let next to nothing through."""
    model.eval()
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        eagleeye.adapt_batch_norm(model, [torch.rand(4, 3, SIDE, SIDE)])
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", list(DETECTORS))
def test_half_of_the_core_of_torchvisions_detectors_goes(name, tmp_path):
    build, core = DETECTORS[name]
    torch.manual_seed(0)
    images = torch.rand(8, 3, SIDE, SIDE)
    model = alive(build())
    space = eagleeye.trace(model, images[:2], core=core)
    even = eagleeye.even(space, eagleeye.Budget(macs=0.5, tolerance=0.03))
    assert eagleeye.check(model, space, even, images[:1]) < 1e-9
    engine = Engine(model, space, images[:4], images[4:], method=Method(), task=TASKS["detection"], lanes=1)
    unpruned = engine.score(space.channels, vanilla=True)
    assert unpruned.vanilla_predictions.scores["agreement"] == pytest.approx(1)
    ranking = eagleeye.search(engine, [even])
    assert 0 <= ranking["agreement"][0] < 0.999
    network = engine.network(even)
    reached = core_inputs(network, core, images[:2])
    assert eagleeye.cost(core_of(network, core), reached).macs == even.macs <= 0.53 * space.full_cost.macs
    eagleeye.save(network, tmp_path / "pruned.safetensors", core=core)
    whole = eagleeye.load(tmp_path / "pruned.safetensors", into=build())
    with torch.no_grad():
        for one, other in zip(whole(images[4:]), network(images[4:]), strict=True):
            assert len(one["boxes"]) == 10
            assert all(torch.equal(one[key], other[key]) for key in other)
