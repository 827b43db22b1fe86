# One image for gateways, workers and the sim: `docker run IMAGE gateway --host 0.0.0.0`, `docker run IMAGE worker`.
#
# What runs is a virtual environment made in the first stage from hashed locks (requirements.lock for what runs,
# requirements-build.lock for what builds), so that the image holds no pip, no compiler and no cache of ours. It runs as
# a numeric user, on a read-only root file system, writes nothing, and needs no shell.

FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# Dependencies first: this layer stays as long as the locks do.
COPY requirements.lock requirements-build.lock ./
RUN ["python", "-m", "venv", "/opt/build"]
RUN ["/opt/build/bin/pip", "install", "--require-hashes", "--no-deps", "--only-binary", ":all:", \
     "--requirement", "requirements-build.lock"]
RUN ["python", "-m", "venv", "--without-pip", "/opt/andon"]
RUN ["/opt/build/bin/pip", "--python", "/opt/andon/bin/python", "install", "--require-hashes", "--no-deps", \
     "--only-binary", ":all:", "--requirement", "requirements.lock"]

COPY pyproject.toml README.md LICENSE ./
COPY andon andon
COPY gateway gateway
COPY worker worker
COPY clients/js clients/js
RUN ["/opt/build/bin/pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "/wheel", "."]
RUN ["/opt/build/bin/pip", "--python", "/opt/andon/bin/python", "install", "--no-deps", "--no-index", \
     "--find-links", "/wheel", "andon"]
# What is missing or clashes is found here, not at the first stream.
RUN ["/opt/build/bin/pip", "--python", "/opt/andon/bin/python", "check"]

FROM python:3.13-slim-trixie AS run
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="Andon" \
      org.opencontainers.image.description="A WebSocket gateway for model streams with a Redis-coordinated stop across workers" \
      org.opencontainers.image.source="https://github.com/andon-stream/andon" \
      org.opencontainers.image.documentation="https://github.com/andon-stream/andon#readme" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

# The base image comes without byte code; on a read-only root every start, and every health check, would compile anew.
RUN ["python", "-m", "compileall", "-q", "-j", "0", "-x", "site-packages", "/usr/local/lib/python3.13"]
COPY --from=build /opt/andon /opt/andon
# No byte code is written at run time (the root file system may be read-only; pip has compiled it all), and each log
# line leaves at once.
ENV PATH=/opt/andon/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

# A number, so that Kubernetes can see that it is not root; a directory that is never written to.
USER 10001:10001
WORKDIR /opt/andon
EXPOSE 21100
# The drain begins at SIGTERM. The process is number 1 and handles it itself: no init, no shell between.
STOPSIGNAL SIGTERM
# Looks at what this container runs: a gateway or the sim by HTTP, a worker by its lease in Redis.
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["/opt/andon/bin/andon", "health"]
ENTRYPOINT ["/opt/andon/bin/andon"]
CMD ["gateway", "--host", "0.0.0.0", "--port", "21100"]
