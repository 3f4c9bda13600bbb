#!/usr/bin/env bash
# Builds the images of the shop and loads them into the container engine, without a registry.
#
# Needs Rust, tar, sha256sum and curl, but no docker command: the engine is asked through its API, at
# DOCKER_HOST (unix:// or tcp://), else at /var/run/docker.sock. With docker at hand, the Dockerfile does the same.
#
#   build.sh              build and load
#   build.sh --out FILE   build, and write the archive (docker load format) to FILE instead
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Image, what it runs, and its environment. One program, one layer: only the configuration differs.
images=(
  "shop/web:1.4.2   web     VERSION=1.4.2"
  "shop/web:1.5.0   web     VERSION=1.5.0"
  "shop/proxy:2     proxy   GREETING=hello"
  "shop/catalog:1   catalog"
  "shop/store:2     store   DATA=/data"
)

main() {
  local out=""
  if [[ ${1-} == --out ]]; then
    out=${2:?a file is needed after --out}
  elif (($# > 0)); then
    echo "usage: build.sh [--out FILE]" >&2
    return 2
  fi

  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  compile
  pack
  if [[ -n $out ]]; then
    mv "$work/images.tar" "$out"
  else
    load
  fi
}

# A static program, so that the image needs nothing else. The target is named although it is the host's own:
# without a name, Cargo would apply the flags to build scripts too.
compile() {
  local target
  target=$(rustc -vV | sed -n 's/^host: //p')
  if [[ $target != *-linux-* ]]; then
    echo "build.sh: containers need a Linux program; on this machine use: docker build (see Dockerfile)" >&2
    return 1
  fi
  (cd "$here/app" && RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static" \
    cargo build --quiet --release --locked --target "$target")
  install -D -m 755 "$here/app/target/$target/release/shop" "$work/layer/shop"
  mkdir "$work/layer/data"
}

# The same contents give the same bytes, so that an unchanged build changes nothing in the engine.
archive() {
  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --format=ustar -C "$1" -cf "$2" .
}

digest() {
  sha256sum "$1" | cut -d ' ' -f 1
}

# Writes an archive with all images: a manifest, a configuration for each, and the layer that they share.
pack() {
  local architecture layer image role environment config manifest="" separator=""
  case $(uname -m) in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) architecture=$(uname -m) ;;
  esac
  mkdir "$work/images"
  archive "$work/layer" "$work/layer.tar"
  layer=$(digest "$work/layer.tar")
  mv "$work/layer.tar" "$work/images/$layer.tar"
  for line in "${images[@]}"; do
    read -r image role environment <<<"$line"
    printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":{%s%s%s},%s}' \
      "$architecture" \
      '"Entrypoint":["/shop"],' \
      "\"Cmd\":[\"$role\"]," \
      "\"Env\":[${environment:+\"$environment\"}]" \
      "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:$layer\"]}" \
      >"$work/config.json"
    config=$(digest "$work/config.json").json
    mv "$work/config.json" "$work/images/$config"
    manifest+="$separator{\"Config\":\"$config\",\"RepoTags\":[\"$image\"],\"Layers\":[\"$layer.tar\"]}"
    separator=,
  done
  printf '[%s]' "$manifest" >"$work/images/manifest.json"
  archive "$work/images" "$work/images.tar"
}

load() {
  local endpoint=${DOCKER_HOST:-unix:///var/run/docker.sock} answer
  local -a where
  case $endpoint in
    unix://*) where=(--unix-socket "${endpoint#unix://}" http://engine/images/load) ;;
    tcp://*) where=("http://${endpoint#tcp://}/images/load") ;;
    *)
      echo "build.sh: DOCKER_HOST=$endpoint is not unix:// or tcp://; use: build.sh --out FILE" >&2
      return 1
      ;;
  esac
  if ! answer=$(curl --silent --show-error --fail-with-body --request POST \
    --header 'Content-Type: application/x-tar' --data-binary "@$work/images.tar" "${where[@]}"); then
    echo "build.sh: the engine at $endpoint did not take the images: $answer" >&2
    return 1
  fi
  # The engine reports errors inside a successful answer.
  if [[ $answer == *'"errorDetail"'* ]]; then
    echo "build.sh: $answer" >&2
    return 1
  fi
  for line in "${images[@]}"; do
    echo "loaded ${line%% *}"
  done
}

main "$@"
