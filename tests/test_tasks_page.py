"""The page about tasks: its own task is run as it stands there, and its table is what the tasks say of themselves."""

import re
from pathlib import Path

import torch
from torch import nn

import eagleeye
from eagleeye.task.named import TASKS

PAGE = (Path(__file__).parents[1] / "docs" / "tasks.md").read_text(encoding="utf-8")


def test_the_task_of_ones_own_is_short_and_compresses_as_it_stands() -> None:
    *_, code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(120, 1, 12, 12, generator=generator)
    ages = 40 + 20 * pictures[:, :, :6].mean((2, 3))
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 1)),
    ).eval()
    nn.init.constant_(model[-1].bias, 40)
    names = {"eagleeye": eagleeye, "model": model, "images": (pictures, ages)}
    exec(code.replace("epochs=2)", "epochs=2, candidates=4, tolerance=0.05, progress=False)"), names)  # noqa: S102
    found = names["result"]
    assert (found.scored_by, list(found.scores)) == ("close", ["close", "years", "shift"])
    with torch.no_grad():
        shown = found.model(pictures)
    assert abs(shown.mean() - 40) < 5
    assert list(found.history.columns[3:5]) == ["validation_close", "validation_years"]


def test_the_table_names_every_task_with_its_scores() -> None:
    rows = {
        row[0].strip("` "): row for row in (line.strip("|").split("|") for line in PAGE.splitlines() if "|" in line)
    }
    for name, task in TASKS.items():
        for labelled, column in ((True, 3), (False, 4)):
            told = re.findall(r"\w+", rows[name][column])
            wanted = [score for score, scorer in task.scorers.items() if scorer.compares != labelled]
            assert told == wanted
