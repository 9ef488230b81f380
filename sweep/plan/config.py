"""The sweep file's models: what may be written, and what it means. Reading one is `sweep.plan.sweepfile`'s."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, JsonValue, PrivateAttr
from pydantic_core import PydanticCustomError

from cluster.backends import BACKENDS, ELSEWHERE, INSTEAD
from cluster.secrets import Secrets
from sweep.bounds import LONGEST_NAME, LONGEST_TIME, MOST_COUNT, MOST_SEED
from sweep.gate.rules import Count, OpenShare, ThresholdRule
from sweep.plan.imported import ImportedConfig
from sweep.strict import Strict

SAMPLING = frozenset({"top_p", "top_k", "min_p"})
"""Settings of a protocol that cut the distribution which tokens are drawn from."""
CHAT = frozenset({"chat", "system", "chat_template_kwargs"})
"""Settings of a protocol that make a chat of it."""
OWN_KWARGS = frozenset(
    {"messages", "conversation", "chat_template", "tokenize", "add_generation_prompt", "continue_final_message"}
)
"""What an engine itself says to the chat template."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")
"""Names become folder and file names."""
FORMATS = (".jsonl", ".json", ".parquet")
"""What the names of local data sets end in."""
LIBRARY = "library"
"""In the place of a data set or a split: the task's library reads, or draws, as it does of itself."""
UNREAD = (".csv", ".tsv", ".txt", ".gz", ".zst", ".zip", ".arrow", ".xlsx", ".yaml", ".yml")
"""What the names of other files end in that somebody may take for a data set; no hub id ends so."""


def is_local(path: str) -> bool:
    """Whether a data set's path means a file, there or not, and no hub id, which is a name or OWNER/NAME."""
    begins = path.startswith((".", "/", "~")) or path.count("/") > 1
    return begins or path.lower().endswith((*FORMATS, *UNREAD))


def is_embedded(path: str) -> bool:
    """Whether a data set's path means one of the package."""
    return path.startswith("embedded:")


def _named(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("must begin with a letter or digit and hold only letters, digits and . _ = + -")
    return value


def _registered(value: str) -> str:
    if value not in (*BACKENDS, ELSEWHERE):
        known = {"known": list(BACKENDS), "instead": INSTEAD.get(value.lower().replace("_", "-"))}
        raise PydanticCustomError("unknown_name", "must be a backend that is registered", known)
    return value


def _no_own_kwargs(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if own := sorted(OWN_KWARGS & value.keys()):
        raise ValueError(f"{own[0]} is the engine's to say; take it out")
    return value


def _whole_above_one(value: float) -> float:
    if value > 1 and value != int(value):
        raise ValueError("must be a whole number, or a fraction below 1 that shares one GPU")
    return value


T = TypeVar("T")
Arguments = dict[str, JsonValue]
Levels = Annotated[T, Field(min_length=1)]
Name = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_named)]
Seconds = Annotated[float, Field(gt=0, le=LONGEST_TIME)]
Text = Annotated[str, Field(min_length=1, strict=True)]


class Expected(Strict):
    """What to expect before anything was measured; only estimates and the schedule read it."""

    start: Annotated[float, Field(ge=0, le=LONGEST_TIME)] = 90.0
    """Seconds to start an engine."""
    repetition: Seconds | None = None
    """Seconds for one repetition of this protocol on one engine; absent: 40 s for 200 questions of at most 512
    tokens, and in proportion to both."""


class EngineConfig(Strict):
    """The engines: what each is and how many."""

    backend: Annotated[Text, AfterValidator(_registered)]
    """One of `cluster.backends.BACKENDS`; ELSEWHERE in an imported run."""
    model: Text | None
    """A hub id, a folder, or a model of the package, such as `embedded:tiny-gemma4`."""
    draft_model: Text | None = None
    """The MTP draft of the variants that say `draft: true`."""
    gpus: Annotated[float, Field(ge=0, le=MOST_COUNT), AfterValidator(_whole_above_one)] | None = 0.0
    """GPUs an engine owns; a fraction lets engines share one."""
    nodes: Count | None = 1
    """Machines that an engine spans, each with an equal part of its GPUs."""
    engines: Count | Literal["auto"] = "auto"
    """How many engines; `auto` takes what the cluster has room for."""
    starts: Count | None = 1
    """At least so many starts of an engine are the repetitions of a variant spread over."""
    arguments: Arguments = {}
    """Arguments common to every variant, by the backend's own names."""
    environment: dict[str, str] = {}
    """Environment of the engine's process, set before the backend is imported."""
    secrets: tuple[Text, ...] = ()
    """Names in arguments and environments whose values are kept secret, beside those that look like secrets."""
    start_deadline: Seconds = 900.0
    """Seconds an engine may take to start."""
    request_deadline: Seconds = 600.0
    """Seconds a request may take."""
    straggler: Annotated[float, Field(gt=1)] | None = 3.0
    """What takes so many times the median of its like is tried on a free engine too; null: never."""
    expected: Expected = Expected()
    schedule: Literal["fast", "frugal"] = "fast"
    """`fast` starts a variant on further engines where that ends the sweep sooner; `frugal` starts it on one."""

    @property
    def owned(self) -> float:
        """`gpus`, which is known but in an imported run."""
        assert self.gpus is not None
        return self.gpus

    @property
    def spanned(self) -> int:
        """`nodes`, likewise."""
        assert self.nodes is not None
        return self.nodes


class VariantConfig(Strict):
    """One engine configuration, over the common one."""

    draft: bool = False
    """Decode speculatively with `engine.draft_model`."""
    deterministic: bool | None = None
    """The variant claims identical outputs over repetitions; absent: what its arguments say."""
    baseline: Text | None = None
    """The variant whose outputs this one must reproduce; absent: of a speculative variant, the one that differs
    only in speculation."""
    arguments: Arguments = {}
    """Over `engine.arguments`."""
    environment: dict[str, str] = {}
    """Over `engine.environment`."""


class PerturbConfig(Strict):
    """Conditions under which every variant is measured again: for the variance that identical repetitions hide.

    Every key but `repetitions` is a factor with its levels; the sweep's own setting is a level of each. All but
    `build` are measured by this sweep.
    """

    repetitions: Count = 3
    """Of each variant at each level."""
    concurrency: tuple[Count, ...] = ()
    """Requests in flight at once."""
    shards: tuple[Count, ...] = ()
    """Parts that a repetition is split in."""
    question_order: tuple[Literal["shuffled", "fixed"], ...] = ()
    """As `protocol.question_order`."""
    engine: tuple[Text, ...] = ()
    """Names of engines, `engine-1` and on: each level is measured by that one alone."""
    arguments: dict[str, tuple[JsonValue, ...]] = {}
    """Engine argument to its levels."""
    build: tuple[Text, ...] = ()
    """Folders of runs that measured the same protocol and engine arguments with another build of the engine."""


class DatasetConfig(Strict):
    """Where the records come from, and what pins them."""

    path: Text = LIBRARY
    """`embedded:tiny-gemma4`, a local .jsonl/.json/.parquet file, or a hub id such as `openai/gsm8k`; absent, or
    `library`: those of the task's library."""
    config: Text | None = None
    """The hub data set's configuration, such as `main`."""
    revision: Text | None = None
    """The hub commit that pins the records."""
    train_path: Text | None = None
    """The local file that holds the train split, for `shots_from: train`, or for a library that draws from it."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of the canonical test records: the task's columns. The sweep refuses to run on others."""


class GoldConfig(Strict):
    """Whose outputs are right, of a task without answers."""

    run: Text | None = None
    """The folder of an earlier run; absent: the variant is measured once more, before the sweep."""
    variant: Text | None = None
    """A variant of the sweep, or of the earlier run; absent: what the earlier run was held to itself."""


class ProtocolConfig(Strict):
    """What is asked and how it is scored. Everything here is in the protocol's hash.

    What is not known of an imported run is null in it, and in no other: see `sweep.plan.unknown`.
    """

    task: Text = "gsm8k"
    """The benchmark, as in `sweep.tasks.TASKS` or LIBRARY:NAME: makes the prompts and scores the outputs."""
    dataset: DatasetConfig = DatasetConfig()
    gold: GoldConfig | None = None
    """Whose outputs are right, of a task without answers; the outputs are in the protocol's hash."""
    shots: Annotated[int, Field(ge=0, le=MOST_COUNT, strict=True)] | None = 5
    """Worked examples before each question."""
    shots_from: Literal["test", "train", "library"] | None = "test"
    """`test`: its first records, and the questions follow them (SGLang). `train`: its first (vLLM). `library`: as
    the task's library draws them."""
    questions: Count | Literal["all"] = 200
    """How many, from the head of what the shots leave."""
    stop: tuple[Text, ...] | None = None
    """An output ends before the first of these; absent: the task's own."""
    max_tokens: Count | None = 512
    """Most tokens in an output."""
    temperature: Annotated[float, Field(ge=0, le=MOST_COUNT)] | None = 0.0
    """0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Above temperature 0: draw from the likeliest tokens that have this probability together; absent: from all."""
    top_k: Count | None = None
    """Likewise: from so many of the likeliest tokens."""
    min_p: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Likewise: from the tokens that have this share of the likeliest one's probability."""
    chat: bool | None = False
    """The task's text is the user's message of a chat, which the model's own template makes a prompt of."""
    system: Text | None = None
    """The system message that a chat begins with."""
    chat_template_kwargs: Annotated[dict[str, JsonValue], AfterValidator(_no_own_kwargs)] = {}
    """What the template of a chat is given beside the messages, such as `enable_thinking: false`."""
    concurrency: Count | None = 128
    """Requests in flight at once."""
    question_order: Literal["shuffled", "fixed"] | None = "shuffled"
    """`shuffled`: by the repetition's seed, so that each is batched in another way."""

    @property
    def sampling(self) -> dict[str, float]:
        """What cuts the distribution that tokens are drawn from, by SAMPLING's names."""
        return {name: value for name in sorted(SAMPLING) if (value := getattr(self, name)) is not None}

    @property
    def unset(self) -> frozenset[str]:
        """Of the settings that came later those left at their defaults: no hash has them, so that none changes."""
        fields = type(self).model_fields
        return frozenset(name for name in SAMPLING | CHAT | {"gold"} if getattr(self, name) == fields[name].default)


class TrackingConfig(Strict):
    """Where MLflow keeps the results."""

    uri: Text | None = "sqlite:///mlflow.db"
    """An MLflow tracking URI; null turns tracking off."""
    experiment: Text | None = None
    """The experiment; absent: the sweep's name."""


class ReferenceConfig(Strict):
    """Another engine that generates some of the questions with the same weights and draft, to be held against."""

    backend: Annotated[Text, AfterValidator(_registered)]
    """One of `cluster.backends.BACKENDS`."""
    questions: Count = 30
    """How many, from the head of the sweep's own."""
    gpus: Annotated[float, Field(ge=0), AfterValidator(_whole_above_one)] = 0.0
    """GPUs that its one engine owns."""
    arguments: Arguments = {}
    """By that backend's own names."""
    environment: dict[str, str] = {}
    """Environment of the engine's process."""


class AuditConfig(Strict):
    """What the contract asks of the audits."""

    accept_failures: Text | None = None
    """A reason to derive a contract although audits failed; it is written into the contract."""


class StopRule(Strict):
    """When a variant needs no further repetitions. Absent: every planned repetition runs."""

    identical: Annotated[int, Field(ge=2, le=MOST_COUNT, strict=True)] | None = None
    """A variant that claims determinism stops after this many identical repetitions of different orders."""
    width: OpenShare | None = None
    """A noisy variant stops once mean - tolerance bound is under this, in accuracy; looked at after 5, 10, 20,
    40... repetitions."""
    coverage: OpenShare = 0.99
    """Of the bound that `width` looks at."""
    confidence: OpenShare = 0.95
    """Of the bound that `width` looks at, over all the looks together: each has its share of the error."""


class SweepConfig(Strict):
    """A sweep file, validated."""

    name: Name
    engine: EngineConfig
    variants: dict[Name, VariantConfig] = {}
    """Name to variant."""
    grid: dict[str, Levels[dict[str, VariantConfig]] | Levels[list[JsonValue]]] = {}
    """Axis to named levels, or to a list of values of the argument named by the axis; every combination
    is a variant, named by its levels."""
    protocol: ProtocolConfig
    repetitions: Count
    """Per variant."""
    seed: Annotated[int, Field(ge=0, le=MOST_SEED, strict=True)] | None = 0
    """Repetition r has seed + r - 1; null in an imported run, whose seeds are not known."""
    shards: Count = 1
    """Parts a repetition is split in, so that engines can share one."""
    threshold: ThresholdRule | None = None
    """Absent: `sweep.gate.rules.default_rule` of what was measured."""
    stop: StopRule | None = None
    perturb: PerturbConfig | None = None
    reference: ReferenceConfig | None = None
    audits: AuditConfig = AuditConfig()
    tracking: TrackingConfig = TrackingConfig()
    imported: ImportedConfig | None = None
    """Written by `sweep import` alone: nothing of such a run can be measured."""
    _secrets: Secrets = PrivateAttr(default_factory=Secrets)

    @property
    def secrets(self) -> Secrets:
        """What the marks in it stand for; no part of it, and so in nothing that it is written into."""
        return self._secrets

    def revealed_protocol(self) -> ProtocolConfig:
        """The protocol with values in the places of marks, for whoever reads the data set."""
        dataset = DatasetConfig.model_validate(self.secrets.reveal(self.protocol.dataset.model_dump()))
        return self.protocol.model_copy(update={"dataset": dataset})

    def revealed(self) -> SweepConfig:
        """The same with that protocol."""
        return self.model_copy(update={"protocol": self.revealed_protocol()})

    def keeping(self, secrets: Secrets) -> SweepConfig:
        """The same, with these secrets."""
        kept = self.model_copy()
        kept._secrets = secrets
        return kept
