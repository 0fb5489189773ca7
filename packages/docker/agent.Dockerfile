# OpenTrail agent. Built from a wheelhouse, so nothing is fetched while it is built:
#
#   make images          or: make wheels && docker build -f packages/docker/agent.Dockerfile build
#
# Runs as user 65532 with a read-only root; writes /var/lib/opentrail-agent and /tmp (a tmpfs) and nothing else.
#   docker run --read-only --tmpfs /tmp --cap-drop ALL -v trail:/var/lib/opentrail-agent -v ./config:/etc/opentrail:ro …

ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS build
COPY wheels /wheels
RUN python3 -m venv /opt/opentrail \
 && /opt/opentrail/bin/python -m pip install --no-cache-dir --no-index --find-links /wheels 'opentrail[s3,enrol]' \
 && /opt/opentrail/bin/python -m pip uninstall --yes pip setuptools

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="OpenTrail agent" \
      org.opencontainers.image.description="Captures audit events and ships them to an aggregator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/opentrail /opt/opentrail
RUN mkdir -p /var/lib/opentrail-agent /etc/opentrail && chown 65532:65532 /var/lib/opentrail-agent
ENV PATH=/opt/opentrail/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
WORKDIR /var/lib/opentrail-agent
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["python", "-m", "opentrail_agent.probe", "live", "/var/lib/opentrail-agent"]
ENTRYPOINT ["opentrail-agent"]
CMD ["run"]
