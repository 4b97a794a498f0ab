"""From a trained network to a smaller one: against the long way, and files that are loaded without any of it."""

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import eagleeye
from eagleeye.compression.division import divide
from eagleeye.data import Preprocess
from eagleeye.errors import (
    BudgetError,
    ConfigError,
    DataError,
    EagleEyeError,
    EvaluationError,
    ModelError,
    StrategyError,
)
from eagleeye.train import Recipe
from tests.eagleeye.compression.digits import MEAN, STD, TRAINING, accuracy, digits, inputs, trained

PIXELS, LABELS = (part[:TRAINING] for part in digits())
X = inputs(PIXELS)
SHAPE = Preprocess(size=8, mean=(MEAN,), std=(STD,))
FEW = {"candidates": 6, "calibration": 128, "sub_validation": 300, "macs": 0.5}


def compress(images: Any = (X, LABELS), **changes: Any) -> eagleeye.Compressed:
    return eagleeye.compress(trained(), images, **FEW | changes)


def scoring_rows(seed: int = 0) -> np.ndarray:
    """The rows that score, from the division alone; that is tested by itself."""
    return divide((X, LABELS), None, calibration=128, sub_validation=300, seed=seed).sub_validation.rows


@pytest.fixture(scope="module")
def result() -> eagleeye.Compressed:
    return compress()


def test_the_network_is_smaller_ready_and_as_good_as_its_score(result: eagleeye.Compressed) -> None:
    rows = scoring_rows()
    assert not result.model.training
    assert accuracy(result.model, X[rows], LABELS[rows]) == result.score == result.scores["accuracy"]
    assert accuracy(trained(), X[rows], LABELS[rows]) == result.full_scores["accuracy"]
    assert result.full_scores["agreement"] == 1
    with torch.no_grad():
        same = (result.model(X[rows]).argmax(1) == trained()(X[rows]).argmax(1)).double().mean().item()
    assert result.scores["agreement"] == same
    assert result.cost == eagleeye.cost(result.model, X[:1])
    assert (result.cost.macs, result.cost.params) == tuple(result.ranking.loc[0, ["macs", "params"]])
    assert result.full_cost == eagleeye.cost(trained(), X[:1])
    assert abs(result.cost.macs / result.full_cost.macs - 0.5) <= 0.005
    assert repr(result) == f"<{result}>"
    assert str(result).startswith(f"{result.winner} of {len(result.ranking)} candidates: accuracy ")
    assert result.images == {"calibration": 128, "sub_validation": 300}


def test_a_network_of_the_users_class_takes_over_what_was_found(result: eagleeye.Compressed) -> None:
    network = copy.deepcopy(trained())
    result.apply_to(network)
    assert type(network) is nn.Sequential
    with torch.no_grad():
        assert torch.equal(network(X), result.model(X))
    assert {name: len(tensor) for name, tensor in network.named_parameters()} == {
        name: len(tensor) for name, tensor in result.model.named_parameters()
    }
    with pytest.raises(StrategyError, match=r"tensor '0\.weight': the space was traced with shape"):
        result.apply_to(network)


def test_images_it_never_saw_are_recognised_nearly_as_well(result: eagleeye.Compressed) -> None:
    rest, labels = (part[TRAINING:] for part in digits())
    assert accuracy(result.model, inputs(rest), labels) > accuracy(trained(), inputs(rest), labels) - 0.05


def test_the_ranking_is_that_of_scoring_every_candidate_alone(result: eagleeye.Compressed) -> None:
    division = divide((X, LABELS), None, calibration=128, sub_validation=300, seed=0)
    calibration, rows = X[division.calibration.rows], division.sub_validation.rows
    space = eagleeye.trace(trained(), X[:1])
    measured = eagleeye.reconstruct(trained(), space, calibration.split(128))
    found = {}
    for row in result.ranking.itertuples():
        thin = eagleeye.prune(trained(), space, row.rates, criterion=measured.order, refit=measured)
        eagleeye.adapt_batch_norm(thin, [calibration])
        found[row.id] = accuracy(thin, X[rows], LABELS[rows])
    assert {"even-filled", "allocated-1"} & set(found)
    # Candidates may be scored in 16 bits.
    assert [found[name] for name in result.ranking["id"]] == pytest.approx(result.ranking["accuracy"], abs=0.02)
    assert found[result.winner] >= max(found.values()) - 0.02


def test_candidates_are_bred_and_a_killed_search_breeds_the_same(tmp_path: Path) -> None:
    wanted = compress(candidates=20).ranking
    drawn = {row.widths for row in eagleeye.sampler("uniform")(_shell(), count=20, seed=0)}
    numbered = [tuple(row.widths) for row in wanted.itertuples() if row.id.startswith("s")]
    assert len(numbered) == 20
    # Two of them are the first generation.
    assert len(drawn & set(numbered)) == 2
    seen = []

    def killed(candidate: Any) -> None:
        seen.append(candidate)
        if len(seen) == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress(candidates=20, resume=tmp_path / "search.sqlite", on_candidate=killed)
    again = []
    found = compress(candidates=20, resume=tmp_path / "search.sqlite", on_candidate=again.append).ranking
    pd.testing.assert_frame_equal(
        found.drop(columns="seconds", errors="ignore"), wanted.drop(columns="seconds", errors="ignore")
    )
    assert 12 <= len(seen) + len(again) <= len(wanted) + 12


def _shell() -> eagleeye.Shell:
    return eagleeye.Shell(eagleeye.trace(trained(), X[:1]), eagleeye.Budget(macs=0.5), max_rate=0.95)


def test_the_full_network_and_the_users_random_numbers_are_untouched() -> None:
    before = {name: tensor.clone() for name, tensor in trained().state_dict().items()}
    state = torch.get_rng_state()
    compress(epochs=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in trained().state_dict().items())


LOADED = """
import sys, torch, eagleeye
network = eagleeye.load(sys.argv[1])
x, labels = torch.load(sys.argv[2])
print(repr(float((network(x).argmax(1) == labels).double().mean())))
"""


def loaded_elsewhere(path: Path, x: Tensor, labels: Tensor) -> float:
    torch.save((x, labels), path.with_suffix(".images"))
    command = [sys.executable, "-c", LOADED, str(path), str(path.with_suffix(".images"))]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"epochs": 2}, {"recipe": Recipe(1, augment="shift", ema=0.9)}])
def test_a_file_loaded_in_another_process_is_as_good_as_the_score(changes: dict[str, Any], tmp_path: Path) -> None:
    found = compress(**changes)
    found.save(tmp_path / "thin.safetensors", {"note": "mine"})
    rows = scoring_rows()
    assert loaded_elsewhere(tmp_path / "thin.safetensors", X[rows], LABELS[rows]) == found.score
    texts = eagleeye.read_metadata(tmp_path / "thin.safetensors")
    assert float(texts["sub_validation_accuracy"]) == found.score
    assert (texts["note"], texts["id"]) == ("mine", found.winner)
    assert len(found.history) == (changes.get("epochs") or (1 if changes else 0))


@pytest.mark.parametrize(
    "images", [DataLoader(TensorDataset(X, LABELS), batch_size=50, shuffle=True), TensorDataset(X, LABELS)]
)
def test_every_form_of_the_same_images_gives_the_same(images: Any, result: eagleeye.Compressed) -> None:
    found = compress(images)
    pd.testing.assert_frame_equal(found.ranking, result.ranking)
    assert found.scores == result.scores


def test_a_folder_and_bytes_are_prepared_as_they_are_told(tmp_path: Path, result: eagleeye.Compressed) -> None:
    for row, (picture, label) in enumerate(zip(PIXELS, LABELS.tolist(), strict=True)):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        Image.fromarray(picture[0].numpy()).save(tmp_path / str(label) / f"{row:04}.png")
    found = compress(tmp_path, preprocess=SHAPE, epochs=1)
    assert found.classes == tuple("0123456789")
    assert found.preprocess == SHAPE
    assert found.score > 0.9
    assert compress((PIXELS, LABELS), preprocess=SHAPE).score == pytest.approx(result.score, abs=0.01)


def test_a_pair_of_sets_is_used_as_it_is() -> None:
    first, second = slice(0, 128), slice(128, 428)
    found = compress((X[first], (X[second], LABELS[second])), calibration=None, sub_validation=None)
    assert accuracy(found.model, X[second], LABELS[second]) == found.score
    assert found.images == {"calibration": 128, "sub_validation": 300}


def test_without_labels_candidates_are_compared_with_the_full_network() -> None:
    found = compress(X, epochs=1)
    rows = divide(X, None, calibration=128, sub_validation=300, seed=0).sub_validation.rows
    with torch.no_grad():
        answers = trained()(X[rows]).argmax(1)
    assert found.scored_by == "agreement"
    assert set(found.scores) == {"agreement", "divergence"}
    assert accuracy(found.model, X[rows], answers) == found.score > 0.9
    with pytest.raises(ConfigError, match="score accuracy: it needs labels, and sub_validation has none"):
        compress(X, score="accuracy")


def test_another_loss_is_what_fine_tuning_minimises() -> None:
    seen: list[int] = []

    def squared(logits: Tensor, labels: Tensor) -> Tensor:
        seen.append(len(labels))
        return ((logits.softmax(1) - nn.functional.one_hot(labels, 10)) ** 2).mean()

    recipe = Recipe(1, batch_size=64, augment="none")
    found = compress(recipe=recipe, loss=squared)
    assert sum(seen) == TRAINING - 300
    assert found.history["train_loss"].max() < 0.1
    for loss, said in ((lambda a, b: 1.0, "it returned float"), (lambda a, b: a, r"it returned \(64, 10\)")):
        with pytest.raises(ConfigError, match=f"loss: {said}; needed is one number"):
            compress(recipe=recipe, loss=loss)
    with pytest.raises(ConfigError, match="loss: nothing is fine-tuned with it; give epochs"):
        compress(loss=squared)
    with pytest.raises(ConfigError, match="loss: it needs labels"):
        compress(X, epochs=1, loss=squared)
    with pytest.raises(ConfigError, match="epochs is 2, and the recipe has 1"):
        compress(recipe=recipe, epochs=2)


def test_a_loop_of_ones_own_fine_tunes_and_finds_its_folder_again(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def trainer(network: nn.Module, folder: Path, told: Any) -> nn.Module:
        seen.append(sorted(path.name for path in folder.iterdir()))
        (folder / "state").touch()
        if len(seen) == 1:
            raise KeyboardInterrupt
        with torch.no_grad():
            network.get_parameter("15.bias").zero_()
        told({"train_loss": 0.25, "F1": 0.5})
        return network

    with pytest.raises(KeyboardInterrupt):
        compress(trainer=trainer, resume=tmp_path / "search.db")
    found = compress(trainer=trainer, resume=tmp_path / "search.db")
    assert seen == [[], ["state"]]
    assert not found.model.get_parameter("15.bias").any()
    rows = scoring_rows()
    assert found.score == accuracy(found.model, X[rows], LABELS[rows])
    assert found.history.to_dict("records") == [{"epoch": 1, "train_loss": 0.25, "F1": 0.5}]
    assert "training" not in found.images
    found.report(tmp_path / "report.html")
    with pytest.raises(ConfigError, match="trainer: it trains the network instead of what epochs is about"):
        compress(trainer=trainer, epochs=1)


@pytest.mark.parametrize(
    ("budget", "name"), [({"params": 0.4}, "params"), ({"macs": 60_000}, "macs"), ({"macs": 0.12}, "macs")]
)
def test_other_budgets_are_met(budget: dict[str, float], name: str) -> None:
    found = compress(**{"macs": None, "tolerance": 0.02} | budget)
    full, target = getattr(found.full_cost, name), budget[name]
    wanted = target if target > 1 else target * full
    assert abs(getattr(found.cost, name) - wanted) <= 0.02 * full


def test_latency_is_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    class Table:
        def __init__(self, model: nn.Module, space: eagleeye.Space, example: Tensor) -> None:
            assert example.shape == (1, 1, 8, 8)
            self.space = space

        def predict(self, widths: np.ndarray) -> np.ndarray:
            return self.space.cost_of(widths).params / 1000

    monkeypatch.setattr("eagleeye.compression.candidates.profile", Table)
    found = compress(macs=None, latency=0.6, tolerance=0.02)
    assert abs(found.cost.params / found.full_cost.params - 0.6) <= 0.02


def test_the_page_shows_the_numbers_and_nothing_from_elsewhere(tmp_path: Path, result: eagleeye.Compressed) -> None:
    result.report(tmp_path / "mine.html")
    page = (tmp_path / "mine.html").read_text(encoding="utf-8")
    assert f"<code>{result.winner}</code>" in page
    assert f"{100 * result.score:.2f}" in page
    assert all(str(width) in page for width in result.ranking["widths"][0])
    assert not re.findall(r"(?:src|href|srcset)=\"(?!data:|#)", page)
    compress(X, epochs=2).report(tmp_path / "folder")
    page = (tmp_path / "folder" / "report.html").read_text(encoding="utf-8")
    assert "Fine-tuning" in page
    assert "top-1 accuracy" not in page


def test_whoever_wants_to_know_is_told_of_every_candidate(result: eagleeye.Compressed) -> None:
    told: list[eagleeye.Candidate] = []
    compress(on_candidate=told.append)
    assert sorted(each.id for each in told) == sorted(result.ranking["id"])
    assert [each.done for each in told] == list(range(1, len(told) + 1))
    scores = result.ranking.set_index("id")["accuracy"]
    assert all(each.scores["accuracy"] == scores[each.id] for each in told)
    assert {each.total for each in told} == {len(told)}


def test_a_bar_shows_how_far_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    compress(progress=True, epochs=1)
    said = capfd.readouterr().err
    for title in ("reading images", "tracing", "scoring 1/1", "refitting", "fine-tuning"):
        assert title in said
    compress()
    assert capfd.readouterr().err == ""


NOISE = torch.randn(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))
WRONG: list[tuple[Any, dict[str, Any], type[EagleEyeError], str]] = [
    ((X, LABELS + 5), {}, EvaluationError, "labels: class 14 occurs, but the network has 10 outputs"),
    ((X[LABELS == 3], LABELS[LABELS == 3]), {"calibration": 30, "sub_validation": 40}, DataError, "are of class 3"),
    ((PIXELS, LABELS), {}, ConfigError, "uint8 pixels are given, and how the network wants them"),
    ((PIXELS.float(), LABELS), {}, ConfigError, r"but on 9\d\.\d% with mean"),
    ((PIXELS / 255 * 0 + NOISE[:1], LABELS), {}, EvaluationError, "which is chance; likely causes"),
    ((X, LABELS.roll(1)), {}, EvaluationError, "which is chance; likely causes"),
    (X * 0, {}, EvaluationError, "the network's answer is class . for all of 256 images"),
    ((X.clone().index_fill(0, torch.arange(9), float("nan")), LABELS), {"sub_validation": 600}, DataError, "NaN"),
    (X[:3], {"calibration": None, "sub_validation": None}, DataError, "3 are too few"),
    ((X, LABELS), {"macs": None}, ConfigError, "neither macs, params nor latency is given"),
    ((X, LABELS), {"macs": 0.0001}, BudgetError, "out of reach"),
    ((X, LABELS), {"score": "luck"}, ConfigError, "score 'luck' is none of accuracy"),
    ((X, LABELS), {"calibration": 1.5}, ConfigError, "calibration must be a count"),
    ((X, LABELS), {"epochs": -1}, ConfigError, "epochs is -1"),
    ((X, LABELS.float()), {}, DataError, r"and for labels whole numbers \(images,\)"),
    ((X, LABELS), {"macs": 1.0, "max_rate": 0.7}, BudgetError, "different strategies of 6 wanted"),
    ("nowhere", {}, DataError, "nowhere is not a folder"),
]


@pytest.mark.parametrize(("images", "changes", "kind", "said"), WRONG, ids=[said[:30] for *_, said in WRONG])
def test_what_is_wrong_is_said_in_a_line_before_the_search(
    images: Any, changes: dict[str, Any], kind: type[EagleEyeError], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        compress(images, **changes)
    assert "\n" not in str(caught.value)


def test_inputs_in_bytes_are_meant_if_that_is_confirmed() -> None:
    with pytest.warns(UserWarning, match="inputs have values up to 255, as if they were not normalised"):
        scaled = nn.Sequential(nn.BatchNorm2d(1, affine=False), *trained())
        scaled[0].running_mean.fill_(255 * MEAN)
        scaled[0].running_var.fill_((255 * STD) ** 2)
        found = eagleeye.compress(scaled.eval(), (PIXELS.float(), LABELS), confirmed=True, **FEW)
    assert found.score > 0.9
    assert found.remarks == ("inputs have values up to 255, as if they were not normalised",)


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match=r"model is a str; needed is a torch\.nn\.Module"):
        eagleeye.compress("resnet", (X, LABELS), macs=0.5)  # type: ignore[arg-type]


def test_a_network_of_another_precision_stays_in_it() -> None:
    found = eagleeye.compress(copy.deepcopy(trained()).double(), (X, LABELS), epochs=1, **FEW)
    assert {tensor.dtype for tensor in found.model.parameters()} == {torch.float64}
    rows = scoring_rows()
    assert accuracy(found.model, X[rows].double(), LABELS[rows]) == found.score > 0.9


def fitted(network: nn.Module, x: Tensor) -> nn.Module:
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(6):
        for rows in torch.arange(TRAINING).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), LABELS[rows]).backward()
            optimiser.step()
    return network.eval()


def test_signals_are_no_pictures_and_compressed_all_the_same() -> None:
    torch.manual_seed(0)
    body = [nn.Conv1d(8, 16, 3, padding=1), nn.BatchNorm1d(16), nn.ReLU(), nn.Conv1d(16, 16, 3, padding=1)]
    x = X[:, 0]
    network = fitted(nn.Sequential(*body, nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)), x)
    found = eagleeye.compress(network, (x, LABELS), epochs=1, **FEW | {"tolerance": 0.03})
    rows = scoring_rows()
    assert accuracy(found.model, x[rows], LABELS[rows]) == found.score > 0.8
    with pytest.raises(ConfigError, match="augment 'shift' moves pictures, and these are none"):
        eagleeye.compress(network, (x, LABELS), recipe=Recipe(1, augment="shift"), **FEW | {"tolerance": 0.03})


def test_of_a_small_network_without_batch_normalisation_the_allocated_candidates_compete() -> None:
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(192, 10)]
    network = fitted(nn.Sequential(*body), X)
    with pytest.warns(UserWarning, match="no candidates are drawn, the . allocated ones compete alone"):
        found = eagleeye.compress(network, (X, LABELS), **FEW | {"tolerance": 0.001})
    assert found.cost.macs <= 0.5 * found.full_cost.macs
    assert found.remarks
