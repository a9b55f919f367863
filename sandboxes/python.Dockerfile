# What small apps use: Python and the libraries of python-requirements.txt, byte-compiled.
# BASE is python:3.12-slim-bookworm, or the output of debian-base.sh where no registry answers;
# `vibe setup` builds it and passes the machine's CA bundle, package index and proxies.
ARG BASE=python:3.12-slim-bookworm

# The index's address may hold a password: it stays in this stage, which is thrown away.
FROM ${BASE} AS build
LABEL vibe.stage=build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG UV_INDEX_URL
ARG UV_DEFAULT_INDEX
ARG UV_INDEX
COPY ca.pem install.sh uv-requirements.txt python-requirements.txt /build/
RUN sh /build/install.sh /build/python-requirements.txt

FROM ${BASE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /work \
      --shell /usr/sbin/nologin box \
 && install -d -o box -g box /work
COPY --from=build /export/ /
ENV LANG=C.UTF-8
WORKDIR /work
USER 10001:10001
CMD ["python", "-V"]
