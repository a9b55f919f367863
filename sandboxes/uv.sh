#!/bin/sh
# Run inside the packages image's build stage: leaves uv, and Python under its usual name, in /export.
set -eu
[ ! -s /build/ca.pem ] || export PIP_CERT=/build/ca.pem
# An empty build argument would be an empty index, not the default one.
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST; do
  eval "value=\${$name:-}"
  [ -n "$value" ] || unset "$name"
done

python3 -m venv /build/tool
/build/tool/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes \
  -r /build/uv-requirements.txt
mkdir -p /export/usr/local/bin
cp /build/tool/bin/uv /export/usr/local/bin/uv
[ -e /usr/local/bin/python ] || ln -s "$(command -v python3)" /export/usr/local/bin/python
