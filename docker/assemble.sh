#!/bin/sh
# assemble.sh VERSION: complete /opt as Lambda does, and invoke the sample function once.
set -eu
if [ -n "$(ls -A /nodelayer/lib)" ]; then
  mkdir -p /opt/lib
  cp /nodelayer/lib/* /opt/lib/
  LD_LIBRARY_PATH=/opt/lib
  export LD_LIBRARY_PATH
fi
mkdir /nodelayer/out
/opt/nodejs/bin/node /nodelayer/invoke.js "$1" /nodelayer/function /nodelayer/out/proof.json
cp -R /opt /nodelayer/out/opt
