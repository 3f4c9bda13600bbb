# shellcheck shell=bash
# The judge of tokens for EKS: the verifier of the aws-iam-authenticator, as tests/eks-token runs it.
#
#   authenticator_build   compiles it, once for each version; prints the path of the program

authenticator_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# What a script sourced already keeps what it remembers.
if ! declare -F engine_version >/dev/null; then
  # shellcheck source=engine.sh
  source "$authenticator_lib/engine.sh"
fi

authenticator_build() {
  local module=$authenticator_lib/../../tests/eks-token version sources cache work
  version=$(engine_version "$module/go.mod" sigs.k8s.io/aws-iam-authenticator)
  # Our own part of the program changes without a version.
  sources=$(cat "$module/go.mod" "$module/main.go" | sha256sum | cut --characters 1-8)
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/straddle/authenticator-$version-$sources
  if [[ ! -x $cache/eks-token ]]; then
    if ! command -v go >/dev/null; then
      authenticator_say "the verifier of tokens is compiled from its Go module: Go is missing, see https://go.dev/dl"
      return 1
    fi
    authenticator_say "compiling the verifier of tokens $version, once"
    mkdir -p "$(dirname "$cache")" && work=$(mktemp -d "$cache.XXXXXX") || return
    if ! (cd "$module" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags '-s -w' -o "$work/eks-token" .) >&2; then
      rm -rf "$work"
      return 1
    fi
    chmod 755 "$work"
    # Another one may have been faster.
    mv -T "$work" "$cache" 2>/dev/null || rm -rf "$work"
  fi
  [[ -x $cache/eks-token ]] && printf '%s\n' "$cache/eks-token"
}

authenticator_say() {
  printf 'authenticator: %s\n' "$*" >&2
}
