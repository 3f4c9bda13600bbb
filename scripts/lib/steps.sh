# Steps of scripts/test and scripts/demo. Sourced by them, not run.
# shellcheck shell=bash

# step TITLE COMMAND...: runs a command under a title, and says how long it took.
step() {
  local title=$1 start=$SECONDS
  shift
  printf '\n== %s\n' "$title"
  "$@"
  printf -- '-- %s: %d s\n' "$title" "$((SECONDS - start))"
}

# as_root COMMAND...: runs a command as root, through sudo where that is needed.
as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "This needs root, and there is no sudo: $*" >&2
    return 1
  fi
}

# packages_ensure NAME...: installs Debian packages that are not there yet.
packages_ensure() {
  local missing=() name
  for name in "$@"; do
    [[ $(dpkg-query --show --showformat '${Status}' "$name" 2>/dev/null) == *"ok installed"* ]] || missing+=("$name")
  done
  [[ ${#missing[@]} -eq 0 ]] && return
  as_root apt-get update --quiet --quiet
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --quiet --no-install-recommends "${missing[@]}"
}

# tools_ensure: what the checks need beside Rust.
tools_ensure() {
  command -v cargo >/dev/null || {
    echo "Rust is needed: https://rustup.rs" >&2
    return 1
  }
  packages_ensure curl docker-registry g++ gcc libc6-dev shellcheck
  cargo --version
}

# shell_check: every script of ours.
shell_check() {
  local scripts
  mapfile -t scripts < <(git ls-files --cached --others --exclude-standard 'scripts/*' '*.sh' '.ci/run')
  shellcheck --external-sources --source-path=SCRIPTDIR --source-path=. "${scripts[@]}"
}

# each_crate_alone: every crate compiles by itself, so that none lives on features that another one switches on.
each_crate_alone() {
  local crate
  while read -r crate; do
    cargo check --quiet --locked --package "$crate"
  done < <(cargo metadata --no-deps --format-version 1 | grep --only-matching '"name":"straddle-[a-z]*","version"' | cut --delimiter '"' --fields 4 | sort --unique)
  cargo check --quiet --locked --package straddle-cli --no-default-features
}
