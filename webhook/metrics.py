"""The metrics, by Prometheus' conventions. Labels have few values: never an image, a pod, a namespace or a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.core import Metric

REVIEWS: Final = Counter(
    "pullproof_reviews_total", "Admission reviews answered.", ("endpoint", "operation", "kind", "decision")
)
REFUSED: Final = Counter("pullproof_refused_requests_total", "Requests that were no review, by status.", ("status",))
FINDINGS: Final = Counter(
    "pullproof_findings_total", "Findings by what was done about them.", ("code", "confidence", "mode")
)
SECONDS: Final = Histogram(
    "pullproof_review_seconds",
    "Time from the whole body to the whole answer.",
    ("endpoint",),
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0),
)
EVENTS: Final = Counter(
    "pullproof_events_total", "Events on the owners of pods: written, failed, or dropped unwritten.", ("outcome",)
)
POLICY_ERRORS: Final = Counter(
    "pullproof_policy_errors_total",
    "Policies that say what can't be, and failures to read any, by why: invalid, missing, forbidden, unavailable.",
    ("reason",),
)
POLICIES_INVALID: Final = Gauge(
    "pullproof_policies_invalid", "Policies that say what can't be, and so are not in force as they are written."
)
CLIENTS: Final = Counter(
    "pullproof_client_events_total", "Clients cut off or refused before a review was read, by why.", ("event",)
)
CERTIFICATE_UNUSABLE: Final = Gauge(
    "pullproof_certificate_unusable", "1 while a changed serving certificate can't be used and the one before still is."
)
CERTIFICATE_EXPIRY: Final = Gauge(
    "pullproof_certificate_expiry_timestamp_seconds",
    "When a certificate expires, in seconds since 1970; 0 where there is none.",
    ("certificate",),
)
CERTIFICATE_RENEWALS: Final = Counter(
    "pullproof_certificate_renewals_total", "Certificates made by the controller.", ("certificate",)
)
CA_BUNDLE_REPAIRS: Final = Counter(
    "pullproof_ca_bundle_repairs_total", "Times that the caBundle was overwritten and set again."
)
LEADING: Final = Gauge("pullproof_controller_leading", "1 while this controller is the one that works.")
DUTIES: Final = Counter(
    "pullproof_controller_duties_total", "What the leading controller does, by outcome.", ("duty", "outcome")
)
NAMESPACES_SKIPPED: Final = Gauge(
    "pullproof_namespaces_skipped", "Namespaces whose objects the API server does not show to the webhook."
)

# A series that begins at one never rose: what an alert waits for is there from the start.
for _metric, _values in (
    (REFUSED, ("413", "500")),
    (POLICY_ERRORS, ("invalid", "missing", "forbidden", "unavailable")),
    (EVENTS, ("written", "failed", "dropped")),
):
    for _value in _values:
        _metric.labels(_value)


def watch_caches(caches: Callable[[], Iterable[tuple[str, float, int]]]) -> None:
    """Show at each scrape what `caches` says: name, seconds since the API server was heard, objects held."""
    REGISTRY.register(_Caches(caches))


class _Caches(Collector):
    def __init__(self, caches: Callable[[], Iterable[tuple[str, float, int]]]) -> None:
        self._caches = caches

    def collect(self) -> Iterator[Metric]:
        stale = GaugeMetricFamily(
            "pullproof_cache_stale_seconds", "Seconds since the API server confirmed a cache.", labels=["cache"]
        )
        objects = GaugeMetricFamily("pullproof_cache_objects", "Objects in a cache.", labels=["cache"])
        for name, seconds, count in self._caches():
            stale.add_metric([name], seconds)
            objects.add_metric([name], count)
        yield stale
        yield objects
