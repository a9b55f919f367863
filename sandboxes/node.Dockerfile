# What runs Node.js programs: Debian's nodejs; Python is there for the box's own runner.
# BASE is debian:bookworm-slim, or the output of debian-base.sh where no registry answers; Vibe builds it
# when the first such app is made, or with `vibe setup --all`.
ARG BASE=debian:bookworm-slim

FROM ${BASE}
COPY ca.pem debian.sh /build/
RUN sh /build/debian.sh nodejs python3 \
 && ln -sf "$(command -v python3)" /usr/local/bin/python \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /work \
      --shell /usr/sbin/nologin box \
 && install -d -o box -g box /work \
 && rm -r /build
ENV LANG=C.UTF-8
WORKDIR /work
USER 10001:10001
CMD ["python", "-V"]
