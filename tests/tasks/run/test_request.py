"""What a request may change in params.yaml, and what only who may edit the file."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from eagleeye.errors import ConfigError
from tasks.params import Params
from tasks.run.request import ADDRESSES, FUNCTIONS, check_request
from tasks.settings import override, read_params

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path))


def descriptions(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from descriptions(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field.description or ""


def test_every_setting_that_may_name_a_function_or_an_address_is_known() -> None:
    found = dict(descriptions(Params))
    assert {key for key, text in found.items() if "package.module:" in text} == set(FUNCTIONS)
    assert {key for key in found if key.endswith((".uri", ".address"))} == set(ADDRESSES)


@pytest.mark.parametrize(
    "overrides",
    [
        {"data.source": "os:system"},
        {"data.source": "pandas:read_pickle", "data.options": {"filepath_or_buffer": "x"}},
        {"data": {"source": "os:system"}},  # and the rest of the section as it is
        {"model.name": "mine:network"},
        {"strategies.sampler": "mine:sampler"},
        {"importance.criterion": "mine:criterion", "strategies.allocated": False},
        {"runner": {"engine": "ray", "address": "elsewhere:10001"}},
        {"tracking.uri": "http://elsewhere"},
    ],
)
def test_a_request_brings_in_no_code_and_no_address(settings: Path, overrides: dict[str, object]) -> None:
    if isinstance(data := overrides.get("data"), dict):
        overrides = {"data": read_params(settings).data.model_dump(mode="json") | {"source": data["source"]}}
    with pytest.raises(ConfigError, match=r"^overrides: \S+ is '.*': a.* is taken from params.yaml alone") as caught:
        check_request(settings, overrides)
    assert "\n" not in str(caught.value)


def test_what_the_file_holds_stays_as_it_is_and_names_of_our_own_may_change(settings: Path) -> None:
    override(settings, {"data.source": "mine:images", "model.name": "mine:network"})
    check_request(settings, {})
    check_request(settings, {"data.source": "mine:images", "model.name": "resnet18", "tracking.experiment": "night"})
    published = {"importance.criterion": "l2", "strategies.allocated": False}
    check_request(settings, {"data.source": "torchvision:CIFAR10", "strategies.count": 5, **published})
    with pytest.raises(ConfigError, match=r"data\.source is 'mine:network'"):  # another key's function
        check_request(settings, {"data.source": "mine:network"})
    with pytest.raises(ConfigError, match=r"model\.name is 'mine:other'"):
        check_request(settings, {"model.name": "mine:other"})


def test_a_request_may_mend_a_file_but_not_with_code(settings: Path) -> None:
    settings.write_text(settings.read_text().replace("count: 100", "count: 0"))
    with pytest.raises(ConfigError, match=r"model\.name is 'mine:network'"):
        check_request(settings, {"strategies.count": 5, "model.name": "mine:network"})


def test_the_password_of_an_address_does_not_show(settings: Path) -> None:
    with pytest.raises(ConfigError, match=r"tracking\.uri is 'postgresql://host/db'"):
        check_request(settings, {"tracking.uri": "postgresql://me:secret@host/db"})
