# The model server on an NVIDIA GPU: SGLang's own image, whose torch and kernels stay, with Longwatch in it.
#
#   docker build --tag longwatch:sglang --file deploy/sglang.Dockerfile .

FROM lmsysorg/sglang:v0.5.23
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY streaming streaming
COPY memory memory
COPY models models
COPY services services
RUN python3 -m pip install .
RUN useradd --uid 10001 --create-home longwatch \
    && install --directory --owner longwatch --group longwatch /data
ENV PYTHONUNBUFFERED=1 LONGWATCH_DATA=/data LONGWATCH_DEVICE=cuda
USER longwatch
WORKDIR /data
VOLUME /data
ENTRYPOINT ["longwatch"]
CMD ["serve-model", "--host", "0.0.0.0"]
