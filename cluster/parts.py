"""The processes of one engine on Ray: an actor on each machine that it spans, which is one for most.

Those of an engine on several machines live and die together. A part that lost another waits for it for ever, and
SGLang ends one that sees another end. So such an engine has new processes, on the machines that it has, for each
variant that it loads, and when one of them fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from cluster import deadlines
from cluster.actor import EngineActor
from cluster.board import Poster
from cluster.connection import PoolSpec
from cluster.log import SEARCHED, tail
from cluster.spec import Batch, EngineFacts, EngineSpec, part_name


class Parts:
    """An engine's processes. The one of rank 0, on the first machine, takes the requests."""

    def __init__(self, engine: str, spec: PoolSpec) -> None:
        """`engine` is its name; it has no process until `make`."""
        self._engine = engine
        self._spec = spec
        self._actors: tuple[Any, ...] = ()
        self._made = 0
        self._unused = False
        """Whether no variant was loaded since the processes were made."""
        self._group: Any = None
        """The machines of an engine that spans several."""
        self.stays: dict[Any, int] = {}
        """While it is loaded, a call to each further part, which ends with the part; to the part's rank."""
        self._lost: tuple[int, str] | None = None
        """The further part that it died of, and what Ray says of that."""
        self._logs: dict[int, str | None] = {}
        """Each loaded part's log on its machine, where it keeps one."""

    def make(self) -> tuple[Any, ...]:
        """Ask for new processes, in the place of any that there are; calls that end when each is up.

        Ray restarts none by itself: what was loaded is lost, and the driver must know.
        """
        self.kill()
        self._made += 1
        self._unused, self._lost = True, None
        self._logs.clear()
        nodes = self._spec.nodes
        if nodes > 1 and self._group is None:
            bundles = [{"GPU": self._spec.gpus / nodes}] * nodes
            self._group = placement_group(bundles, strategy="STRICT_SPREAD", name=self._name(0))
        self._actors = tuple(self._make(rank) for rank in range(nodes))
        return tuple(actor.__ray_ready__.remote() for actor in self._actors)

    def _make(self, rank: int) -> Any:
        options: dict[str, Any] = {"num_cpus": 0, "num_gpus": self._spec.gpus / self._spec.nodes}
        if self._group is not None:
            # Ray finds another machine by itself for one that the group lost.
            options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(self._group, rank)
        # The name of one that died is not free at once.
        process = f", process {self._made}" if self._made > 1 else ""
        name = f"{self._name(rank)}{process}"
        return ray.remote(EngineActor).options(name=name, **options).remote(part_name(self._engine, rank))

    def _name(self, rank: int) -> str:
        return f"sweep/{self._spec.sweep}/{part_name(self._engine, rank)}"

    def kill(self) -> None:
        """End the processes."""
        self.stays.clear()
        for actor in self._actors:
            ray.kill(actor)

    def give_back(self) -> None:
        """End the processes, and leave their machines to others."""
        self.kill()
        if self._group is not None:
            remove_placement_group(self._group)
            self._group = None

    def load(self, spec: EngineSpec, board: Any) -> tuple[Any, ...]:
        """Load a variant: a call for each part, which ends with its EngineFacts."""
        if self._spec.nodes > 1 and not self._unused:
            self.make()
        self._unused = False
        self._logs.clear()
        # Ray hands all of them what the first one answers.
        address = self._actors[0].meeting_point.remote() if len(self._actors) > 1 else None
        calls = []
        for rank, actor in enumerate(self._actors):
            name = part_name(self._engine, rank)
            load = actor.load.options(name=f"{name} [loading {spec.label}]")
            calls.append(load.remote(replace(spec, rank=rank), Poster(board, name, spec.label), address))
        return tuple(calls)

    def loaded(self, facts: list[EngineFacts]) -> None:
        """The parts are loaded, and say this of themselves: from now on those are watched that no call goes to."""
        self._logs = {rank: each.device.log for rank, each in enumerate(facts)}
        for rank, actor in enumerate(self._actors):
            if rank:
                stay = actor.stay.options(name=f"{part_name(self._engine, rank)} [loaded]")
                self.stays[stay.remote()] = rank

    def run(self, batch: Batch, name: str) -> Any:
        """Run a batch; the call, which goes by this name on Ray's pages."""
        return self._actors[0].run.options(name=name).remote(batch)

    def stop(self) -> Any:
        """Have it stop by itself; the call."""
        return self._actors[0].stop.remote()

    def lose(self, call: Any) -> None:
        """One of `stays` has ended. All end with it: the batch that they are at fails, or the next one."""
        rank = self.stays.get(call)
        if rank is None:
            return  # another one was first
        try:
            ray.get(call)
        except RayError as error:
            self._lost = (rank, str(error))
        self.kill()

    def cause(self, rank: int, ray_says: str) -> tuple[int, str]:
        """The rank of the part that the engine died of, and what Ray says of that, where it says this of `rank`."""
        return self._lost or (rank, ray_says)

    def last_words(self, rank: int, nodes: Mapping[str, str]) -> tuple[str, ...] | None:
        """The end of a part's log, read where it ran; None without one. `nodes`: part's name to Ray's id."""
        path = self._logs.pop(rank, None)
        if path is None:
            return None
        there = NodeAffinitySchedulingStrategy(nodes[part_name(self._engine, rank)], soft=False)
        read = ray.remote(tail).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        try:
            return tuple(ray.get(read.remote(path, SEARCHED), timeout=deadlines.EVIDENCE))
        except RayError as error:
            # The node went with its engine: the log is out of reach, and that is the evidence.
            return (f"its log {path} could not be read: {type(error).__name__}",)
