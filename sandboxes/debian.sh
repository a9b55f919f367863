#!/bin/sh
# Run inside an image's build: installs Debian packages and leaves behind no lists, archives,
# documentation or translations.
set -eu
export DEBIAN_FRONTEND=noninteractive
settings=/etc/apt/apt.conf.d/99vibe

echo 'Acquire::Retries "3"; Acquire::http::Timeout "60"; Acquire::https::Timeout "60";' >$settings
[ ! -s /build/ca.pem ] || echo 'Acquire::https::CaInfo "/build/ca.pem";' >>$settings
apt-get update -q
apt-get install -q -y --no-install-recommends "$@"
apt-get clean
rm -rf $settings /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/* \
  /usr/share/icons/*
