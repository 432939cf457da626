# The course in JupyterLab, for one student, without root:  docs/classroom.md
#
#   docker build -t maskrcnn-edu .
#   docker build -t maskrcnn-edu --build-arg PADDLE=gpu --build-arg GPU_BUILD=cu126 .

FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
ARG PADDLE=cpu
ARG GPU_BUILD=cu126
# libgomp1: Paddle's threads; fonts-noto-cjk: Chinese names of classes in pictures
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 fonts-noto-cjk \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
RUN if [ "$PADDLE" = gpu ]; then \
        export PIP_EXTRA_INDEX_URL="https://www.paddlepaddle.org.cn/packages/stable/$GPU_BUILD/"; \
    fi \
    && wheel="$(ls /wheels/*.whl)" \
    && pip install --no-cache-dir -c /wheels/constraints.txt "${wheel}[${PADDLE},lab]" \
    && rm -rf /wheels

RUN useradd --create-home --uid 1000 student
USER student
WORKDIR /home/student
# nothing but ~/work needs to be written, so that the home itself may be read-only
ENV HOME=/home/student \
    MASKRCNN_EDU_CACHE=/tmp/maskrcnn_edu \
    MPLCONFIGDIR=/tmp/matplotlib \
    JUPYTER_CONFIG_DIR=/tmp/jupyter/config \
    JUPYTER_DATA_DIR=/tmp/jupyter/data \
    JUPYTER_RUNTIME_DIR=/tmp/jupyter/runtime \
    IPYTHONDIR=/tmp/ipython
EXPOSE 8888
# whatever is started, the notebooks are there first
ENTRYPOINT ["sh", "-c", "maskrcnn-edu course \"$HOME/work\"; exec \"$@\"", "sh"]
CMD ["sh", "-c", "exec jupyter lab --ip=0.0.0.0 --no-browser --notebook-dir=\"$HOME/work\""]
