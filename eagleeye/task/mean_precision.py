"""COCO's mean average precision as one number."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.detection import MeanAveragePrecision


class MeanPrecision(MeanAveragePrecision):
    """Mean average precision of boxes over all classes.

    Args:
        key: What of COCO's summary it is, `map` or `map_50`.
    """

    def __init__(self, key: str) -> None:
        super().__init__(box_format="xyxy", iou_type="bbox")
        self.warn_on_many_detections = False
        self.key = key

    def compute(self) -> Tensor:  # type: ignore[override]  # one of what the other gives
        """The number, in [0, 1]; -1 where there are no boxes at all."""
        found: Tensor = super().compute()[self.key]
        return found
