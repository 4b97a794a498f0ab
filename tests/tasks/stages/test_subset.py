"""Damaged images are named by their own files, in whatever stage they are met; what is passed over is said."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from eagleeye.data import read_subset
from eagleeye.errors import DataError
from tasks.artifacts import CALIBRATION, SUB_VALIDATION
from tasks.inputs.images import open_images
from tasks.params import Params
from tasks.settings import override, preview
from tasks.work.testing import score_on_test
from tests.tasks.conftest import ROOT, run_stage
from tests.tasks.networks import small
from tests.tasks.own_data import write_digits

SETTINGS = {
    "data.preprocess.size": 8,
    "model.name": "tests.tasks.networks:small",
    "subset.calibration": 30,
    "subset.sub_validation": 50,
    "baseline.epochs": 1,
    "baseline.warmup_epochs": 0,
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_digits(tmp_path / "data", 8)
    return tmp_path


def settings(source: str, train: str, test: str) -> Params:
    values = SETTINGS | {"data.source": source, "data.options": {"train": train, "test": test}}
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    override(Path("params.yaml"), values)
    return preview(Path("params.yaml"), {})


def file_of(params: Params, row: int, part: int = 0) -> Path:
    return Path(open_images(params)[part].origin(row))


def write_shards(folder: Path) -> None:
    """The training images of the folders in three Parquet files of 200 rows."""
    features = {"label": {"names": list("0123456789"), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    files = sorted((folder / "train").glob("*/*.png"))
    for shard in range(3):
        chosen = files[shard::3]
        image = [{"bytes": file.read_bytes(), "path": None} for file in chosen]
        table = pa.table({"image": image, "label": [int(file.parent.name) for file in chosen]})
        pq.write_table(table.replace_schema_metadata(metadata), folder / f"train-{shard}.parquet")


@pytest.mark.parametrize("drawn", [CALIBRATION, SUB_VALIDATION])
def test_a_damaged_image_that_is_drawn_is_named_by_its_path(project: Path, drawn: Path) -> None:
    params = settings("imagefolder", "data/train", "data/val")
    run_stage("subset", params)
    row = int(read_subset(drawn).rows[7])
    file = file_of(params, row)
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(DataError, match=rf"^row {row} \({file}\) cannot be decoded"):
        run_stage("subset", params)


def test_a_damaged_image_is_named_by_the_row_of_its_own_file(project: Path) -> None:
    write_shards(project / "data")
    params = settings("parquet", "data/train-*.parquet", "data/train-0.parquet")
    run_stage("subset", params)
    row = int(next(row for row in read_subset(SUB_VALIDATION).rows if 200 <= row < 400))
    path = Path("data/train-1.parquet")
    table = pq.read_table(path)
    images = table["image"].to_pylist()
    images[row - 200]["bytes"] = images[row - 200]["bytes"][:60]
    pq.write_table(table.set_column(0, "image", pa.array(images)), path)
    with pytest.raises(DataError, match=rf"^row {row - 200} \(data/train-1\.parquet\) cannot be decoded"):
        run_stage("subset", params)


def test_other_damaged_images_are_named_where_they_are_met(project: Path) -> None:
    params = settings("imagefolder", "data/train", "data/val")
    for stage in ("watch", "subset"):
        run_stage(stage, params)
    drawn = {int(row) for path in (CALIBRATION, SUB_VALIDATION) for row in read_subset(path).rows}
    row = next(row for row in range(100, 600) if row not in drawn)
    for part, place in ((0, row), (1, 150)):
        file_of(params, place, part).write_bytes(b"nothing")
    with pytest.raises(DataError, match=rf"^row {row} \({file_of(params, row)}\) cannot be decoded"):
        run_stage("baseline", params)
    with pytest.raises(DataError, match=rf"^row 150 \({file_of(params, 150, 1)}\) cannot be decoded"):
        score_on_test(params, small(10), open_images(params)[1], device=torch.device("cpu"), batch_size=50)


def test_what_is_skipped_for_its_ending_is_said(project: Path) -> None:
    for name in ("train/3/a.gif", "train/4/b.gif", "val/9/c.heic"):
        (project / "data" / name).write_bytes(b"GIF89a")
    said = run_stage("subset", settings("imagefolder", "data/train", "data/val")).said
    assert said[0].startswith("subset: data/train: 2 files are skipped for the ending (.gif 2)")
    assert said[1].startswith("subset: data/val: 1 file is skipped for the ending (.heic 1)")
    assert len(said) == 3
