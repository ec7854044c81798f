# Five targets. `serve` (the last one, so the default): service, indexer, worker and command line,
# without torch or a compiler. `pacs`: the same with the DICOM node. `milvus`: that with Milvus's
# client, which brings pandas and gRPC. `train`: the trainer and the evaluator, with torch.
# `orthanc`: a PACS to try the DICOM node with.
#
#   docker build -t xemplar .
#   docker build -t xemplar-pacs --target pacs .
#   docker build -t xemplar-milvus --target milvus .
#   docker build -t xemplar-train --target train .

FROM python:3.11-slim-bookworm AS dependencies
WORKDIR /src
# without pip: what runs in the end installs nothing
RUN python -m venv --without-pip /opt/xemplar
# these lists hold every package with its hashes: `make lock` writes them
COPY requirements/serve.txt .
RUN python -m pip --python /opt/xemplar/bin/python install --no-cache-dir --no-warn-script-location \
    --require-hashes --no-deps --requirement serve.txt

FROM dependencies AS pacs-dependencies
COPY requirements/pacs.txt .
RUN python -m pip --python /opt/xemplar/bin/python install --no-cache-dir --no-warn-script-location \
    --require-hashes --no-deps --requirement pacs.txt

FROM dependencies AS milvus-dependencies
COPY requirements/milvus.txt .
RUN python -m pip --python /opt/xemplar/bin/python install --no-cache-dir --no-warn-script-location \
    --require-hashes --no-deps --requirement milvus.txt

FROM python:3.11-slim-bookworm AS requirements
WORKDIR /lists
COPY pyproject.toml .
# In a stage of its own: what is installed below is made anew only when this list changes, and
# not with every other line of pyproject.toml.
RUN ["python", "-c", "import tomllib; \
extras = tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']; \
train = extras['train'] + extras['teach'] + extras['evaluate']; \
open('train.txt', 'w').write(chr(10).join(train) + chr(10))"]

FROM dependencies AS training-dependencies
COPY constraints.txt .
COPY --from=requirements /lists/train.txt .
# without hashes: torch and what it brings are many gigabytes for all the processors that there are
RUN python -m pip --python /opt/xemplar/bin/python install --no-cache-dir --no-warn-script-location \
    --requirement train.txt --constraint constraints.txt
# grad-cam and quantus bring the OpenCV for desktops, which lies in the same folder as ours and
# needs a window system's libraries
RUN python -m pip --python /opt/xemplar/bin/python uninstall --yes opencv-python \
    && python -m pip --python /opt/xemplar/bin/python install --no-cache-dir --no-deps \
        --force-reinstall --constraint constraints.txt opencv-python-headless

FROM dependencies AS code
COPY requirements/build.txt .
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --requirement build.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY indexer ./indexer
COPY evaluator ./evaluator
COPY study ./study
COPY trainer ./trainer
COPY app ./app
COPY pacs ./pacs
COPY xemplar ./xemplar
# beside the dependencies, so that a change of the code is a small layer of the image
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m pip --python /opt/xemplar/bin/python install --no-deps --no-warn-script-location \
        --prefix /code /wheels/*.whl

# of the base of all the others, which is Debian's
FROM python:3.11-slim-bookworm AS orthanc
RUN apt-get update \
    && apt-get install --yes --no-install-recommends orthanc orthanc-dicomweb \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --mode 0700 --owner orthanc --group orthanc /var/lib/orthanc/db
USER orthanc
EXPOSE 4242 8042
ENTRYPOINT ["Orthanc"]
CMD ["/etc/xemplar/orthanc.json"]

FROM python:3.11-slim-bookworm AS runtime
ENV PATH=/opt/xemplar/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XEMPLAR_STORE=/store \
    XEMPLAR_HOST=0.0.0.0 \
    XEMPLAR_PORT=8000
# the number is named, so that a folder of the host can be given to it
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin xemplar \
    && install --directory --mode 0700 --owner xemplar --group xemplar /store /runs /pacs
USER xemplar
ENTRYPOINT ["xemplar"]

FROM runtime AS train
# matplotlib keeps a list of fonts
ENV MPLCONFIGDIR=/tmp/matplotlib
COPY --from=training-dependencies /opt/xemplar /opt/xemplar
COPY --from=code /code /opt/xemplar
WORKDIR /runs
VOLUME ["/store", "/runs"]
CMD ["train", "--help"]

FROM runtime AS service
VOLUME /store
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as ask; ask.urlopen(f'http://127.0.0.1:{os.environ[\"XEMPLAR_PORT\"]}/readyz', timeout=4)"]
CMD ["serve"]

FROM service AS pacs
COPY --from=pacs-dependencies /opt/xemplar /opt/xemplar
COPY --from=code /code /opt/xemplar

FROM service AS milvus
COPY --from=milvus-dependencies /opt/xemplar /opt/xemplar
COPY --from=code /code /opt/xemplar

FROM service AS serve
COPY --from=dependencies /opt/xemplar /opt/xemplar
COPY --from=code /code /opt/xemplar
