"""The metrics, by Prometheus' conventions. Labels have few values: never an image, a pod, a namespace or a user."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

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
