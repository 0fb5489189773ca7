#!/usr/bin/env bash
# Build the Go programs that tests run: versitygw (an S3 server), helm, and Kubernetes' own
# admission check.
#
#   tests/real/go_tools.sh [--cached] [versitygw] [helm] [psacheck]
#
# prints where each lies; without a name all.  With --cached nothing is built: exit code 1.
#
# They come from the Go module proxy, since no release of theirs is in a package registry, and stay
# in the user's cache (XDG_CACHE_HOME/opentrail/bin) under a name with their version.  Built beside
# that place and renamed into it: whoever looks finds a whole program or none.  One build at a time,
# at low priority: cold, versitygw and helm take three CPU-minutes each and psacheck one.  Needs Go
# 1.26, or an older one that may fetch it (GOTOOLCHAIN).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${XDG_CACHE_HOME:-$HOME/.cache}/opentrail/bin
helm_version=v3.22.0
versitygw_version=v1.8.0

build=yes
if [ "${1:-}" = --cached ]; then build= && shift; fi
[ -z "$build" ] || command -v go >/dev/null || { echo "go_tools: Go is missing; install it (1.26 or newer)" >&2; exit 1; }
mkdir -p "$bin"
exec 9>"$bin/.lock"
[ -z "$build" ] || flock 9 # a second caller waits, and then finds what the first one made
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -p=2"

staged=
trap 'rm -rf "$staged"' EXIT
place() { # place NAME COMMAND...: the command builds into $GOBIN
  local name=$1
  shift
  if [ ! -x "$bin/$name" ]; then
    [ -n "$build" ] || { echo "go_tools: $name is not built" >&2; exit 1; }
    staged=$(mktemp -d "$bin/.building-XXXXXX")
    GOBIN=$staged nice -n 15 "$@" >&2
    mv "$staged"/* "$bin/$name"
    rm -rf "$staged"
  fi
  echo "$bin/$name"
}

versitygw() {
  place "versitygw-$versitygw_version" go install -trimpath -ldflags "-s -w" \
    "github.com/versity/versitygw/cmd/versitygw@$versitygw_version"
}

helm() {
  # `go install` leaves helm believing in the Kubernetes of its module's default, 1.20.
  local util=helm.sh/helm/v3/pkg/chartutil rules=helm.sh/helm/v3/pkg/lint/rules
  place "helm-$helm_version" go install -trimpath -ldflags "-s -w
    -X $util.k8sVersionMajor=1 -X $util.k8sVersionMinor=37
    -X $rules.k8sVersionMajor=1 -X $rules.k8sVersionMinor=37" \
    "helm.sh/helm/v3/cmd/helm@$helm_version"
}

psacheck() {
  # The name changes with the program and its modules, so an older build is not taken for it.
  local sum
  sum=$(cat "$here"/psa/main.go "$here"/psa/go.mod | sha256sum | cut -c1-12)
  place "psacheck-$sum" go -C "$here/psa" install -trimpath -ldflags "-s -w" .
}

[ $# -gt 0 ] || set -- versitygw helm psacheck
for tool in "$@"; do
  case $tool in
    versitygw | helm | psacheck) "$tool" ;;
    *) echo "go_tools: no tool is called $tool; there are versitygw, helm and psacheck" >&2; exit 2 ;;
  esac
done
