"""Probes and metrics.

Invariant: a probe waits for nothing, and a draining process is not ready from that moment on.
This file knows not what health consists of.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from gateway.web.answers import json_answer
from gateway.web.ports import Health, Report


@dataclass(slots=True)
class Draining:
    """Whether the process is on its way out; once begun it does not end."""

    begun: bool = False


@dataclass(frozen=True, slots=True)
class Probes:
    """Handlers of `/livez`, `/readyz`, `/startupz` and `/metrics`."""

    health: Health
    draining: Draining

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [
            web.get("/livez", self.livez),
            web.get("/readyz", self.readyz),
            web.get("/startupz", self.startupz),
            web.get("/metrics", self.metrics),
        ]

    async def livez(self, _request: web.Request) -> web.Response:
        """Whether the process should live on."""
        return _answer(self.health.live())

    async def readyz(self, _request: web.Request) -> web.Response:
        """Whether traffic should come here."""
        return _answer(ready_now(self.health, self.draining))

    async def startupz(self, _request: web.Request) -> web.Response:
        """Whether the start is done."""
        return _answer(self.health.started())

    async def metrics(self, _request: web.Request) -> web.Response:
        """Everything measured."""
        return web.Response(
            body=self.health.metrics(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )


def ready_now(health: Health, draining: Draining) -> Report:
    """Readiness as the process says it, unless it is draining."""
    report = health.ready()
    if draining.begun:
        return Report(ok=False, details={**report.details, "draining": True})
    return report


def _answer(report: Report) -> web.Response:
    value = {"status": "ok" if report.ok else "failing", "details": dict(report.details)}
    return json_answer(value, status=200 if report.ok else 503)
