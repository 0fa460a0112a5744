# syntax=docker/dockerfile:1

FROM python:3.13-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# The locked requirements first, so that a change of the code alone leaves this layer as it is.
COPY requirements-build.lock requirements.lock ./
RUN pip install --require-hashes --requirement=requirements-build.lock \
    && pip install --require-hashes --no-build-isolation --prefix=/install --ignore-installed \
        --requirement=requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN pip install --no-index --no-deps --no-build-isolation --prefix=/install --ignore-installed .


FROM python:3.13-slim-bookworm

ARG REVISION=""
LABEL org.opencontainers.image.title="heartbeat-exporter" \
      org.opencontainers.image.description="Prometheus exporter for heartbeats: jobs check in, silence is the alarm" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"

# A fixed number, so that a volume's files belong to the same user whatever the image's version.
RUN groupadd --gid=10090 heartbeat \
    && useradd --uid=10090 --gid=10090 --no-create-home --home-dir=/nonexistent --shell=/usr/sbin/nologin heartbeat \
    && install --directory --owner=10090 --group=10090 --mode=0700 /data \
    && install --directory /etc/heartbeat-exporter

COPY --from=build /install /usr/local
COPY --chmod=0644 config.yaml /etc/heartbeat-exporter/config.yaml

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HEARTBEAT_STORAGE_URL=sqlite:////data/heartbeats.db \
    HEARTBEAT_EXPORTER_REVISION=${REVISION}

# Commands find config.yaml here without being told, heartbeatctl in `docker exec` too.
WORKDIR /etc/heartbeat-exporter
USER 10090:10090
VOLUME /data
EXPOSE 10090

# http.client, since urllib would ask the proxy that a container's environment may name.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["python", "-c", "\
from http.client import HTTPConnection as Connect; \
probe = Connect('127.0.0.1', 10090, timeout=4); \
probe.request('GET', '/-/healthy'); \
raise SystemExit(probe.getresponse().status != 200)"]

ENTRYPOINT ["heartbeat-exporter"]
