#!/bin/sh
# verify.sh VERSION: check the checksums of the layer's files, and run the binary.
set -eu
cd /nodelayer/opt
sha256sum -c --quiet ../SHA256SUMS
chmod 0755 bootstrap bin/node nodejs/bin/node
if [ -n "$(ls -A /nodelayer/lib)" ]; then
  LD_LIBRARY_PATH=/nodelayer/lib
  export LD_LIBRARY_PATH
fi
seen=$(nodejs/bin/node -p process.versions.node)
[ "$seen" = "$1" ] || { echo "nodelayer: the binary reports version $seen, not $1" >&2; exit 65; }
