"""Scenes of digits as files: pictures with boxes, annotated as for COCO."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.scenes import SIDE, make_scenes

CATEGORIES = [{"id": digit, "name": str(digit)} for digit in range(10)]


def write_scenes(folder: Path, train: int, test: int) -> dict[str, str]:
    """Write scenes, and the options of data.source coco that name them; pixels p stand for p / 127.5 - 1."""
    for side, count in (("train", train), ("test", test)):
        (folder / side).mkdir(parents=True)
        scenes = make_scenes(count, seed=len(side), test=side == "test")
        for row, image in enumerate(scenes.images):
            pixels = np.rint((image[0].numpy() + 1) * 127.5).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / side / f"{row}.png")
        images = [{"id": row, "file_name": f"{row}.png", "width": SIDE, "height": SIDE} for row in range(count)]
        found = [
            {"image_id": row, "category_id": int(digit), "bbox": [x, y, right - x, bottom - y]}
            for row, boxes in enumerate(scenes.boxes)
            for x, y, right, bottom, digit in boxes.tolist()
        ]
        content = {"images": images, "annotations": found, "categories": CATEGORIES}
        (folder / f"{side}.json").write_text(json.dumps(content), encoding="utf-8")
    return {
        f"{side}_{kind}": (folder / f"{side}{ending}").as_posix()
        for side in ("train", "test")
        for kind, ending in (("images", ""), ("annotations", ".json"))
    }
