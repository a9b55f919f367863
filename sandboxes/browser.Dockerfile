# The checks' browser: Debian's Chromium, driven by Playwright's Python library.
# BASE is debian:bookworm-slim, or the output of debian-base.sh where no registry answers;
# `vibe setup` builds it and passes the machine's CA bundle, package index and proxies.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
LABEL vibe.stage=build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG UV_INDEX_URL
ARG UV_DEFAULT_INDEX
ARG UV_INDEX
COPY ca.pem debian.sh install.sh uv-requirements.txt browser-requirements.txt /build/
RUN sh /build/debian.sh ca-certificates python3 python3-venv
RUN sh /build/install.sh /build/browser-requirements.txt

FROM ${BASE}
COPY ca.pem debian.sh /build/
RUN sh /build/debian.sh ca-certificates chromium-headless-shell fonts-dejavu-core fonts-noto-color-emoji \
      libatomic1 python3 \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /work \
      --shell /usr/sbin/nologin box \
 && install -d -o box -g box /work \
 && rm -r /build
COPY --from=build /export/ /
ENV LANG=C.UTF-8
WORKDIR /work
USER 10001:10001
CMD ["chromium-headless-shell", "--version"]
