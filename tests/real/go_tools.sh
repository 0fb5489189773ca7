#!/usr/bin/env bash
# Build the Go programs that tests run: versitygw (an S3 server), helm with helm-unittest,
# Kubernetes' own admission check, and a Kubernetes control plane with kwok, which plays the nodes.
#
#   tests/real/go_tools.sh [--cached] [versitygw] [helm] [psacheck] [helm-unittest] [control-plane]
#
# prints where each lies; without a name all.  With --cached nothing is built: exit code 1.
#
# They come from the Go module proxy, since no release of theirs is in a package registry, and stay
# in the user's cache (XDG_CACHE_HOME/opentrail/bin) under a name with their version.  Built beside
# that place and renamed into it: whoever looks finds a whole program or none.  One build of a
# program at a time, at low priority.  Cold, versitygw and helm take three CPU-minutes each, psacheck
# and helm-unittest one, the control plane sixteen.  Needs Go 1.26, or an older one that may fetch
# it (GOTOOLCHAIN).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${XDG_CACHE_HOME:-$HOME/.cache}/opentrail/bin
helm_version=v3.22.0
versitygw_version=v1.8.0

build=yes
if [ "${1:-}" = --cached ]; then build= && shift; fi
[ -z "$build" ] || command -v go >/dev/null || { echo "go_tools: Go is missing; install it (1.26 or newer)" >&2; exit 1; }
mkdir -p "$bin"
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -p=2"

staged=
trap 'rm -rf "$staged"' EXIT
place() { # place NAME COMMAND...: the command builds into $GOBIN
  local name=$1
  shift
  if [ -n "$build" ]; then
    exec 9>"$bin/.$name.lock"
    flock 9 # a second caller waits for this program only, and then finds what the first one made
  fi
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

sum_of() { # sum_of FILE...: names change with what is built, so an older build is not taken for it
  cat "$@" | sha256sum | cut -c1-12
}

psacheck() {
  local sum
  sum=$(sum_of "$here"/psa/main.go "$here"/psa/go.mod)
  place "psacheck-$sum" go -C "$here/psa" install -trimpath -ldflags "-s -w" .
}

helm-unittest() {
  # It replaces one of its modules, which `go install` refuses, so it is a tool of a module of ours.
  place "helm-unittest-$(sum_of "$here"/unittest/go.mod)" go -C "$here/unittest" install -trimpath \
    -ldflags "-s -w" github.com/helm-unittest/helm-unittest/cmd/helm-unittest
}

control-plane() {
  # One module for all of them, so that what they share is compiled once.
  local version sum flags part
  version=$(sed -nE 's|^\tk8s.io/kubernetes (v[0-9.]+)( .*)?$|\1|p' "$here"/kube/go.mod)
  sum=$(sum_of "$here"/kube/go.mod)
  flags="-s -w -X k8s.io/component-base/version.gitVersion=$version"
  flags+=" -X k8s.io/component-base/version.gitMajor=1"
  flags+=" -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<<"$version")"
  flags+=" -X k8s.io/client-go/pkg/version.gitVersion=$version"
  for part in k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager \
    k8s.io/kubernetes/cmd/kube-scheduler sigs.k8s.io/kwok/cmd/kwok; do
    place "${part##*/}-$sum" go -C "$here/kube" install -trimpath -ldflags "$flags" "$part"
  done
  place "etcd-$sum" go -C "$here/kube" install -trimpath -ldflags "-s -w" go.etcd.io/etcd/server/v3
  # How kwok's nodes and pods come to life, as kwok itself has it.
  local stages
  stages="$bin/kwok-stages-$sum.yaml"
  if [ ! -e "$stages" ]; then
    [ -n "$build" ] || { echo "go_tools: kwok-stages is not built" >&2; exit 1; }
    local from
    from=$(go -C "$here/kube" list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
    staged=$(mktemp -d "$bin/.building-XXXXXX")
    for part in node/fast/node-initialize node/heartbeat/node-heartbeat pod/fast/pod-ready \
      pod/fast/pod-complete pod/fast/pod-delete; do
      printf -- '---\n' && cat "$from/$part.yaml"
    done >"$staged/stages"
    mv "$staged/stages" "$stages"
    rm -rf "$staged"
  fi
  echo "$stages"
}

[ $# -gt 0 ] || set -- versitygw helm psacheck helm-unittest control-plane
for tool in "$@"; do
  case $tool in
    versitygw | helm | psacheck | helm-unittest | control-plane) "$tool" ;;
    *) echo "go_tools: no tool is called $tool; the first lines of this file name them" >&2; exit 2 ;;
  esac
done
