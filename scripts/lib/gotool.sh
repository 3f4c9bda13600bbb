# shellcheck shell=bash
# Programs of others that judge or stand in for a part of a cloud in tests, each compiled from its public Go module: tests/eks-token, and
# tests/session-plugin.
#
#   gotool_build FOLDER PACKAGE   compiles tests/FOLDER, once for each version of the package; prints the path of the program

gotool_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# What a script sourced already keeps what it remembers.
if ! declare -F engine_version >/dev/null; then
  # shellcheck source=engine.sh
  source "$gotool_lib/engine.sh"
fi

gotool_build() {
  local name=$1 module=$gotool_lib/../../tests/$1 version sources cache work
  version=$(engine_version "$module/go.mod" "$2")
  # Our own part of the program changes without a version.
  sources=$(cat "$module/go.mod" "$module/main.go" | sha256sum | cut --characters 1-8)
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/straddle/$name-$version-$sources
  if [[ ! -x $cache/$name ]]; then
    if ! command -v go >/dev/null; then
      gotool_say "$2 is compiled from its Go module: Go is missing, see https://go.dev/dl"
      return 1
    fi
    gotool_say "compiling $2 $version, once"
    mkdir -p "$(dirname "$cache")" && work=$(mktemp -d "$cache.XXXXXX") || return
    if ! (cd "$module" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags '-s -w' -o "$work/$name" .) >&2; then
      rm -rf "$work"
      return 1
    fi
    chmod 755 "$work"
    # Another one may have been faster.
    mv -T "$work" "$cache" 2>/dev/null || rm -rf "$work"
  fi
  [[ -x $cache/$name ]] && printf '%s\n' "$cache/$name"
}

gotool_say() {
  printf 'tools: %s\n' "$*" >&2
}
