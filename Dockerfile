FROM python:3.11-slim AS build
WORKDIR /src
COPY constraints.txt ./
# Each file is checked against its hash here; the steps below have only these files to install from.
RUN pip download --no-cache-dir --disable-pip-version-check --require-hashes --dest /wheels -r constraints.txt
COPY . .
# Without the tools of tests and lint. EXTRAS=[otel] brings what sends traces.
ARG EXTRAS=
RUN python -m venv /build && /build/bin/pip install --no-index --find-links /wheels setuptools wheel \
    && /build/bin/pip wheel --no-index --find-links /wheels --no-build-isolation --no-deps --wheel-dir /wheels . \
    && python -m venv /opt/skald && /opt/skald/bin/pip install --no-cache-dir --no-index --find-links /wheels "skald${EXTRAS}"

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin skald \
    && install --directory --owner skald --group skald --mode 0700 /data
COPY --from=build /opt/skald /opt/skald
ENV PATH=/opt/skald/bin:$PATH PYTHONUNBUFFERED=1 SKALD_DATA_DIR=/data SKALD_HOST=0.0.0.0
USER skald
WORKDIR /data
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["skald"]
CMD ["serve"]
