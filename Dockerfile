# syntax=docker/dockerfile:1
# The studio with the embedded model, on an NVIDIA GPU or on a CPU alone (docs/deploy.md). Bases are pinned by digest:
# `docker buildx imagetools inspect IMAGE:TAG` prints a newer one's.

FROM python:3.12-slim@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea AS tools
RUN pip install --no-cache-dir uv==0.13.9

# The small image of CUDA's: torch's wheels bring the libraries themselves, the driver is the host's.
FROM nvidia/cuda:13.0.2-base-ubuntu24.04@sha256:2ab6381d970b211fb93853796dc6707eb8a72575a375c422b17cf4d8b2641701

# Triton compiles its kernels when they are first used: that takes a C compiler and Python's headers.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev python3 python3-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 studio \
    && install --directory --owner studio --group studio /app /data /models

COPY --from=tools /usr/local/bin/uv /usr/local/bin/uv
ENV VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy

# --build-arg TORCH_BACKEND=cpu leaves the GPU's libraries out, several gigabytes.
ARG TORCH_BACKEND=""
COPY requirements.txt requirements-ray.txt requirements-s3.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv --no-python-downloads --python 3.12 "$VIRTUAL_ENV" \
    && uv pip install ${TORCH_BACKEND:+--torch-backend "$TORCH_BACKEND"} --requirement /tmp/requirements.txt \
        --requirement /tmp/requirements-ray.txt --requirement /tmp/requirements-s3.txt

# What changes least comes first.
WORKDIR /app
COPY LICENSE README.md ./
COPY assets assets
COPY videograin videograin
COPY ui ui
COPY app.py .

ENV VIDEOGRAIN_DATA_FOLDER=/data \
    GRADIO_TEMP_DIR=/data/web \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_ANALYTICS_ENABLED=False \
    HF_HOME=/models/huggingface \
    HF_HUB_DISABLE_TELEMETRY=1 \
    XDG_CACHE_HOME=/models \
    TRITON_CACHE_DIR=/models/triton \
    TORCHINDUCTOR_CACHE_DIR=/models/inductor \
    PYTHONDONTWRITEBYTECODE=1
VOLUME ["/data", "/models"]
USER 10001
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=10m --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/health', timeout=4)"]
CMD ["python", "app.py"]
