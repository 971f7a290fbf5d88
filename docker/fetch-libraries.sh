#!/bin/sh
# fetch-libraries.sh FOLDER SONAME...: copy shared libraries from this system's packages to FOLDER.
set -eu
folder=$1
shift
mkdir -p "$folder"
[ $# -gt 0 ] || exit 0

manager=
for name in dnf microdnf yum apt-get; do
  if command -v "$name" >/dev/null; then manager=$name; break; fi
done
[ -n "$manager" ] || { echo "nodelayer: the base image has no dnf, microdnf, yum or apt-get to install $*" >&2; exit 64; }

packages=
for soname in "$@"; do
  case $soname in
    libatomic.so.1) rpm=libatomic deb=libatomic1 ;;
    *) echo "nodelayer: the package of $soname is unknown; add it to docker/fetch-libraries.sh" >&2; exit 64 ;;
  esac
  if [ "$manager" = apt-get ]; then packages="$packages $deb"; else packages="$packages $rpm"; fi
done

# The release of the base image, so that two builds get the same packages: Amazon Linux 2023 keeps the repository of
# each release. dnf uses it by default; with a variable of dnf, an image could ask for the newest instead.
release=$(rpm --query --queryformat '%{VERSION}' --whatprovides system-release 2>/dev/null) || release=

# The names come from the case statement above, so word splitting is safe.
# shellcheck disable=SC2086
case $manager in
  dnf) dnf install -y --setopt=install_weak_deps=False ${release:+--releasever="$release"} $packages ;;
  microdnf | yum) "$manager" install -y $packages ;;
  apt-get)
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages
    ;;
esac

for soname in "$@"; do
  found=
  for file in /lib64/"$soname" /usr/lib64/"$soname" /lib/*-linux-gnu/"$soname" /usr/lib/*-linux-gnu/"$soname" /usr/lib/"$soname"; do
    if [ -e "$file" ]; then found=$file; break; fi
  done
  [ -n "$found" ] || { echo "nodelayer: the package of $soname is installed, but the library was not found" >&2; exit 64; }
  cp -L "$found" "$folder/$soname"
  chmod 0644 "$folder/$soname"
done
