# An image for a CPU:             docker build -t ban_tf .
# An image for NVIDIA's GPUs:     docker build -t ban_tf:gpu --build-arg EXTRA=gpu .
FROM python:3.11-slim

# An extra of setup.cfg: `gpu` brings CUDA's libraries, `jax`, `onnx`, `hub` or `litert` the others.
ARG EXTRA=""

ENV PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib

COPY . /source
# The versions that are tested together.
RUN pip install --no-cache-dir --constraint /source/constraints.txt "/source${EXTRA:+[$EXTRA]}" \
    && useradd --create-home --uid 1000 ban

USER 1000
WORKDIR /home/ban

ENTRYPOINT ["ban-tf"]
CMD ["--help"]
