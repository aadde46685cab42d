"""Metrics for Prometheus at /metrics: requests, seconds by phase, the queue, pages, confidence, errors and memory.

One web process counts for all engine processes, so no figures have to be added up.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, Info, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from ..core.cpu_and_memory import resident_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.typing import ResponseReturnValue
    from prometheus_client.metrics_core import Metric

    from ..core.settings import Settings
    from ..engine_pool.pool import Pool
    from ..work.job_store import Jobs
    from ..work.request_work import Reading

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1)


class Metrics:
    """Hold the metrics of one app."""

    def __init__(self, app: Flask, settings: Settings, pool: Pool, jobs: Jobs) -> None:
        """Count the app's requests from now on, and serve the metrics at /metrics."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self._pool = pool
        self._jobs = jobs
        self._requests = Counter(
            "ocr_requests", "Requests, by endpoint and status.", ["endpoint", "method", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "ocr_request_seconds",
            "Seconds from a request to its answer.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._phase_seconds = Histogram(
            "ocr_phase_seconds",
            "Seconds of a reading: queue, decode, ocr, total.",
            ["phase"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._pages = Counter("ocr_pages", "Pages that were read.", registry=registry)
        self._confidence = Histogram(
            "ocr_page_confidence", "Mean confidence of a page's words, from 0 to 1.", buckets=_SHARES, registry=registry
        )
        self._errors = Counter("ocr_errors", "Problems that were answered, by kind.", ["kind"], registry=registry)
        about = {"name": settings.name, "version": settings.version, "model": settings.model.name}
        engine = {"engine": pool.facts.engine, "model_version": settings.model.version}
        Info("ocr_bundle", "What is deployed.", registry=registry).info(about | engine)
        registry.register(self)
        app.add_url_rule("/metrics", "metrics", self._show)
        app.after_request(self._count)

    def read(self, reading: Reading) -> None:
        """Count what was read."""
        for phase, seconds in reading.timings.items():
            self._phase_seconds.labels(phase).observe(seconds)
        for page in reading.pages:
            self._pages.inc()
            found = [part for line in page["lines"] for part in line["words"] or [line]]
            known = [part["confidence"] for part in found if part["confidence"] is not None]
            if known:
                self._confidence.observe(sum(known) / len(known))

    def problem(self, kind: str) -> None:
        """Count a problem."""
        self._errors.labels(kind or "other").inc()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that are measured when /metrics is asked for; the registry calls this."""
        pool = self._pool
        yield GaugeMetricFamily("ocr_queue_pages", "Pages that wait for an engine.", value=pool.waiting)
        yield GaugeMetricFamily("ocr_engine_processes", "Engine processes that are there.", value=len(pool.pids))
        ended = CounterMetricFamily(
            "ocr_engine_ended", "Engine processes that were replaced, by cause.", labels=["cause"]
        )
        for cause in ("idle", "time", "died", "memory"):
            ended.add_metric([cause], pool.ended[cause])
        yield ended
        memory = GaugeMetricFamily("ocr_resident_bytes", "Resident memory of each process.", labels=["process", "pid"])
        for pid in dict.fromkeys([os.getpid(), *pool.pids]):
            if size := resident_mb(pid):
                memory.add_metric(["web" if pid == os.getpid() else "engine", str(pid)], size * 2**20)
        yield memory
        jobs = GaugeMetricFamily("ocr_jobs", "Jobs of this deployment, by status.", labels=["status"])
        for status, count in self._jobs.counts().items():
            jobs.add_metric([status], count)
        yield jobs

    def _count(self, response: Response) -> Response:
        endpoint = request.endpoint or "none"
        self._requests.labels(endpoint, request.method if request.endpoint else "any", response.status_code).inc()
        self._request_seconds.labels(endpoint).observe(time.monotonic() - g.began)
        return response

    def _show(self) -> ResponseReturnValue:
        return Response(generate_latest(self._registry), content_type=CONTENT_TYPE_LATEST)
