# The service, the indexer and the command line in one slim image, without torch or a compiler.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/xemplar
# Dependencies first: this layer is made anew only when they change.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print('\n'.join(p['dependencies'] + p['optional-dependencies']['postgres']))" > requirements.txt \
    && /opt/xemplar/bin/pip install --no-cache-dir --requirement requirements.txt --constraint constraints.txt
COPY README.md LICENSE ./
COPY xemplar ./xemplar
COPY app ./app
COPY indexer ./indexer
COPY trainer ./trainer
COPY evaluator ./evaluator
RUN /opt/xemplar/bin/pip install --no-cache-dir --no-deps --constraint constraints.txt .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/xemplar /opt/xemplar
ENV PATH=/opt/xemplar/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    XEMPLAR_STORE=/store \
    XEMPLAR_HOST=0.0.0.0
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin xemplar \
    && install --directory --owner xemplar /store
USER xemplar
VOLUME /store
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["xemplar"]
CMD ["serve"]
