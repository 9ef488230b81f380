"""The model and the data set: whether a launch would find them. Nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from cluster.backends import backend, model_folder
from sweep.commands.health.check import Check, State
from sweep.errors import SweepError
from sweep.plan.config import LIBRARY, SweepConfig
from sweep.tasks import dataset

ANSWER = 5.0
"""Seconds for the hub to answer."""


def models(config: SweepConfig | None, address: str | None) -> Iterator[Check]:
    """Whether the model and its draft are here, in the hub's cache, or on the hub."""
    if config is None or not backend(config.engine.backend).real_model:
        why = "no sweep file is given" if config is None else "the backend has none"
        yield Check(name="model", state=State.UNCHECKED, text=why)
        return
    for model in filter(None, (config.engine.model, config.engine.draft_model)):
        yield _model(config.secrets.reveal(model), model, address)


def _model(model: str, shown: str, address: str | None) -> Check:
    try:
        folder = model_folder(model)
    except SweepError as error:
        remedy = "correct engine.model or engine.draft_model"
        return Check(name="model", state=State.BROKEN, text=error.message, remedy=remedy)
    if folder is None:
        return _on_hub("model", model, shown)
    if (folder / "config.json").is_file():
        return Check(name="model", state=State.OK, text=f"{shown} is on this machine")
    if address:
        return Check(name="model", state=State.UNCHECKED, text=f"{shown} is a folder of the cluster's machines")
    remedy = "name the folder that has the model's config.json"
    return Check(name="model", state=State.BROKEN, text=f"{shown} holds no config.json", remedy=remedy)


def data(config: SweepConfig | None) -> Iterator[Check]:
    """Whether the questions can be read, or are in the cache or on the hub."""
    if config is None:
        yield Check(name="data set", state=State.UNCHECKED, text="no sweep file is given")
        return
    protocol = config.revealed_protocol()
    try:
        if protocol.dataset.path == LIBRARY and dataset.on_hub(protocol):
            text = f"{protocol.task} is fetched by its library at the first launch"
            yield Check(name="data set", state=State.UNCHECKED, text=text)
            return
        if dataset.on_hub(protocol):
            yield _on_hub("data set", protocol.dataset.path, config.protocol.dataset.path)
            return
        questions = len(dataset.load(protocol).questions)
    except SweepError as error:
        text, remedy = config.secrets.hide(error.message), "correct protocol.dataset"
        yield Check(name="data set", state=State.BROKEN, text=text, remedy=remedy)
        return
    text = f"{config.protocol.dataset.path} gives {questions} questions"
    yield Check(name="data set", state=State.OK, text=text)


def _on_hub(kind: str, name: str, shown: str) -> Check:
    """What the cache has of it, or what the hub says of it; nothing is downloaded."""
    plural, cache = ("models", _hub_cache()) if kind == "model" else ("datasets", _datasets_cache())
    folder = cache / (f"models--{name.replace('/', '--')}" if kind == "model" else name.replace("/", "___"))
    if any(folder.glob("snapshots/*/config.json" if kind == "model" else "*")):
        return Check(name=kind, state=State.OK, text=f"{shown} is in the cache, {cache}")
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    token = os.environ.get("HF_TOKEN")
    request = Request(f"{hub}/api/{plural}/{name}", headers={"Authorization": f"Bearer {token}"} if token else {})
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        text, remedy = f"{shown} is not in the cache, and HF_HUB_OFFLINE is set", "unset it, or fill the cache"
        return Check(name=kind, state=State.BROKEN, text=text, remedy=remedy)
    try:
        urlopen(request, timeout=ANSWER).close()
    except HTTPError as error:
        text = f"{shown}: the hub says {error.code} {error.reason}"
        remedy = f"correct the name; for one that asks for consent, give it on {hub} and set HF_TOKEN"
        return Check(name=kind, state=State.BROKEN, text=text, remedy=remedy)
    except (OSError, ValueError) as error:
        text = f"{shown} is not in the cache, and the hub does not answer: {getattr(error, 'reason', error)}"
        remedy = "connect this machine, or copy it here and name its folder or file"
        return Check(name=kind, state=State.BROKEN, text=text, remedy=remedy)
    return Check(name=kind, state=State.OK, text=f"{shown} is on the hub, and is downloaded at the first launch")


def _hub_cache() -> Path:
    return Path(os.environ.get("HF_HUB_CACHE") or _home() / "hub")


def _datasets_cache() -> Path:
    return Path(os.environ.get("HF_DATASETS_CACHE") or _home() / "datasets")


def _home() -> Path:
    return Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
