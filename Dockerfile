# Longwatch in a container: what is installed is what constraints.txt pins, and nothing runs as root.
#
#   docker build --tag longwatch:cpu .
#   docker build --tag longwatch:gpu --build-arg EXTRAS=gpu,kafka,redis --build-arg TORCH_INDEX= .

ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
# Extras of pyproject.toml: exactly one of cpu and gpu, which are FAISS, and engines.
ARG EXTRAS=cpu,kafka,redis
# Where torch's builds for the CPU alone are; with none, pip takes the one that brings CUDA along.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/longwatch
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY streaming streaming
COPY memory memory
COPY models models
COPY services services
RUN PIP_EXTRA_INDEX_URL="${TORCH_INDEX}" \
    /opt/longwatch/bin/pip install --constraint constraints.txt ".[${EXTRAS}]"

FROM python:${PYTHON}
RUN useradd --uid 10001 --create-home longwatch \
    && install --directory --owner longwatch --group longwatch /data
COPY --from=build /opt/longwatch /opt/longwatch
ENV PATH=/opt/longwatch/bin:$PATH PYTHONUNBUFFERED=1 LONGWATCH_DATA=/data
# Of a GPU, where there is one: its video decoder too, which containers are not given unasked.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
USER longwatch
WORKDIR /data
VOLUME /data
ENTRYPOINT ["longwatch"]
CMD ["up"]
