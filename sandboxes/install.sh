#!/bin/sh
# Run inside an image's build stage: installs a lock with uv and leaves what it added in /export,
# at the paths where this base's Python looks for it.
set -eu
lock=$1

if [ -s /build/ca.pem ]; then
  export SSL_CERT_FILE=/build/ca.pem PIP_CERT=/build/ca.pem REQUESTS_CA_BUNDLE=/build/ca.pem
fi
# An empty build argument would be an empty index, not the default one.
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST UV_INDEX_URL UV_DEFAULT_INDEX \
  UV_INDEX; do
  eval "value=\${$name:-}"
  [ -n "$value" ] || unset "$name"
done

python3 -m venv /build/tool
/build/tool/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes \
  -r /build/uv-requirements.txt
[ -n "${UV_INDEX_URL:-}${UV_DEFAULT_INDEX:-}" ] || [ -z "${PIP_INDEX_URL:-}" ] ||
  export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
[ -n "${UV_INDEX:-}" ] || [ -z "${PIP_EXTRA_INDEX_URL:-}" ] || export UV_INDEX="$PIP_EXTRA_INDEX_URL"

touch /build/start
/build/tool/bin/uv pip install --python "$(command -v python3)" --system --break-system-packages \
  --require-hashes --only-binary :all: --compile-bytecode --link-mode copy --no-cache -r "$lock"

# Everything below /usr/local that is newer than the mark: libraries, their bytecode, scripts.
[ -e /usr/local/bin/python ] || ln -s "$(command -v python3)" /usr/local/bin/python
mkdir -p /export
cd / && find usr/local -newercm /build/start \( -type f -o -type l \) -print0 |
  tar --null --files-from=- -cf - | tar -C /export -xf -
