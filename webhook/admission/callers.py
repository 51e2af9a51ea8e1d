"""Reviews only from whom the API server's client certificate names, where the platform team asks for it.

Why optional: the API server shows a certificate to a webhook only when its AdmissionConfiguration says so
(docs/operations.md), which managed clouds don't let one write. Probes and metrics stay open: they have no certificate.

Must not: verify anything itself; the handshake did (`SSL_CLIENT_VERIFY`, webhook/admission/server.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook import metrics

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_OPEN = frozenset({"/livez", "/readyz", "/metrics"})


def known_callers_only(app: WSGIApplication, names: Collection[str] = ()) -> WSGIApplication:
    """`app`, behind 403 for whoever showed no certificate of the client authority, or one for none of `names` (CN)."""

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        known = environ.get("SSL_CLIENT_VERIFY") == "SUCCESS"
        if environ.get("PATH_INFO") in _OPEN or (known and (not names or environ.get("SSL_CLIENT_S_DN_CN") in names)):
            return app(environ, start_response)
        metrics.REFUSED.labels("403").inc()
        body = b"a client certificate that is known here is needed\n"
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response("403 Forbidden", headers)
        return [body]

    return guarded
