import copy
import io
import logging
from collections import OrderedDict
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch import nn

from eagleeye.data import Batches, Images
from eagleeye.errors import CheckpointError, ConfigError, DataError, EvaluationError, ModelError
from eagleeye.scoring.evaluate import evaluate
from eagleeye.train import DecodedData, Recipe, StreamedData, train
from eagleeye.train.distributed import Share
from eagleeye.train.recipe import learning_rate

RECIPE = Recipe(epochs=3, batch_size=16, lr=0.05, warmup_epochs=1, label_smoothing=0.1, seed=5)
TAUGHT = replace(RECIPE, ema=0.7, distillation=0.6, temperature=3.0)


@pytest.fixture
def data(images, preprocess):
    return DecodedData(Images(images.pixels[:48], images.labels[:48]), preprocess, "cpu")


@pytest.fixture
def validation(images, preprocess):
    held_out = Images(images.pixels[48:], images.labels[48:])
    return Batches(held_out, preprocess, batch_size=8, device="cpu", labelled=True)


@pytest.fixture
def teacher(net, data, validation):
    """A network of its own that tells the squares apart."""
    torch.manual_seed(3)
    wise = type(net)()
    train(wise, data, validation, Recipe(epochs=6, batch_size=16, lr=0.05, augment="shift"), device="cpu")
    return wise


def bits(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def stored(state):
    """Through a file and back, as a run that was killed finds its state."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def untimed(history):
    return history.drop(columns="images_per_second")


def test_it_learns_to_tell_the_squares_apart(net, data, validation):
    recipe = Recipe(epochs=8, batch_size=16, lr=0.05, augment="shift")
    result = train(net, data, validation, recipe, device="cpu")
    assert result.best_score >= 0.9
    assert result.history.train_loss.iloc[-1] < 0.5 * result.history.train_loss.iloc[0]


def test_one_epoch_takes_the_steps_that_plain_sgd_takes(net, data, validation):
    recipe = Recipe(1, 16, 0.05, weight_decay=0.01, label_smoothing=0.1, augment="none", mixed_precision=False)
    net.drop.p = 0.0
    twin = copy.deepcopy(net).train()
    train(net, data, validation, recipe, device="cpu")
    velocity = {}
    for step, (x, y) in enumerate(data.batches(recipe, 0, Share())):
        twin.zero_grad()
        target = torch.full((len(y), 2), 0.05)
        target[torch.arange(len(y)), y] = 0.95
        (-(target * twin(x).log_softmax(1)).sum(1).mean()).backward()
        rate = learning_rate(recipe, step, 3)
        with torch.no_grad():
            for name, parameter in twin.named_parameters():
                slope = parameter.grad + 0.01 * parameter
                velocity[name] = 0.9 * velocity.get(name, 0) + slope
                parameter.data -= rate * (slope + 0.9 * velocity[name])
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_with_ema_the_network_ends_with_the_average_of_its_steps(net, data, validation):
    recipe = replace(RECIPE, ema=0.6, epochs=2)
    plain, steps = copy.deepcopy(net), []
    train(
        plain, data, validation, replace(recipe, ema=None), device="cpu", on_step=lambda *_: steps.append(bits(plain))
    )
    states = []
    result = train(net, data, validation, recipe, device="cpu", on_epoch=states.append)
    wanted, scores, epochs = steps[0], [], []
    for step, found in enumerate(steps):
        if step:
            wanted = {
                name: 0.6 * wanted[name] + 0.4 * value if value.is_floating_point() else value
                for name, value in found.items()
            }
        if step % 3 == 2:
            twin = type(net)()
            twin.load_state_dict(wanted)
            scores.append(evaluate(twin, validation))
            epochs.append(wanted)
    # The weights go on without the average, which is what is scored and kept.
    assert equal(states[-1]["model"], steps[-1])
    assert result.history.validation_loss.tolist() == pytest.approx([score.loss for score in scores], rel=1e-4)
    for name, value in epochs[result.best_epoch - 1].items():
        torch.testing.assert_close(net.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_with_distillation_alone_the_teacher_takes_the_place_of_the_labels(
    net, teacher, images, preprocess, validation
):
    recipe = Recipe(epochs=8, batch_size=16, lr=0.05, augment="shift", distillation=1.0)
    before, twin = bits(teacher), copy.deepcopy(net)
    for network, labels in ((net, images.labels[:48]), (twin, 1 - images.labels[:48])):
        data = DecodedData(Images(images.pixels[:48], labels), preprocess, "cpu")
        result = train(network, data, validation, recipe, device="cpu", teacher=teacher)
        assert result.best_score >= 0.9
    assert equal(bits(net), bits(twin))
    assert equal(bits(teacher), before)


def test_teachers_are_given_and_asked_for_together(net, data, validation):
    before = bits(net)
    with pytest.raises(ConfigError, match="there is no teacher"):
        train(net, data, validation, TAUGHT, device="cpu")
    with pytest.raises(ConfigError, match="there is a teacher"):
        train(net, data, validation, RECIPE, device="cpu", teacher=copy.deepcopy(net))
    assert equal(bits(net), before)


@pytest.mark.parametrize("recipe", [RECIPE, TAUGHT], ids=["plain", "taught"])
@pytest.mark.parametrize("finished", [1, 2])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_resumed_run_ends_with_the_bits_of_an_undisturbed_one(
    net, teacher, squares, data, preprocess, validation, finished, streamed, recipe
):
    teacher = teacher if recipe.distillation else None
    if streamed:
        data = StreamedData(squares, range(48), preprocess, "cpu", workers=0)
    states, interrupted = [], copy.deepcopy(net)
    whole = train(net, data, validation, recipe, device="cpu", teacher=teacher, on_epoch=states.append)

    def stop(state):
        if state["epoch"] == finished:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(interrupted, data, validation, recipe, device="cpu", teacher=teacher, on_epoch=stop)
    torch.manual_seed(99)
    fresh = type(net)()
    last = []
    resumed = train(
        fresh,
        data,
        validation,
        recipe,
        device="cpu",
        teacher=teacher,
        state=stored(states[finished - 1]),
        on_epoch=last.append,
    )
    assert equal(bits(fresh), bits(net))
    pd.testing.assert_frame_equal(untimed(resumed.history), untimed(whole.history))
    assert (resumed.best_epoch, resumed.best_score) == (whole.best_epoch, whole.best_score)
    assert equal(last[-1]["model"], states[-1]["model"])
    assert [state["epoch"] for state in last] == list(range(finished + 1, 4))


def test_a_finished_run_is_not_run_again(net, data, validation):
    states = []
    train(net, data, validation, RECIPE, device="cpu", on_epoch=states.append)
    fresh, calls = type(net)(), []
    result = train(fresh, data, validation, RECIPE, device="cpu", state=stored(states[-1]), on_epoch=calls.append)
    assert not calls
    assert equal(bits(fresh), bits(net))
    assert result.history.epoch.tolist() == [1, 2, 3]


def test_states_do_not_change_while_training_goes_on(net, data, validation):
    states, kept = [], []

    def keep(state):
        states.append(state)
        kept.append(stored(state))

    train(net, data, validation, RECIPE, device="cpu", on_epoch=keep)
    for state, copy_of_then in zip(states, kept, strict=True):
        assert equal(state["model"], copy_of_then["model"])
        assert state["history"] == copy_of_then["history"]


def test_runs_that_differ_in_the_seed_alone_differ(net, data, validation):
    twin = copy.deepcopy(net)
    train(net, data, validation, Recipe(epochs=1, seed=0), device="cpu")
    train(twin, data, validation, Recipe(epochs=1, seed=1), device="cpu")
    assert not equal(bits(net), bits(twin))


def test_the_callers_random_state_and_settings_are_left_alone(net, data, validation):
    before = torch.get_rng_state(), torch.backends.cudnn.deterministic
    train(net, data, validation, RECIPE, device="cpu")
    assert torch.equal(before[0], torch.get_rng_state())
    assert torch.backends.cudnn.deterministic == before[1]


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([(0.5, 1.0), (0.7, 1.0), (0.6, 0.1)], 2),
        ([(0.5, 1.0), (0.5, 0.8), (0.5, 0.9)], 2),
        ([(0.5, 1.0), (0.5, 1.0), (0.4, 0.1)], 1),
    ],
)
def test_the_best_epoch_is_the_most_accurate_then_least_loss_then_earliest(
    net, data, validation, monkeypatch, scores, best
):
    queue = iter(scores)

    def told(*_given: object, **_options: object) -> SimpleNamespace:
        return SimpleNamespace(scores=dict(zip(("accuracy", "loss"), next(queue), strict=True)))

    monkeypatch.setattr("eagleeye.train.run.predict", told)
    states = []
    result = train(net, data, validation, RECIPE, device="cpu", on_epoch=states.append)
    assert (result.best_epoch, result.best_score) == (best, scores[best - 1][0])
    assert equal(bits(net), states[best - 1]["model"])
    assert states[-1]["best_epoch"] == best
    assert list(zip(result.history.validation_accuracy, result.history.validation_loss, strict=True)) == scores


def test_the_history_has_one_row_per_epoch_and_the_rates_of_the_recipe(net, data, validation):
    states = []
    history = train(net, data, validation, RECIPE, device="cpu", on_epoch=states.append).history
    assert [state["history"][-1] for state in states] == history.to_dict("records")
    assert history.epoch.tolist() == [1, 2, 3]
    assert history.lr.tolist() == [learning_rate(RECIPE, 3 * epoch, 3) for epoch in range(3)]
    assert (history.images_per_second > 0).all()
    assert not history.isna().any().any()


def test_progress_counts_the_steps_of_the_whole_run(net, data, validation):
    steps = []
    train(net, data, validation, RECIPE, device="cpu", on_step=lambda *step: steps.append(step))
    assert [done for done, _, _ in steps] == list(range(1, 10))
    assert {total for _, total, _ in steps} == {9}
    assert all(speed > 0 for _, _, speed in steps)


def test_the_network_ends_in_evaluation_mode_and_in_the_usual_memory_format(net, data, validation):
    train(net, data, validation, RECIPE, device="cpu")
    assert not any(module.training for module in net.modules())
    assert all(value.is_contiguous() for value in net.state_dict().values())


def test_a_traced_network_trains_and_resumes_as_well(data, validation):
    def network():
        traced = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(3, 4, 3, stride=4),
                bn=nn.BatchNorm2d(4),
                drop=nn.Dropout(0.5),
                flat=nn.Flatten(),
                linear=nn.Linear(64, 2),
            )
        )
        return torch.fx.symbolic_trace(traced)

    torch.manual_seed(0)
    first = network()
    before, states = bits(first), []
    train(first, data, validation, RECIPE, device="cpu", on_epoch=states.append)
    second = network()
    train(second, data, validation, RECIPE, device="cpu", state=stored(states[0]))
    assert equal(bits(first), bits(second))
    assert not torch.equal(before["bn.running_mean"], first.bn.running_mean)


@pytest.mark.filterwarnings("error")
def test_nothing_is_printed_or_logged(net, data, validation, capfd, caplog):
    with caplog.at_level(logging.DEBUG):
        train(net, data, validation, RECIPE, device="cpu")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_loss_that_explodes_ends_the_run_and_says_what_to_lower(net, data, validation):
    calls = []
    with pytest.raises(
        EvaluationError, match=r"^the training loss is no longer a number in epoch .*lower lr \(1e\+30\)"
    ):
        train(
            net,
            data,
            validation,
            Recipe(epochs=3, batch_size=16, lr=1e30),
            device="cpu",
            on_epoch=calls.append,
        )
    assert not calls


def test_nan_weights_are_found_in_the_first_step(net, data, validation):
    net.conv1.weight.data[0] = torch.nan
    with pytest.raises(EvaluationError, match=r"epoch 1, step 1: the weights or the images hold NaN"):
        train(net, data, validation, RECIPE, device="cpu")


def test_labels_without_an_output_are_refused(data, validation):
    narrow = nn.Sequential(nn.Flatten(), nn.Linear(768, 1))
    with pytest.raises(DataError, match=r"1 outputs, but there are labels up to 1: .*num_classes=2"):
        train(narrow, data, validation, RECIPE, device="cpu")


def test_a_network_without_logits_is_refused(data, validation):
    with pytest.raises(ModelError, match="must return logits"):
        train(nn.Conv2d(3, 2, 1), data, validation, RECIPE, device="cpu")


def test_an_iterator_for_validation_is_refused(net, data, validation):
    with pytest.raises(DataError, match="pass a list of batches"):
        train(net, data, iter(validation), RECIPE, device="cpu")


def test_a_state_of_another_recipe_or_network_is_refused(net, data, validation):
    states = []
    train(net, data, validation, Recipe(epochs=2, lr=0.1), device="cpu", on_epoch=states.append)
    with pytest.raises(CheckpointError, match=r"made with lr 0\.1, not 0\.2"):
        train(net, data, validation, Recipe(epochs=2, lr=0.2), device="cpu", state=states[0])
    other = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    with pytest.raises(CheckpointError, match=r"^the training state does not fit the network [^\n]*$"):
        train(other, data, validation, Recipe(epochs=2, lr=0.1), device="cpu", state=states[0])
