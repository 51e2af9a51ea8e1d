# The image, from the hashed wheels in wheels/ (`make wheels`) and nothing else: no package index is asked while it is
# built, so it builds behind any firewall, and the same files give the same content.
#
#   make wheels && docker build -t registry.example.com/pullproof:0.1.0 .
#
# BASE is any image with /bin/sh and python3 (3.11 or newer), of the version that the wheels were fetched for
# (`make wheels WHEELS_PYTHON=3.11`). The shell is for building; at run time nothing but python3 is started.
ARG BASE=docker.io/library/python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${BASE} AS build
WORKDIR /build
COPY requirements/run.txt requirements/image.txt requirements/
COPY wheels/ wheels/
# pip runs from its own wheel, as a slim base may have none. Ours goes first: then bin/ holds our commands alone.
RUN set -eu; \
    pip() { python3 "$(echo wheels/pip-*.whl)/pip" --disable-pip-version-check --no-cache-dir "$@"; }; \
    pip install --quiet --no-index --no-deps --no-compile --target /opt/pullproof wheels/pullproof-*.whl; \
    pip install --quiet --no-index --no-deps --no-compile --require-hashes --find-links wheels \
        --target /opt/pullproof --requirement requirements/run.txt; \
    : "41 MB of a second, asynchronous client that nothing here imports"; \
    rm -rf /opt/pullproof/kubernetes/aio; \
    PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash /opt/pullproof

FROM ${BASE}
LABEL org.opencontainers.image.title="pullproof" \
      org.opencontainers.image.description="Proves, before a pod is scheduled, that its images can be pulled" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/pullproof /opt/pullproof
ENV PYTHONPATH=/opt/pullproof \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PATH=/opt/pullproof/bin:/usr/local/bin:/usr/bin:/bin
USER 65532:65532
WORKDIR /
EXPOSE 8443 8080
ENTRYPOINT ["/opt/pullproof/bin/pullproof"]
