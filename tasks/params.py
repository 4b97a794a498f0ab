"""The settings of the pipeline: one frozen object, section by section as in params.yaml, every field explained.

Nothing has a default here: params.yaml (or a recipe) is the one place for values. `tasks.settings` reads it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from eagleeye.errors import ConfigError
from eagleeye.task.named import TASKS
from tasks.task_rules import contradictions

Count = Annotated[int, Field(ge=1)]
Share = Annotated[int | float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Device = Literal["auto", "cpu", "cuda"]
Channels = Annotated[tuple[float, ...], Field(min_length=1)]


class Section(BaseModel):
    """A section of params.yaml: unknown keys are refused, types are not converted, values do not change."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Preprocess(Section):
    """How an image becomes the network's input."""

    size: Count | None = Field(description="side of the square input, pixels; null keeps the images' own size")
    resize: Count | None = Field(description="short side before the centre crop to `size`, pixels; null: no crop")
    mean: Channels = Field(description="per-channel mean of the images scaled to [0, 1]: 3 values for RGB, 1 for grey")
    std: Channels = Field(description="per-channel standard deviation of the same")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.resize is not None and (self.size is None or self.resize < self.size):
            raise ValueError(f"resize is {self.resize}, size is {self.size}: the crop must fit, size ≤ resize")
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} values, std has {len(self.std)}: give both one per channel")
        if min(self.std) <= 0:
            raise ValueError(f"std is {list(self.std)}: every value must be greater than 0")
        return self


def _kind_of(value: object) -> str:
    return Preprocess.__name__ if isinstance(value, Mapping | Preprocess) else "word"


# By what a value is, so that a wrong one is told about once.
Preparation = Annotated[
    Annotated[Preprocess, Tag(Preprocess.__name__)] | Annotated[Literal["auto", "none"], Tag("word")],
    Discriminator(_kind_of),
]


class Data(Section):
    """Where the images come from."""

    source: str = Field(
        min_length=1,
        description="digits | scenes | parquet | imagefolder | images | masks | table | coco |"
        " torchvision:<data set> | package.module:function",
    )
    options: dict[str, Any] = Field(description="the source's own options, for instance train and test paths")
    watch: Literal["contents", "sizes", "nothing"] = Field(
        description="what of the images' files is watched for changes: contents | sizes (and names) | nothing"
    )
    preprocess: Preparation = Field(
        description="how an image becomes the network's input; auto: by the checkpoint's metadata, the configuration of"
        " its network in timm or torchvision, or the training images, whichever tells first; none: the source gives"
        " tensors as the network takes them"
    )
    confirmed: bool = Field(description="whether a preprocess that seems not to fit images or network is meant")


class Model(Section):
    """The trained network to prune."""

    name: str = Field(min_length=1, description="a model's name (see README) or package.module:factory")
    options: dict[str, Any] = Field(description="keyword arguments of the model")
    core: Annotated[str, Field(min_length=1)] | None = Field(
        description="name of the module that is traced and pruned, such as backbone of a detector; null: the network"
    )
    checkpoint: str | None = Field(description="its weights (.safetensors or a state dict); null: train a baseline")
    expected_accuracy: Annotated[float, Field(gt=0, le=1)] | None = Field(
        description="its accuracy as you know it, 0 to 1: far less ends the run before the search; null: what the"
        " checkpoint's metadata say, if anything"
    )

    @property
    def pruned(self) -> str:
        """The core's name as the library takes it: empty where the network is its own core."""
        return self.core or ""


class Subset(Section):
    """The two sets of training images that score candidates; never the test set."""

    calibration: Share = Field(description="images for adaptive BN: a fraction of the training set, or a count")
    sub_validation: Share = Field(description="images for the accuracy: a fraction of the training set, or a count")
    seed: Seed = Field(description="seed of the class-balanced draw")

    @model_validator(mode="after")
    def _check(self) -> Self:
        shares = {"calibration": self.calibration, "sub_validation": self.sub_validation}
        for key, share in shares.items():
            if isinstance(share, float) and share >= 1:
                raise ValueError(f"{key} is {share}: a fraction below 1 or a whole number of images is allowed")
        if sum(share for share in shares.values() if isinstance(share, float)) >= 1:
            raise ValueError(f"{shares}: together the fractions must stay below 1, some images are left to train on")
        return self


class Training(Section):
    """A training run: SGD with Nesterov momentum and a cosine schedule."""

    epochs: Count = Field(description="passes over the training images")
    batch_size: Count = Field(description="images per step")
    lr: float = Field(gt=0, description="learning rate at its peak")
    momentum: float = Field(ge=0, lt=1, description="momentum")
    weight_decay: float = Field(ge=0, description="weight decay of every parameter")
    warmup_epochs: int = Field(ge=0, description="epochs of linear warm-up before the cosine")
    label_smoothing: float = Field(ge=0, lt=1, description="label smoothing")
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        description="decay per step of the moving average of the weights that is kept in their place; null: none"
    )
    augment: Literal["none", "shift", "shift_flip", "resized_crop"] = Field(description="random augmentation")
    mixed_precision: bool = Field(description="16-bit arithmetic where the device has it")
    device: Device = Field(description="auto takes a GPU where there is one")
    seed: Seed = Field(description="seed of weights, order and augmentation")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs is {self.warmup_epochs}: must be below epochs, which is {self.epochs}")
        return self


class Tuning(Training):
    """A training run of a pruned network, which may learn from the unpruned one as well as from the labels."""

    distillation: float = Field(
        ge=0, le=1, description="share of the loss that is the divergence from the unpruned network; 0: labels alone"
    )
    temperature: float = Field(gt=0, description="what the outputs of both are divided by for that")


class FineTuning(Tuning):
    """The training runs of the best candidates, by the settings above or by a loop of one's own."""

    trainer: str | None = Field(
        description="package.module:function that trains the pruned network instead; null: SGD by the settings"
    )

    @model_validator(mode="after")
    def _check_trainer(self) -> Self:
        if self.trainer is not None and not all(self.trainer.partition(":")):
            raise ValueError(f"trainer is {self.trainer!r}: null or package.module:function is allowed")
        return self


class Budget(Section):
    """What the pruned network may cost: MACs, parameters, latency, or several of them."""

    macs: float | int | None = Field(description="≤ 1: fraction of the full network's MACs; above 1: a count")
    params: float | int | None = Field(description="≤ 1: fraction of the full network's parameters; above 1: a count")
    latency: float | int | None = Field(description="≤ 1: fraction of the full one's latency; above 1: milliseconds")
    tolerance: float = Field(gt=0, lt=1, description="allowed distance, as a fraction of the full network")

    @model_validator(mode="after")
    def _check(self) -> Self:
        targets = {"macs": self.macs, "params": self.params, "latency": self.latency}
        if not any(value is not None for value in targets.values()):
            raise ValueError("macs, params and latency are all null: set at least one of them")
        for key, value in targets.items():
            if value is not None and value <= 0:
                raise ValueError(f"{key} is {value}: a fraction in (0, 1] or a count above 1 is allowed")
        return self


class Strategies(Section):
    """The candidates: one pruning rate per group of channels, within the budget."""

    budget: Budget
    latency_batch_size: Count = Field(description="images whose latency the budget is about")
    sampler: str = Field(min_length=1, description="uniform | evolution | package.module:function")
    generations: Count = Field(
        description="rounds in which the sampler sees the scores of the rounds before; no more than candidates"
    )
    count: Count = Field(description="candidates, of all generations together")
    multiple: Count = Field(description="channels are left in multiples of this")
    max_rate: float = Field(gt=0, le=1, description="rates are uniform in [0, max_rate]")
    seed: Seed = Field(description="seed of the draws")
    max_draws: Count = Field(description="draws in a row without a new candidate after which a budget is given up")
    even: bool = Field(
        description="also score and fine-tune the evenly pruned network; it may win, except in mode paper"
    )
    allocated: bool = Field(
        description="also try widths allocated by error, and the even network filled up; needs importance.criterion obs"
    )
    exclude: tuple[str, ...] = Field(description="layers never to prune; patterns such as layer1.*")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sampler == "evolution" and self.generations == 1:
            raise ValueError("generations is 1: sampler evolution needs at least 2, for instance 10")
        return self


class Importance(Section):
    """Which channels of a group go first."""

    criterion: str = Field(
        min_length=1,
        description="l1 | l2 | bn_scale | geometric_median | taylor | obs | random | package.module:function",
    )
    aggregate: Literal["sum", "mean", "max", "first"] = Field(description="one score from layers that share a channel")
    seed: Seed = Field(description="of criterion random")
    refit: bool | Literal["in_turn"] = Field(
        description="refit layers that lose inputs, in closed form and without labels; in_turn = those of the networks"
        " that are fine-tuned once more, one after another, to what each reads there"
    )
    images: Count = Field(description="calibration images that obs and refit measure activations on; all, if fewer")

    @property
    def measures(self) -> bool:
        """Whether activations are measured."""
        return bool(self.refit) or self.criterion == "obs"


class Evaluate(Section):
    """How candidates are scored."""

    mode: Literal["reset", "paper"] = Field(
        description="reset = average from scratch; paper = the published protocol, in float32 and without racing"
    )
    iterations: Count | None = Field(description="paper: calibration batches, null = the published 100; reset: null")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        description="of convolutions; auto = bfloat16 where the device multiplies it natively"
    )
    racing: Literal["on", "off"] = Field(description="few images for all candidates, all for those that may still win")
    first_images: tuple[Count, Count] = Field(description="racing: calibration and sub-validation images for all")
    batch_size: Count = Field(description="calibration images whose statistics are averaged")
    device: Device = Field(description="auto takes a GPU where there is one")
    vanilla: bool = Field(description="also score without recalibration")
    workers: Count | None = Field(description="candidates scored at a time; null: one per core, or 4 on a GPU")
    candidates_per_task: Count = Field(description="candidates that one Prefect task scores")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mode == "reset" and self.iterations is not None:
            raise ValueError(f"iterations is {self.iterations}: only mode paper counts batches; set it to null")
        return self


class Rank(Section):
    """Which score decides, and how many candidates go on."""

    by: str | None = Field(
        description="score that decides the race and the ranking, and that later generations are bred by, one of the"
        " task's; null: its first"
    )
    top_k: Count = Field(description="best candidates to fine-tune")


class Report(Section):
    """What the report measures."""

    latency_repeats: Annotated[int, Field(ge=5)] = Field(description="timed forward passes per network")
    latency_batch_sizes: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
        description="images per timed forward pass; each size is measured"
    )


class Correlation(Section):
    """The study of how well scores tell the accuracy after fine-tuning."""

    candidates: Annotated[int, Field(ge=3)] = Field(description="to fine-tune, spread evenly over the ranking")
    seeds: Count = Field(description="fine-tunings of each, with the seeds training.seed, training.seed + 1, …")
    resamples: Annotated[int, Field(ge=100)] = Field(description="of the bootstrap, for the confidence intervals")
    level: float = Field(gt=0, lt=1, description="of the confidence intervals")
    seed: Seed = Field(description="seed of the bootstrap")
    training: Tuning


class Runner(Section):
    """Where a Prefect flow has candidates scored."""

    engine: Literal["local", "ray"] = Field(description="threads of this process, or a Ray cluster")
    address: str | None = Field(description="of the Ray cluster, host:port or auto; null: start one on this machine")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.engine == "local" and self.address is not None:
            raise ValueError(f"address is {self.address}: engine local has none; set it to null, or engine to ray")
        return self


class Tracking(Section):
    """Where MLflow records the search."""

    uri: str = Field(min_length=1, description="MLflow tracking URI")
    experiment: str = Field(min_length=1, description="MLflow experiment")


class Params(Section):
    """The whole of params.yaml."""

    task: str = Field(
        min_length=1,
        description="what the network is for: " + " | ".join(TASKS) + " | package.module:function",
    )
    data: Data
    model: Model
    subset: Subset
    baseline: Training
    strategies: Strategies
    importance: Importance
    evaluate: Evaluate
    rank: Rank
    finetune: FineTuning
    report: Report
    studies: tuple[Literal["correlation"], ...] = Field(description="studies beside the search: [] or [correlation]")
    correlation: Correlation
    runner: Runner
    tracking: Tracking

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.strategies.allocated and self.importance.criterion != "obs":
            raise ValueError(
                f"strategies.allocated is true, but importance.criterion is {self.importance.criterion}: widths are"
                " allocated by the errors that obs measures; set the one to false or the other to obs"
            )
        try:
            problem = next(contradictions(self), None)
        except ConfigError as error:
            problem = str(error)
        if problem:
            raise ValueError(problem)
        if self.rank.top_k > self.strategies.count:
            raise ValueError(
                f"rank.top_k is {self.rank.top_k}: must not exceed strategies.count, which is {self.strategies.count}"
            )
        return self
