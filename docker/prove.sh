#!/bin/sh
# prove.sh VERSION: check the files of the layer in /opt, run the binary, and invoke the sample function once.
set -eu
cd /opt
sha256sum -c --quiet /nodelayer/SHA256SUMS
if [ -d lib ]; then
  LD_LIBRARY_PATH=/opt/lib
  export LD_LIBRARY_PATH
fi
seen=$(nodejs/bin/node -p process.versions.node)
[ "$seen" = "$1" ] || { echo "nodelayer: the binary reports version $seen, not $1" >&2; exit 65; }
exec nodejs/bin/node /nodelayer/invoke.js "$1" /nodelayer/function
