# What fetches packages: the boxes' Python and uv, nothing else. It alone has network, and it runs
# nobody's code; BASE is the same as for the boxes, so that the bytecode fits.
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
COPY ca.pem uv.sh uv-requirements.txt /build/
RUN sh /build/uv.sh

FROM ${BASE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /work \
      --shell /usr/sbin/nologin box \
 && install -d -o box -g box /work /packages /cache
COPY --from=build /export/ /
ENV LANG=C.UTF-8
WORKDIR /work
USER 10001:10001
CMD ["uv", "--version"]
