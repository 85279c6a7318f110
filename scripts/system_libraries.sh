#!/usr/bin/env bash
# MediaPipe loads libEGL and libGLESv2 even where it computes on the processor. Desktops have them, servers often not.
set -euo pipefail
[ "$(uname -s)" = Linux ] || exit 0
missing=()
for library in libEGL.so.1 libGLESv2.so.2; do
  { ldconfig -p 2>/dev/null || /sbin/ldconfig -p; } | grep -q "$library" || missing+=("$library")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing system libraries for MediaPipe: ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libegl1 libgles2 >/dev/null
else
  echo "MediaPipe needs ${missing[*]}; type: sudo apt-get install libegl1 libgles2 (or your system's packages of them)" >&2
  exit 1
fi
