#!/bin/sh
# standin-base.sh ARCH...: make nodelayer-standin:<arch> (amd64, arm64), a base image for where none can be pulled.
#
# It is Debian 12, put together by mmdebstrap: good for exercising the docker builder, and never a proof for
# Amazon Linux (the build record says which system it was). amd64 has apt, so that a library can be installed in
# it; arm64 is unpacked only, since running maintainer scripts under emulation takes minutes.
set -eu
[ $# -gt 0 ] || { echo "usage: $0 amd64|arm64..." >&2; exit 2; }
for arch in "$@"; do
  tag=nodelayer-standin:$arch
  if docker image inspect "$tag" >/dev/null 2>&1; then echo "$tag is there"; continue; fi
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  case $arch in
    amd64) mmdebstrap --quiet --architectures=amd64 --variant=apt --include=ca-certificates bookworm "$work/root.tar" ;;
    arm64) mmdebstrap --quiet --architectures=arm64 --variant=extract \
             --include=base-files,libc6,libstdc++6,libgcc-s1,dash,coreutils,libselinux1,libacl1,libattr1,libpcre2-8-0,libgmp10 \
             bookworm "$work/root.tar" ;;
    *) echo "$0: unknown architecture $arch" >&2; exit 2 ;;
  esac
  # docker import would record the host's architecture: a Dockerfile and a platform record the right one.
  printf 'FROM scratch\nADD root.tar /\nCMD ["/bin/sh"]\n' >"$work/Dockerfile"
  DOCKER_BUILDKIT=0 docker build --quiet --platform "linux/$arch" --tag "$tag" "$work" >/dev/null
  rm -rf "$work"
  echo "$tag made"
done
