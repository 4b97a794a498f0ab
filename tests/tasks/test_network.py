import pytest
import torch

from eagleeye.errors import ConfigError, ModelError
from tasks.network import build_network
from tasks.params import Params
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
