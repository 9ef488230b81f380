"""Programs that go on without the terminal that started them. All of Ray's job API is here.

Ray is imported when a client is made, which takes a second; the values need none.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from cluster import deadlines
from cluster.errors import BadInput, ClusterUnavailable

DASHBOARD_PORT = 8265
"""Where a head serves its pages and its job API, unless it was started otherwise."""
STOP_SECONDS = "RAY_JOB_STOP_WAIT_TIME_S"
"""The variable by which Ray asks how long a stopped job may take; 3 s without it, after which it kills."""
ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Variables that Ray's client prefers to the address that it is given."""


class JobState(StrEnum):
    """What Ray says of a job."""

    PENDING = "PENDING"
    """Its program has not begun."""
    RUNNING = "RUNNING"
    """Its program runs."""
    STOPPED = "STOPPED"
    """Somebody stopped it."""
    SUCCEEDED = "SUCCEEDED"
    """It ended with the exit code 0."""
    FAILED = "FAILED"
    """It ended with another one, or could not begin."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job, as Ray tells of it."""

    id: str
    """The one that it was submitted by."""
    state: JobState
    """Whether it runs."""
    metadata: Mapping[str, str]
    """What it was submitted with."""
    submitted: datetime | None
    """When it came to the cluster."""
    ended: datetime | None
    """When it ended; None while it has not."""
    exit_code: int | None
    """Of its program; None while that runs, and where it was killed."""
    message: str
    """Ray's own words on the state."""
    node: str | None
    """Ray's id of the node that its program runs on; None before that begins."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in (JobState.STOPPED, JobState.SUCCEEDED, JobState.FAILED)


class Jobs:
    """The jobs of one cluster."""

    def __init__(self, address: str) -> None:
        """`address`: of the head's dashboard (http://head:8265), or any by which Ray finds it.

        Raises ClusterUnavailable when there is none, or it does not answer.
        """
        self._named = address
        with self._translated():
            self._client = _client(address)
        self.address: str = self._client.get_address()

    def all(self) -> list[Job]:
        """Every job that was submitted to the cluster, the newest first. Raises ClusterUnavailable."""
        with self._translated():
            listed = [_job(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted(listed, key=lambda job: job.submitted or datetime.min.replace(tzinfo=UTC), reverse=True)

    def find(self, job_id: str) -> Job:
        """The job of this id. Raises ClusterUnavailable, also where there is none."""
        with self._translated():
            return _job(self._client.get_job_info(job_id))

    def submit(self, name: str, entrypoint: str, folder: Path, metadata: Mapping[str, str]) -> None:
        """Have the cluster run a shell command, in a copy of the folder on its head.

        `name` is the job's id. Raises ClusterUnavailable, also when there is a job of this name.
        """
        # A killed driver would drop its engines, and reports nothing.
        environment = {STOP_SECONDS: str(int(deadlines.JOB_STOP))}
        with self._translated():
            self._client.submit_job(
                entrypoint=entrypoint,
                submission_id=name,
                runtime_env={"working_dir": str(folder), "env_vars": environment},
                metadata={"job_name": name, **metadata},
            )

    def stop(self, job: Job) -> None:
        """Send SIGTERM to the job's program, and SIGKILL if that takes too long; returns at once."""
        with self._translated():
            self._client.stop_job(job.id)

    def log(self, job: Job) -> str:
        """All that its program has printed so far."""
        with self._translated():
            text: str = self._client.get_job_logs(job.id)
        return text

    def follow(self, job: Job) -> Iterator[str]:
        """What its program prints, from its begin on and until it ends, in parts.

        Raises ClusterUnavailable, also where the head ends the log before.
        """
        import asyncio

        with self._translated(), asyncio.Runner() as runner:
            parts = self._client.tail_job_logs(job.id)
            while (part := runner.run(_next(parts))) is not None:
                yield part
        if not self.find(job.id).over:
            raise ClusterUnavailable(f"{self.address} has ended the log of the job {job.id}, which still runs")

    def beside_log(self, job: Job, name: str) -> Any:
        """A JSON file that the job's program keeps in `log_folder()`; None where there is none."""
        if job.node is None:
            return None
        query = urlencode({"node_id": job.node, "filename": name, "lines": -1, "timeout": int(_ANSWER[1])})
        with self._translated():
            response = self._client._do_request("GET", f"/api/v0/logs/file?{query}")
        if response.status_code != 200:
            return None
        try:
            return json.loads(response.content)
        except ValueError:
            return None

    def page(self, job_id: str) -> str:
        """The job's page on the dashboard."""
        return f"{self.address}/#/jobs/{job_id}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raises ClusterUnavailable for what Ray's client raises: a RuntimeError for any answer but 200."""
        import aiohttp
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError:
            # `ray start` turns tokens on by itself where it finds one; a client does not.
            raise ClusterUnavailable(
                f"the Ray cluster at {self._named} wants a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to "
                "what `ray get-auth-token` prints on its head"
            ) from None
        # Those of `requests` are OSErrors.
        except (RuntimeError, ValueError, OSError, aiohttp.ClientError) as error:
            raise ClusterUnavailable(
                f"the Ray cluster at {self._named} is unavailable: {_gist(error)}; --address wants that of its "
                f"dashboard, such as http://head:{DASHBOARD_PORT}"
            ) from None


def log_folder() -> Path | None:
    """The folder of the log that this program prints to as a job, whose files Ray shows; None for any other."""
    log = Path(os.path.realpath("/proc/self/fd/1"))
    return log.parent if log.name.startswith("job-driver-") else None


_ANSWER = (10.0, 60.0)
"""Seconds for the dashboard to take a connection, and for each of its answers."""


_TALKERS = (
    "dashboard.modules.dashboard_sdk",
    "dashboard.modules.job.sdk",
    "_private.services",
    "_private.runtime_env.packaging",
)
"""Modules of Ray's client that log every step on stderr."""


def _client(address: str) -> Any:
    """Ray's own client, with deadlines; it takes no other address from the environment."""
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):  # type: ignore[misc]
        def _do_request(self, *words: Any, **options: Any) -> Any:
            return super()._do_request(*words, **{"timeout": _ANSWER, **options})

    for talker in _TALKERS:
        logging.getLogger(f"ray.{talker}").setLevel(logging.ERROR)
    chosen = _dashboard(address)
    before = {name: os.environ.pop(name) for name in ADDRESSES if name in os.environ}
    try:
        return Client(chosen)
    finally:
        os.environ.update(before)


def _dashboard(address: str) -> str:
    """The dashboard's address, where another of the cluster's is named and tells it; else the address."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadInput(f"--address {address}: not an address; write http://head:{DASHBOARD_PORT}") from None
    if parts.scheme == "ray":
        return f"http://{host}:{DASHBOARD_PORT}"
    if not parts.scheme and host and port:
        # Ray's own client of the GCS tries for a minute, and prints as it does.
        socket.create_connection((host, port), timeout=_ANSWER[0]).close()
    return address


async def _next(parts: AsyncIterator[str]) -> str | None:
    return await anext(parts, None)


def _job(details: Any) -> Job:
    return Job(
        id=details.submission_id,
        state=JobState(details.status.value),
        metadata=details.metadata or {},
        submitted=_time(details.start_time),
        ended=_time(details.end_time),
        exit_code=details.driver_exit_code,
        message=details.message or "",
        node=details.driver_node_id,
    )


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def _gist(error: BaseException) -> str:
    """The line of the error that says the most; the last of a traceback that the dashboard sends."""
    if isinstance(error, ConnectionError):
        return "nothing answers there"
    lines = [line.strip() for line in str(error).replace("\\n", "\n").splitlines() if line.strip()]
    return (lines[-1] if "Traceback" in str(error) else lines[0]).rstrip(".") if lines else type(error).__name__
