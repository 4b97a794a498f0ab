"""Whether the images come with what the task takes."""

from eagleeye.data import ImageSet
from eagleeye.data.targets import BOXES, Targeted
from eagleeye.errors import ConfigError
from tasks.params import Params
from tasks.task_rules import task_for


def check_targets(params: Params, images: ImageSet) -> None:
    """Check that images come with the targets that the task takes.

    Args:
        params: The settings.
        images: The training images.

    Raises:
        ConfigError: They do not.
    """
    task = task_for(params)
    has = "class" if getattr(images, "labelled", True) else "none"
    if isinstance(images, Targeted):
        has = "list" if images.target_kind == BOXES else "tensor"
    if task.targets in ("none", has):
        return
    wanted = {
        "class": "a class for each image",
        "tensor": "masks or numbers for each image",
        "list": "boxes for each image",
    }
    told = {"class": "a class each", "tensor": "masks or numbers", "list": "boxes", "none": "no labels"}[has]
    raise ConfigError(
        f"task is {task.name}, which takes {wanted[task.targets]}, but images of data.source {params.data.source} come"
        f" with {told}; set task to one that takes that, such as fidelity, which looks at no labels, or another source"
    )
