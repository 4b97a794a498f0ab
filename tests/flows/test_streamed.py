"""Training images are decoded by processes of their own within a flow, too."""

from pathlib import Path

import torch
from PIL import Image
from prefect import flow, get_run_logger

import flows.walk  # noqa: F401 - as every flow does
from eagleeye.data import Preprocess
from eagleeye.data.folder import FolderImages
from eagleeye.train import Recipe, StreamedData


def load(folder: str) -> list[int]:
    get_run_logger().info("starts what Prefect has to do at the end of a process")
    images = FolderImages([(f"{folder}/{value}.png", value) for value in range(8)], ("class",) * 8)
    data = StreamedData(images, range(8), Preprocess(size=None, mean=(0,), std=(1,)), "cpu", workers=2)
    recipe, plan = Recipe(epochs=3, batch_size=2), list(torch.arange(8).split(2))
    return [int(pixels.sum()) for epoch in range(3) for pixels, _ in data._load(plan, recipe, epoch)]


def test_images_are_decoded_by_processes_within_a_flow(prefect_server: None, tmp_path: Path) -> None:
    for value in range(8):
        Image.new("L", (1, 1), 10 * value).save(tmp_path / f"{value}.png")
    assert flow(load)(str(tmp_path)) == 3 * [10, 50, 90, 130]
