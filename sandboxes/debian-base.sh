#!/bin/sh
# Writes a tar of a minimal Debian 12 with Python to stdout, for `docker import`: the base of the
# images where no registry answers. Needs root and debootstrap; progress goes to stderr.
# The mirrors are the machine's own (apt's sources), or DEBIAN_MIRROR, or debootstrap's default.
set -eu
suite=bookworm
packages=ca-certificates,python3,python3-venv

sources() {
  apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null ||
    true
}

root=$(mktemp -d "${TMPDIR:-/tmp}/vibe-base.XXXXXX")
trap 'rm -rf "$root"' EXIT
trap 'exit 1' INT TERM HUP

mirror=${DEBIAN_MIRROR:-$(sources | awk -v s=$suite '$2 == s && $3 == "main" { print $1; exit }')}
# The mirror is left out, not empty, when it isn't known: debootstrap then uses its own.
debootstrap --variant=minbase --include="$packages" "$suite" "$root" ${mirror:+"$mirror"} >&2

list=$root/etc/apt/sources.list
if [ -z "${DEBIAN_MIRROR:-}" ]; then
  sources | awk -v s=$suite '($2 == s "-security" || $2 == s "-updates") && $3 == "main" {
    print "deb", $1, $2, "main" }' | sort -u >>"$list"
fi
if ! grep -q "$suite-security" "$list"; then
  security=$(awk -v s=$suite '$1 == "deb" && $3 == s { print $2; exit }' "$list" |
    sed 's,/debian/*$,/debian-security,')
  if wget -q --spider "$security/dists/$suite-security/InRelease"; then
    echo "deb $security $suite-security main" >>"$list"
  fi
fi

# What docker's own images leave out: package lists, archives and documentation.
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
  "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/log/*
tar --numeric-owner --one-file-system -C "$root" -cf - .
