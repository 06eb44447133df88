"""A cluster's job server: submit, follow, and take home what a job left.

Ray Jobs move logs but no files. What a job leaves (``cluster.submitted``) lies beside Ray's own
logs on the driver's node, where the dashboard hands it over like any log.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from costeer.errors import ConfigError, CosteerError

_TIMEOUT_S = 60.0
_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
_WAY_IN = (
    "export RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH); on the head,"
    " `ray get-auth-token` prints it"
)


class JobError(CosteerError):
    """A job failed, or what it left cannot be had."""


def new_job() -> str:
    """Return an id that no other job has."""
    return f"costeer-{uuid.uuid4().hex[:12]}"


def archive_name(job: str) -> str:
    """Return the name of the file that a job's folder is left in."""
    return f"{job}.tar.gz"


class JobServer:
    """The job server at an address.

    Args:
        address: ``http://HOST:PORT`` of the dashboard.

    Raises:
        ConfigError: nothing answers there, or it wants a token.
    """

    def __init__(self, address: str) -> None:
        # What it says of packages and sockets would stand between the job's own lines.
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.ERROR)
        if not address.startswith(("http://", "https://")):
            raise ConfigError(f"--address {address}: give the dashboard's, http://HOST:PORT")
        try:
            self._client = JobSubmissionClient(address)
        except AuthenticationError as error:
            raise ConfigError(
                f"--address {address}: the cluster wants its token: {_WAY_IN}"
            ) from error
        except (ConnectionError, requests.RequestException) as error:
            raise ConfigError(
                f"--address {address}: no job server answers; give the address of the head's"
                " dashboard (`ray start --head --include-dashboard=true`), e.g."
                " http://127.0.0.1:8265"
            ) from error
        except RuntimeError as error:
            raise ConfigError(f"--address {address}: {' '.join(str(error).split())}") from error

    def submit(
        self, job: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        """Have a command run on the head.

        Args:
            job: the id that it gets; see ``new_job``.
            command: program and arguments.
            folder: sent there; the command runs in it, and workers import from it.
            environment: variables of the job.

        Raises:
            JobError: the server does not take it.
        """
        try:
            self._client.submit_job(
                submission_id=job,
                entrypoint=shlex.join(command),
                runtime_env={"working_dir": str(folder), "env_vars": dict(environment)},
            )
        except RuntimeError as error:  # a head that has just started says so for some seconds
            raise JobError(f"job {job}: not taken: {' '.join(str(error).split())}") from error

    def follow(self, job: str, tell: Callable[[str], None]) -> None:
        """Hand on what a job prints until it has ended.

        Raises:
            JobError: the connection was lost, or there is no such job.
        """

        async def tail() -> None:
            async for text in self._client.tail_job_logs(job):
                tell(text)

        self._details(job)
        try:
            asyncio.run(tail())
        except RuntimeError as error:
            raise JobError(f"job {job}: {' '.join(str(error).split())}") from error

    def end_of(self, job: str) -> tuple[bool, str]:
        """Return whether a job has succeeded, and what its end was.

        Raises:
            JobError: there is no such job.
        """
        details = self._details(job)
        return details.status == JobStatus.SUCCEEDED, f"{details.status}: {details.message}"

    def fetch(self, job: str) -> bytes:
        """Return the archive that a job left.

        Raises:
            JobError: it left none.
        """
        details = self._details(job)
        query = urlencode(
            {
                "node_id": details.driver_node_id,
                "filename": archive_name(job),
                "lines": -1,
                "timeout": int(_TIMEOUT_S),
            }
        )
        response = requests.get(
            f"{self._client.get_address()}/api/v0/logs/file?{query}",
            headers=self._client._headers,  # noqa: SLF001 - the token, which the client has no word for
            timeout=_TIMEOUT_S,
        )
        if not response.ok:
            raise JobError(
                f"job {job}: left no run directory behind; read its log with"
                f" `ray job logs {job} --address {self._client.get_address()}`"
            )
        return response.content

    def _details(self, job: str) -> JobDetails:
        try:
            return self._client.get_job_info(job)
        except RuntimeError as error:
            raise JobError(f"job {job}: {' '.join(str(error).split())}") from error
