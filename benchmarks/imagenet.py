"""Images per second of the ImageNet recipes' pruned networks on one core: `python -m benchmarks.imagenet`.

Random pixels and weights do, since speed does not depend on them; decoding is left out. docs/imagenet.md multiplies.
"""

from __future__ import annotations

import time
from itertools import product

import torch

import eagleeye
from eagleeye.data import Batches, Images, Preprocess
from eagleeye.engine import Engine, Method
from eagleeye.models import build
from eagleeye.train import Recipe, train
from eagleeye.train.data import DecodedData

NETWORKS = [("resnet50", 3e9, 0.4), ("resnet50", 2e9, 0.7), ("resnet50", 1e9, 0.8), ("mobilenet_v1", 0.5, 0.7)]
"""Name, budget and largest rate, as in the recipes."""
IMAGES = 96
SHAPE = Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def main() -> None:
    """Print a line per network and arithmetic."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = Images(torch.randint(0, 256, (IMAGES, 3, 224, 224), dtype=torch.uint8), torch.randint(0, 10, (IMAGES,)))
    for (name, macs, rate), low in product(NETWORKS, (False, True)):
        network = build(name, num_classes=1000).eval()
        space = eagleeye.trace(network, torch.zeros(1, 3, 224, 224))
        [strategy] = eagleeye.sample(space, eagleeye.Budget(macs=macs), count=1, max_rate=rate, seed=0)
        precision = "bfloat16" if low else "float32"
        engine = Engine(
            network,
            space,
            _batches(images, labelled=False),
            _batches(images, labelled=True),
            method=Method(precision=precision),
            lanes=1,
        )
        scored = _scoring(engine, strategy)
        trained = _training(eagleeye.prune(network, space, strategy), images, low)
        print(
            f"{name} at {strategy.macs / 1e9:.2f} GMACs, {precision}: scores {scored:.1f}, "
            f"trains {trained:.1f} images per second",
            flush=True,
        )


def _batches(images: Images, *, labelled: bool) -> Batches:
    return Batches(images, SHAPE, batch_size=32, device="cpu", labelled=labelled)


def _scoring(engine: Engine, strategy: eagleeye.Strategy) -> float:
    engine.score(strategy)
    began = time.perf_counter()
    engine.score(strategy)
    return 2 * IMAGES / (time.perf_counter() - began)


def _training(network: torch.nn.Module, images: Images, low: bool) -> float:
    data = DecodedData(images, SHAPE, "cpu")
    recipe = Recipe(epochs=2, batch_size=32, lr=0.01, mixed_precision=low)
    result = train(network, data, _batches(images, labelled=True), recipe, device="cpu")
    return float(result.history["images_per_second"].iloc[-1])


if __name__ == "__main__":
    main()
