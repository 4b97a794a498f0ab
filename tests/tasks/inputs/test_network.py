from pathlib import Path

import pytest
import torch
from torch import nn

from eagleeye.cost import cost
from eagleeye.errors import ConfigError, ModelError, TraceError
from eagleeye.prune import prune
from eagleeye.saving.artifact import read_metadata
from tasks.inputs.network import build_network, check_images, load_pruned
from tasks.inputs.space import cost_of, example_input, trace_network
from tasks.params import Model, Params
from tasks.stages.finetune import save_pruned
from tests.tasks.conftest import Search


def with_classes(params: Params, count: object) -> Params:
    options = params.model.options | {"num_classes": count}
    return params.model_copy(update={"model": params.model.model_copy(update={"options": options})})


def test_a_network_has_an_output_per_class_or_more_where_the_settings_say_so(search: Search) -> None:
    image = torch.zeros(1, 3, 32, 32)
    assert build_network(search.params).eval()(image).shape == (1, 10)
    assert build_network(with_classes(search.params, 1000)).eval()(image).shape == (1, 1000)


def test_fewer_outputs_than_classes_are_refused(search: Search) -> None:
    with pytest.raises(ConfigError, match=r"num_classes is 9, but the data have 10 classes: give at least as many"):
        build_network(with_classes(search.params, 9))
    with pytest.raises(ModelError, match="num_classes must be a whole number from 1; got 'many'"):
        build_network(with_classes(search.params, "many"))


def grey(params: Params, **options: object) -> Params:
    shape = params.data.preprocess.model_copy(update={"mean": (0.5,), "std": (0.2,)})
    data = params.data.model_copy(update={"preprocess": shape})
    model = params.model.model_copy(update={"name": "cifar_resnet20", "options": options})
    return params.model_copy(update={"data": data, "model": model})


def test_a_network_takes_as_many_channels_as_there_are_means(search: Search) -> None:
    check_images(grey(search.params, in_channels=1), build_network(grey(search.params, in_channels=1)))
    with pytest.raises(
        ModelError, match=r"to have 3 channels, but got 1 .*\(images have 1 channels, one for each value"
    ):
        check_images(grey(search.params), build_network(grey(search.params)))


def half(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes), nn.Linear(num_classes, num_classes)).half()


def wrapped(num_classes: int) -> nn.Module:
    return nn.DataParallel(nn.Linear(3, num_classes))


def ten() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))


def nine() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 9))


def with_factory(params: Params, name: str, **options: object) -> Params:
    model = params.model.model_copy(update={"name": f"tests.tasks.inputs.test_network:{name}", "options": options})
    return params.model_copy(update={"model": model})


def test_a_factory_without_num_classes_is_held_to_the_datas_classes(search: Search) -> None:
    params = with_factory(search.params, "ten")
    check_images(params, build_network(params))
    params = with_factory(search.params, "nine")
    with pytest.raises(ModelError, match=r"class 9 occurs, but the network has 9 outputs"):
        check_images(params, build_network(params))
    with pytest.raises(ConfigError, match=r"num_classes is 12, but .*:ten takes no num_classes: leave it out"):
        build_network(with_factory(search.params, "ten", num_classes=12))


def test_networks_that_the_stages_do_not_train_are_refused_and_wrappers_taken_off(search: Search) -> None:
    def with_model(name: str) -> Params:
        model = search.params.model.model_copy(
            update={"name": f"tests.tasks.inputs.test_network:{name}", "options": {}}
        )
        return search.params.model_copy(update={"model": model})

    with pytest.raises(ModelError, match=r"its weights are float16; .*return network\.float\(\)"):
        build_network(with_model("half"))
    assert isinstance(build_network(with_model("wrapped")), nn.Linear)


def test_a_network_without_class_scores_is_refused_at_once(search: Search) -> None:
    with pytest.raises(ModelError, match=r"is no table of class scores"):
        check_images(search.params, nn.Conv2d(3, 10, 1))


def with_core(params: Params, core: str) -> Params:
    model = params.model.model_copy(update={"name": "tests.tasks.networks:around_a_core", "options": {}, "core": core})
    return params.model_copy(update={"model": model})


@pytest.mark.parametrize(
    ("core", "said"),
    [
        ("cor", r"core 'cor': network AroundACore has no such module; .*core"),
        ("unused", r"core 'unused': a forward pass in evaluation mode does not call it"),
    ],
)
def test_a_core_that_is_not_there_or_never_called_is_refused_before_anything_is_trained(
    search: Search, core: str, said: str
) -> None:
    params = with_core(search.params, core)
    with pytest.raises(ModelError, match=said):
        check_images(params, build_network(params))


def test_the_core_alone_is_traced_and_costed_and_comes_back_from_its_file(search: Search, tmp_path: Path) -> None:
    params = with_core(search.params, "core")
    network = build_network(params).eval()
    with pytest.raises(TraceError):
        trace_network(params.model_copy(update={"model": whole(params)}), network)
    space = trace_network(params, network)
    image = example_input(params)
    wanted = cost(network.core, network.stem(image))
    assert cost_of(params, network) == space.full_cost == wanted
    assert wanted.params < cost(network, image).params
    thin = prune(network, space, [0.5] * len(space.groups))
    assert cost_of(params, thin).macs < 0.6 * wanted.macs
    result = {"id": "s0001", "file": (tmp_path / "thin.safetensors").as_posix()}
    with pytest.MonkeyPatch.context() as patch:  # exports take seconds
        exported = []
        for export in ("export_onnx", "export_program"):
            patch.setattr(f"tasks.stages.finetune.{export}", lambda core, call, *_: exported.append(call.on(core)))
        save_pruned(params, thin, result)
    found = load_pruned(params, tmp_path / "thin.safetensors")
    assert torch.equal(found(image), thin(image))
    assert read_metadata(tmp_path / "thin.safetensors")["core"] == "core"
    assert [each.shape for each in exported] == [thin.core(thin.stem(image)).shape] * 2


def whole(params: Params) -> Model:
    return params.model.model_copy(update={"core": None})
