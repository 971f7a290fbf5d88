#!/bin/sh
# standin-lambda.sh [RIE]: make public.ecr.aws/lambda/provided:al2023 and its -x86_64 tag of what is at hand, for
# where no image can be pulled: `sam local` takes it with --skip-pull-image, so does MiniStack.
#
# It is nodelayer-standin:amd64 (tests/images/standin-base.sh), which is Debian 12, with AWS's Runtime Interface
# Emulator in it: a layer is unpacked, started and invoked as on Lambda, and nothing is proved of Amazon Linux. The
# label says so, and an image that lacks the label is never replaced. RIE is the emulator's program; left out, it
# is fetched as `invoke run` does.
set -eu
here=$(dirname "$0")
base=nodelayer-standin:amd64
image=public.ecr.aws/lambda/provided:al2023
label=nodelayer.standin

if docker image inspect "$image" >/dev/null 2>&1; then
  [ "$(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$image")" ] ||
    { echo "$image is there and not ours: left alone" >&2; exit 0; }
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ $# -gt 0 ]; then cp "$1" "$work/aws-lambda-rie"; else
  "${PYTHON:-$here/../../.venv/bin/python}" - "$work/aws-lambda-rie" <<'PYTHON'
import os, pathlib, shutil, sys
from nodelayer import architecture
from nodelayer.emulation import rie
from nodelayer.util.cache import DownloadCache
from nodelayer.util.console import Reporter

named = os.environ.get("NODELAYER_CACHE_DIR")
cache = DownloadCache(pathlib.Path(named) if named else None)
shutil.copy(rie.rie(architecture.X86_64, cache=cache, reporter=Reporter()), sys.argv[1])
PYTHON
fi

# As the images of AWS: the argument is the handler; without a Runtime API to talk to, the emulator gives one.
# MiniStack gives `bootstrap` as the argument, and the handler in the variable.
cat >"$work/lambda-entrypoint.sh" <<'EOS'
#!/bin/sh
export _HANDLER="${_HANDLER:-${1:-}}"
for bootstrap in /var/runtime/bootstrap /opt/bootstrap /var/task/bootstrap; do
  [ -x "$bootstrap" ] || continue
  if [ -z "${AWS_LAMBDA_RUNTIME_API:-}" ]; then exec /usr/local/bin/aws-lambda-rie "$bootstrap"; fi
  exec "$bootstrap"
done
echo "no bootstrap in /var/runtime, /opt or /var/task" >&2
exit 127
EOS
chmod 755 "$work/lambda-entrypoint.sh" "$work/aws-lambda-rie"
cat >"$work/Dockerfile" <<EOS
FROM $base
LABEL $label=debian-12
ENV LANG=en_US.UTF-8 TZ=:/etc/localtime PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin \
    LD_LIBRARY_PATH=/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib \
    LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime
RUN mkdir -p /var/task /var/runtime /opt
COPY aws-lambda-rie /usr/local/bin/aws-lambda-rie
COPY lambda-entrypoint.sh /lambda-entrypoint.sh
WORKDIR /var/task
ENTRYPOINT ["/lambda-entrypoint.sh"]
EOS
DOCKER_BUILDKIT=0 docker build --quiet --tag "$image" --tag "$image-x86_64" "$work" >/dev/null
echo "$image made of $base"
