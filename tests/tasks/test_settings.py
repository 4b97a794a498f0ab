import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from eagleeye.errors import ConfigError
from tasks.params import Params
from tasks.settings import check, override, preview, read_params

NINE = ", ".join(9 * ["*a{0}"])
BOMB = "a0: &a0 [1]\n" + "".join(f"a{row + 1}: &a{row + 1} [{NINE.format(row)}]\n" for row in range(9))
MERGED = "a0: &a0 {b: 1}\n" + "".join(f"a{row + 1}: &a{row + 1} {{<<: [{NINE.format(row)}]}}\n" for row in range(9))
ROOT = Path(__file__).resolve().parents[2]
FILES = [ROOT / "params.yaml", *sorted((ROOT / "recipes").glob("*.yaml"))]


@pytest.fixture
def values() -> dict[str, Any]:
    return YAML(typ="safe").load(ROOT / "params.yaml")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    copy = tmp_path / "params.yaml"
    copy.write_text((ROOT / "params.yaml").read_text())
    return copy


def put(values: dict[str, Any], key: str, value: object) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        values = values[parent]
    values[last] = value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_params_and_every_recipe_are_valid(path: Path) -> None:
    params = read_params(path)
    assert json.loads(params.model_dump_json()) == json.loads(json.dumps(YAML(typ="safe").load(path)))


@pytest.mark.parametrize(
    ("recipe", "macs", "rate"),
    [
        ("imagenet-resnet50-3g", 3e9, 0.4),
        ("imagenet-resnet50-2g", 2e9, 0.7),
        ("imagenet-resnet50-1g", 1e9, 0.8),
        ("imagenet-mobilenetv1-50", 0.5, 0.7),
    ],
)
def test_imagenet_recipes_hold_the_published_settings(recipe: str, macs: float, rate: float) -> None:
    params = read_params(ROOT / "recipes" / f"{recipe}.yaml")
    assert (params.strategies.budget.macs, params.strategies.max_rate) == (macs, rate)
    assert (params.strategies.count, params.strategies.budget.tolerance) == (1000, 0.005)
    assert (params.evaluate.batch_size, params.subset.sub_validation) == (128, 10_000)
    tuning = params.finetune
    assert (tuning.epochs, tuning.lr, tuning.momentum, tuning.weight_decay) == (120, 0.01, 0.9, 1e-4)


def test_settings_do_not_change(values: dict[str, Any]) -> None:
    params = check(values, "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        params.rank.top_k = 3


def test_every_setting_is_explained() -> None:
    def undocumented(model: Any, path: str) -> list[str]:
        found = []
        for name, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                found += undocumented(field.annotation, f"{path}{name}.")
            elif not field.description:
                found.append(path + name)
        return found

    assert undocumented(Params, "") == []


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("strategies.cuont", 3, "strategies.cuont is unknown; did you mean count?"),
        ("nonsense", 3, "nonsense is unknown; allowed here: task, data, model, subset"),
        ("strategies.count", 0, "strategies.count is 0: must be greater than or equal to 1"),
        ("strategies.count", "100", 'strategies.count is "100": must be a valid integer'),
        ("strategies.budget.macs", "half", 'budget.macs is "half": must be a valid number or a valid integer'),
        ("strategies.budget.macs", None, "strategies.budget: macs, params and latency are all null: set at least one"),
        ("strategies.budget.macs", -1, "macs is -1: a fraction in (0, 1] or a count above 1 is allowed"),
        ("strategies.budget.tolerance", True, "strategies.budget.tolerance is true: must be a valid number"),
        ("strategies.even", "yes", 'strategies.even is "yes": must be a valid boolean'),
        ("strategies.generations", 1, "generations is 1: sampler evolution needs at least 2"),
        ("strategies.exclude", "layer1", 'strategies.exclude is "layer1": must be a list'),
        ("data.preprocess.mean", [1, 2], "preprocess: mean has 2 values, std has 3: give both one per channel"),
        ("data.preprocess.mean", [], "data.preprocess.mean is []: must"),
        ("data.preprocess.std", [1, 1, 0], "std is [1.0, 1.0, 0.0]: every value must be greater than 0"),
        ("data.preprocess.resize", 8, "resize is 8, size is 16: the crop must fit, size ≤ resize"),
        ("evaluate.mode", "rest", "evaluate.mode is \"rest\": must be 'reset' or 'paper'"),
        ("subset.calibration", 1.5, "calibration is 1.5: a fraction below 1 or a whole number of images"),
        ("subset.sub_validation", 0.99, "together the fractions must stay below 1"),
        ("finetune", None, "finetune is null: must be a section of settings"),
        ("finetune.warmup_epochs", 10, "warmup_epochs is 10: must be below epochs, which is 10"),
        ("finetune.ema", 1.0, "finetune.ema is 1.0: must be less than 1"),
        ("finetune.distillation", 1.5, "finetune.distillation is 1.5: must be less than or equal to 1"),
        ("finetune.temperature", 0, "finetune.temperature is 0: must be greater than 0"),
        ("baseline.distillation", 0.5, "baseline.distillation is unknown; allowed here: epochs, batch_size"),
        ("correlation.training.distilation", 0.5, "training.distilation is unknown; did you mean distillation?"),
        ("finetune.lr", float("nan"), "finetune.lr is NaN: must be a finite number"),
        ("rank.top_k", 101, "rank.top_k is 101: must not exceed strategies.count, which is 100"),
        ("report.latency_batch_sizes", [], "report.latency_batch_sizes"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(values: dict[str, Any], key: str, value: object, message: str) -> None:
    put(values, key, value)
    with pytest.raises(ConfigError) as caught:
        check(values, "params.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("params.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_missing_setting_is_named(values: dict[str, Any]) -> None:
    del values["finetune"]["lr"]
    with pytest.raises(ConfigError, match=r"finetune\.lr is missing"):
        check(values, "params.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rank: {top_k: 1}\nrank: {top_k: 2}\n", "line 2: rank appears twice; keep one of them"),
        ("rank: [\n", "line 2, column 1: not valid YAML"),
        ("\tx: 1", "line 1, column 1: not valid YAML"),
        ("", "holds no settings"),
        ("- 1\n", "holds no settings"),
        ("rank: {top_k: 1\0}", "not valid YAML: unacceptable character #x0000"),
        ("rank: " + 100 * "[" + 100 * "]", "nested too deeply: settings have at most 50 levels"),
        ("rank: " + 50_000 * "[", "nested too deeply: settings have at most 50 levels"),
        ("rank: " + 50_000 * "{a: ", "nested too deeply: settings have at most 50 levels"),
        (BOMB, "more than 10,000 values, each alias written out"),
        (MERGED, "more than 10,000 values, each alias written out"),
        ("rank: &a [*a]", "more than 10,000 values, each alias written out"),
        ("x" * 2**20 + ": 1", "1,048,579 characters: settings have at most 1,048,576"),
        ("rank:\n<<<<<<< HEAD\n  top_k: 1\n=======\n  top_k: 2\n>>>>>>> other\n", "line 2: marks of a merge"),
        ("? [a, b]\n: 1\n", "a list or section stands where a key must"),
        ("rank: {? {a: b} : 1}", "line 1, column 10: not valid YAML: found unhashable key"),
        ("rank: !!python/object:os.system x", "line 1, column 7: not valid YAML"),
        ('rank: "\\ud800"', "line 1, column 10: not valid YAML"),
    ],
)
def test_a_broken_file_is_one_line(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"^params\.yaml: ") as caught:
        read_params(file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"params\.yaml is missing: copy a file from recipes/"):
        read_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("edit", [read_params, lambda path: override(path, {"rank.top_k": 2})], ids=["read", "changed"])
def test_whatever_stands_in_the_file_is_one_line(tmp_path_factory: pytest.TempPathFactory, edit: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "params.yaml"
    whole = (ROOT / "params.yaml").read_bytes()

    @given(st.data())
    def garbled(data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(whole)))
        put = data.draw(
            st.binary(max_size=20) | st.sampled_from([b"[", b"&a ", b"*a", b"\0", b"\xff", b"!!set ", b"? ", b"{"])
        )
        path.write_bytes(whole[:start] + put + whole[start + data.draw(st.integers(0, 40)) :])
        with suppress(ConfigError):
            edit(path)

    garbled()


@pytest.mark.parametrize("text", ["? {a: 1, b: 2}\n: 1\n", "rank:\n  by: !!set x\n", "? rank:\n    by: loss\n: 1\n"])
def test_what_cannot_be_read_with_its_comments_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    for read in (read_params, lambda path: override(path, {"rank.top_k": 2})):
        with pytest.raises(ConfigError, match=r"^params\.yaml: [^\n]*$"):
            read(path)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff", b"rank: \x00"])
def test_what_is_no_text_file_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "params.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    for read in (read_params, lambda path: override(path, {"rank.top_k": 2})):
        with pytest.raises(ConfigError, match=r"^params\.yaml[^\n]*(cannot be read|not valid YAML)[^\n]*$"):
            read(path)


def test_a_password_shows_neither_in_changes_nor_in_mistakes(file: Path) -> None:
    uri = "postgresql://me:secret@host/db"
    assert override(file, {"tracking.uri": uri}) == ['tracking.uri: "sqlite:///mlflow.db" → "postgresql://host/db"']
    assert override(file, {"tracking.uri": "sqlite:///x.db"}) == [
        'tracking.uri: "postgresql://host/db" → "sqlite:///x.db"'
    ]
    with pytest.raises(ConfigError) as caught:
        override(file, {"rank.top_k": uri})
    assert "secret" not in str(caught.value)


def test_numbers_are_read_as_dvc_reads_them(file: Path) -> None:
    file.write_text(file.read_text().replace("  lr: 0.01\n", "  lr: 1e-2\n"))
    assert read_params(file).finetune.lr == 0.01


def test_overrides_change_these_lines_only(file: Path) -> None:
    before = file.read_text().splitlines()
    assert override(file, {"strategies.count": 50, "finetune.lr": 0.02}) == [
        "strategies.count: 100 → 50",
        "finetune.lr: 0.01 → 0.02",
    ]
    after = file.read_text().splitlines()
    assert [new for old, new in zip(before, after, strict=True) if old != new] == ["  count: 50", "  lr: 0.02"]
    params = read_params(file)
    assert (params.strategies.count, params.finetune.lr) == (50, 0.02)


def test_overrides_reach_into_free_options_and_lists(file: Path) -> None:
    override(file, {"data.source": "parquet", "data.options.train": "a.parquet", "strategies.exclude": ["layer1.*"]})
    params = read_params(file)
    assert params.data.options == {"train": "a.parquet"}
    assert params.strategies.exclude == ("layer1.*",)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"strategies.cout": 3}, "strategies.cout is unknown; did you mean strategies.count?"),
        ({"strategies.count.x": 3}, "strategies.count.x is unknown"),
        ({"zzz": 3}, "zzz is unknown; allowed here: task, data, model"),
        ({"rank.top_k": 5, "strategies.count": 2}, "rank.top_k is 5: must not exceed"),
    ],
)
def test_a_wrong_override_changes_nothing(file: Path, overrides: dict[str, object], message: str) -> None:
    before = file.read_bytes()
    with pytest.raises(ConfigError) as caught:
        override(file, overrides)
    assert message in str(caught.value)
    assert file.read_bytes() == before


def test_a_preview_writes_nothing(file: Path) -> None:
    before = file.read_bytes()
    assert preview(file, {"strategies.count": 7}).strategies.count == 7
    assert file.read_bytes() == before
