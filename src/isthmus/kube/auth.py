"""Credentials from a program, as the kubeconfigs of cloud providers ask for (client.authentication.k8s.io)."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncGenerator, Generator
from typing import Final

import httpx2
from lightkube.config.models import UserExec

from isthmus.kube import errors

_GROUP: Final = "client.authentication.k8s.io/"
_SECONDS: Final = 60


class ExecAuth(httpx2.Auth):
    """Runs the program for a bearer token, once, and again whenever the server answers 401."""

    def __init__(self, program: UserExec) -> None:
        if not program.apiVersion.startswith(_GROUP):
            raise errors.ConfigError(
                f"The kubeconfig asks for credentials by {program.apiVersion}, which is not known."
            )
        self._program = program
        self._token: str | None = None

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        fresh = self._token is None
        request.headers["Authorization"] = f"Bearer {self._token or self._run()}"
        response = yield request
        if response.status_code == httpx2.codes.UNAUTHORIZED and not fresh:
            request.headers["Authorization"] = f"Bearer {self._run()}"
            yield request

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        fresh = self._token is None
        request.headers["Authorization"] = f"Bearer {self._token or await asyncio.to_thread(self._run)}"
        response = yield request
        if response.status_code == httpx2.codes.UNAUTHORIZED and not fresh:
            request.headers["Authorization"] = f"Bearer {await asyncio.to_thread(self._run)}"
            yield request

    def _run(self) -> str:
        program = self._program
        command = [program.command, *(program.args or [])]
        info = {"apiVersion": program.apiVersion, "kind": "ExecCredential", "spec": {"interactive": False}}
        environment = os.environ | {entry.name: entry.value for entry in program.env or []}
        environment["KUBERNETES_EXEC_INFO"] = json.dumps(info)
        try:
            done = subprocess.run(command, env=environment, capture_output=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            hint = f" {program.installHint}" if program.installHint else ""
            raise errors.ConfigError(f"The credential program {program.command} did not run: {error}.{hint}") from error
        if done.returncode != 0:
            reason = done.stderr.decode(errors="replace").strip()
            raise errors.ConfigError(
                f"The credential program {program.command} exited with {done.returncode}: {reason}"
            )
        try:
            self._token = str(json.loads(done.stdout)["status"]["token"])
        except (ValueError, KeyError, TypeError) as error:
            raise errors.ConfigError(f"The credential program {program.command} printed no token.") from error
        return self._token
