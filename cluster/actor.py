"""The process that owns an engine's GPUs. A plain class: `cluster.pool` wraps it for Ray, in one place."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

from cluster.backends import make_engine, runs_model
from cluster.errors import EngineStartFailed, RequestFailed
from cluster.ports import free_port
from cluster.secrets import Secrets
from cluster.spec import Batch, Completion, Engine, EngineFacts, EngineSpec, Report

MEETING_PORTS = 8
"""How many in a row are free where an engine's parts meet: SGLang takes the ones after its address, too."""


class EngineActor:
    """One engine with one variant loaded at a time."""

    def __init__(self, name: str) -> None:
        """`name` is what the driver calls this engine."""
        self._name = name
        self._engine: Engine | None = None
        self._secrets = Secrets()

    def __repr__(self) -> str:
        """On the Ray dashboard, which reads it once, when the actor is made; the tasks' names tell what it does."""
        return self._name

    def meeting_point(self) -> str:
        """HOST:PORT at which the parts of an engine may meet, on this machine."""
        import ray

        host = ray.util.get_node_ip_address()
        return f"{f'[{host}]' if ':' in host else host}:{free_port(host, MEETING_PORTS)}"

    def load(self, spec: EngineSpec, report: Report, address: str | None = None) -> EngineFacts:
        """Stop the variant that is loaded and start another. Raises EngineStartFailed.

        `address` is where its parts meet, if it has several.

        An engine may tell its arguments, and Ray keeps what an actor raises: here the secrets go in, and none goes
        out.
        """
        self.stop()
        self._secrets = secrets = spec.secrets
        engine = make_engine(spec.backend)
        with secrets.hidden_in_errors():
            try:
                named = replace(spec.revealed(), engine=self._name, address=address)
                engine.start(named, lambda phase, log: report(secrets.hide(phase), secrets.hide(log)))
                facts = secrets.hide(engine.describe())
                _check_gpus(spec, facts)
            except BaseException:
                engine.stop()
                raise
        self._engine = engine
        return facts

    def run(self, batch: Batch) -> list[Completion]:
        """Run a batch from a cold prefix cache. Raises RequestFailed when a request has no completion."""
        if self._engine is None:
            raise EngineStartFailed(f"{self._name} has no variant loaded", ())
        with self._secrets.hidden_in_errors():
            self._engine.flush()
            completions = self._engine.generate(batch)
        # Else a sample would be missing, or counted twice.
        if sorted(c.request_id for c in completions) != sorted(r.id for r in batch.requests):
            raise RequestFailed(
                f"{self._name} gave {len(completions)} completions that are not those of its {len(batch.requests)} "
                "requests"
            )
        return completions

    def stay(self) -> None:
        """Never returns. It fails when the process ends, which with nothing to do would pass unnoticed."""
        threading.Event().wait()

    def stop(self) -> None:
        """Give back the engine's memory and processes."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.stop()


def _check_gpus(spec: EngineSpec, facts: EngineFacts) -> None:
    """Raises EngineStartFailed unless a real model has as many GPUs here as the sweep file says, all with names.

    A contract names both, and a cluster may be told to have GPUs that its machines lack.
    """
    owned, device = math.ceil(spec.gpus_here), facts.device
    named = [gpu.name for gpu in device.gpus if gpu.name]
    if owned and len(named) != owned and runs_model(spec.backend):
        raise EngineStartFailed(
            f"{spec.label}: engine.gpus is {spec.gpus:g}{_shared(spec)}, but on {device.host} the engine finds "
            f"{', '.join(named) or 'no GPU'}; run where the GPUs and their driver are (--address names another "
            "cluster, `nvidia-smi` on the machine shows what it has), or correct engine.gpus",
            (),
        )


def _shared(spec: EngineSpec) -> str:
    return f", {spec.gpus_here:g} on each of {spec.nodes} machines" if spec.nodes > 1 else ""
