# shellcheck shell=bash
# Container engines for scripts/demo and scripts/test: found, or installed and started.
#
#   engine_ensure          makes sure that an engine answers; exports DOCKER_HOST
#   engine_ensure_current  starts the current engine beside it; exports STRADDLE_ENGINE_CURRENT (a DOCKER_HOST)
#   engine_current_exec    runs a command where the current engine publishes its ports
#   engine_restart         restarts the engine of a pid file, which was started here, as it was started
#   engine_stop            stops what these functions started, and nothing else: trap engine_stop EXIT
#
# An engine that is already there is used as it is. What is started here runs as root.

ENGINE_DEFAULT=unix:///var/run/docker.sock
ENGINE_DEADLINE=60

# The current engine lives in a place of its own, and leaves nothing outside of it.
ENGINE_CURRENT_RUN=/run/straddle-engine
ENGINE_CURRENT_DATA=/var/lib/straddle-engine
ENGINE_CURRENT_BIP=172.31.255.1/24

ENGINE_DEFAULT_PIDFILE=/var/run/docker.pid
ENGINE_CURRENT_PIDFILE=$ENGINE_CURRENT_RUN/docker.pid

# Pid files of the engines that were started here.
ENGINE_STARTED=()

engine_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

engine_ensure() {
  export DOCKER_HOST=${DOCKER_HOST:-$ENGINE_DEFAULT}
  if engine_answers "$DOCKER_HOST"; then
    engine_say "using the engine at $DOCKER_HOST"
    return
  fi
  if [[ $DOCKER_HOST != "$ENGINE_DEFAULT" ]]; then
    engine_say "no engine answers at DOCKER_HOST=$DOCKER_HOST"
    return 1
  fi
  engine_install docker.io iptables curl dockerd iptables curl || return
  local log=${TMPDIR:-/tmp}/straddle-dockerd.log
  # Whoever starts it may talk to it.
  engine_launch "$log" "$ENGINE_DEFAULT_PIDFILE" dockerd --group "$(id --group --name)" || return
  engine_await "$DOCKER_HOST" "$log" "$(engine_pid "$ENGINE_DEFAULT_PIDFILE")" || return
  engine_say "started the distribution's engine, log in $log"
}

# The engine of today, compiled from its public Go module; the distribution's is the oldest one supported.
#
# It runs in a network namespace of its own: it removes iptables chains that an older engine needs. Its published
# ports are therefore only reachable through engine_current_exec.
engine_ensure_current() {
  local cache run=$ENGINE_CURRENT_RUN log=${TMPDIR:-/tmp}/straddle-dockerd-current.log
  export STRADDLE_ENGINE_CURRENT=unix://$run/docker.sock
  if engine_answers "$STRADDLE_ENGINE_CURRENT"; then
    engine_say "using the current engine at $STRADDLE_ENGINE_CURRENT"
    return
  fi
  cache=$(engine_build_current) || return
  engine_install containerd iptables iproute2 containerd iptables ip || return
  engine_root mkdir -p "$run" "$ENGINE_CURRENT_DATA" || return
  # shellcheck disable=SC2016 # the inner shell expands
  engine_launch "$log" "$ENGINE_CURRENT_PIDFILE" unshare --net -- \
    env "PATH=$cache:$PATH" sh -c 'ip link set lo up && exec "$@"' sh \
    dockerd --host "$STRADDLE_ENGINE_CURRENT" --pidfile "$ENGINE_CURRENT_PIDFILE" \
    --data-root "$ENGINE_CURRENT_DATA" --exec-root "$run/exec" --bip "$ENGINE_CURRENT_BIP" \
    --userland-proxy-path "$cache/docker-proxy" || return
  engine_await "$STRADDLE_ENGINE_CURRENT" "$log" "$(engine_pid "$ENGINE_CURRENT_PIDFILE")" || return
  engine_say "started the current engine at $STRADDLE_ENGINE_CURRENT, log in $log"
}

engine_current_exec() {
  local pid
  pid=$(engine_pid "$ENGINE_CURRENT_PIDFILE") || return
  engine_root nsenter --target "$pid" --net -- "$@"
}

# engine_restart PIDFILE: ends an engine and starts it again as it was started: same command, surroundings, network and log.
engine_restart() {
  local pid log endpoint=$ENGINE_DEFAULT index command=() surroundings=()
  pid=$(engine_pid "$1") || return
  mapfile -d '' -t command < <(engine_root cat "/proc/$pid/cmdline")
  mapfile -d '' -t surroundings < <(engine_root cat "/proc/$pid/environ")
  log=$(engine_root readlink "/proc/$pid/fd/1") || return
  for index in "${!command[@]}"; do
    if [[ ${command[index]} == --host ]]; then endpoint=${command[index + 1]}; fi
  done
  # Whoever ends it is in its network already: that would end with the last process in it.
  # shellcheck disable=SC2016,SC2024 # the inner shell expands, the log is the user's
  engine_root setsid nsenter --target "$pid" --net -- \
    sh -c 'kill "$0" && while [ -d "/proc/$0" ]; do sleep 0.1; done && exec env --ignore-environment "$@"' \
    "$pid" "${surroundings[@]}" "${command[@]}" >>"$log" 2>&1 </dev/null &
  while [[ -d /proc/$pid ]]; do sleep 0.1; done
  engine_await "$endpoint" "$log" $!
}

# Ends the engine of a pid file, and waits for that.
engine_end() {
  local pid tries
  pid=$(engine_pid "$1") || return 0
  engine_root kill "$pid" 2>/dev/null || return 0
  for ((tries = 0; tries < 600; tries++)); do
    [[ -d /proc/$pid ]] || return 0
    sleep 0.1
  done
  engine_say "the engine of $1 does not end"
  return 1
}

# The process of a pid file, where it is an engine.
engine_pid() {
  local pid
  pid=$(engine_root cat "$1" 2>/dev/null) && [[ $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]] && printf '%s\n' "$pid"
}

engine_stop() {
  local pidfile
  for pidfile in ${ENGINE_STARTED[@]+"${ENGINE_STARTED[@]}"}; do
    engine_end "$pidfile"
  done
  ENGINE_STARTED=()
}

# Compiles dockerd, docker-proxy and runc, once for each set of versions; prints the folder that holds them.
engine_build_current() {
  local modules=$engine_lib/../../tests/engine moby runc cache work
  moby=$(engine_version "$modules/moby/go.mod" github.com/moby/moby/v2)
  runc=$(engine_version "$modules/runc/go.mod" github.com/opencontainers/runc)
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/straddle/engine-$moby-runc-$runc
  if [[ ! -x $cache/dockerd ]]; then
    if ! command -v go >/dev/null; then
      engine_say "the current engine is compiled from its Go module: Go is missing, see https://go.dev/dl"
      return 1
    fi
    engine_install libseccomp-dev pkg-config gcc /usr/include/seccomp.h pkg-config gcc || return
    engine_say "compiling dockerd $moby and runc $runc, once (some minutes)"
    mkdir -p "$(dirname "$cache")" && work=$(mktemp -d "$cache.XXXXXX") || return
    if ! engine_compile "$modules" "$work" "$moby" >&2; then
      rm -rf "$work"
      return 1
    fi
    chmod 755 "$work"
    mv -T "$work" "$cache" || return
  fi
  printf '%s\n' "$cache"
}

engine_compile() {
  local modules=$1 out=$2 version=$3
  (cd "$modules/moby" && CGO_ENABLED=0 go build -mod=readonly -trimpath \
    -ldflags "-s -w -X github.com/moby/moby/v2/dockerversion.Version=${version#v}" \
    -tags 'exclude_graphdriver_btrfs no_systemd' -o "$out/" \
    github.com/moby/moby/v2/cmd/dockerd github.com/moby/moby/v2/cmd/docker-proxy) &&
    (cd "$modules/runc" && CGO_ENABLED=1 go build -mod=readonly -trimpath -ldflags '-s -w' \
      -tags seccomp -o "$out/runc" github.com/opencontainers/runc)
}

# The version of a module that a go.mod requires.
engine_version() {
  sed -n "s|^\(require\)\{0,1\}[[:space:]]*$2 \(v[^ ]*\).*|\2|p" "$1"
}

# Whether an engine answers at a DOCKER_HOST.
engine_answers() {
  local path=${1#unix://}
  case $1 in
    unix://*)
      [[ -S $path ]] || return 1
      if command -v curl >/dev/null; then
        [[ $(engine_asker "$path" curl --silent --max-time 5 --unix-socket "$path" http://engine/_ping) == OK ]]
      elif command -v python3 >/dev/null; then
        engine_asker "$path" python3 -c '
import socket, sys
engine = socket.socket(socket.AF_UNIX)
engine.settimeout(5)
engine.connect(sys.argv[1])
engine.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
sys.exit(not engine.recv(64).split(b" ")[1] == b"200")' "$path" 2>/dev/null
      else
        engine_install curl curl && engine_answers "$1"
      fi
      ;;
    tcp://*) [[ $(curl --silent --max-time 5 "http://${1#tcp://}/_ping") == OK ]] ;;
    *) return 1 ;;
  esac
}

# Runs a command that talks to a socket, as root only where that is needed.
engine_asker() {
  local path=$1
  shift
  if [[ -w $path ]]; then "$@"; else engine_root "$@"; fi
}

# Starts an engine in the background, in a session of its own, so that Ctrl-C leaves its end to engine_stop.
engine_launch() {
  local log=$1 pidfile=$2 tries
  shift 2
  engine_root true || return
  # What an engine left that was killed: its number may be another program's by now.
  if engine_root test -s "$pidfile" && ! engine_pid "$pidfile" >/dev/null; then
    engine_root rm -f "$pidfile" || return
  fi
  if ((EUID == 0)); then
    setsid "$@" >"$log" 2>&1 </dev/null &
  else
    # shellcheck disable=SC2024 # the log is the user's
    sudo setsid "$@" >"$log" 2>&1 </dev/null &
  fi
  local child=$!
  for ((tries = 0; tries < ENGINE_DEADLINE * 10; tries++)); do
    # The engine writes its process id early; until then a child that is gone has failed.
    if engine_pid "$pidfile" >/dev/null; then
      ENGINE_STARTED+=("$pidfile")
      return
    fi
    kill -0 "$child" 2>/dev/null || break
    sleep 0.1
  done
  engine_failed "$log"
}

# engine_await ENDPOINT LOG PROCESS: waits until an engine answers, or its process is gone.
engine_await() {
  local endpoint=$1 log=$2 process=$3 tries
  for ((tries = 0; tries < ENGINE_DEADLINE * 10; tries++)); do
    if engine_answers "$endpoint"; then
      return
    fi
    [[ -d /proc/$process ]] || break
    sleep 0.1
  done
  engine_failed "$log"
}

engine_failed() {
  engine_say "the engine did not start; the end of $1:"
  tail -n 20 "$1" | sed 's/^/  | /' >&2
  return 1
}

# engine_install PACKAGE... WANTED...: installs packages unless every wanted command or file is there; both lists
# have the same length.
engine_install() {
  local half=$(($# / 2)) wanted missing=()
  local packages=("${@:1:half}")
  for wanted in "${@:half+1}"; do
    command -v "$wanted" >/dev/null || [[ -e $wanted || -x /usr/sbin/$wanted ]] || missing+=("$wanted")
  done
  if ((${#missing[@]} == 0)); then
    return
  fi
  if ! command -v apt-get >/dev/null; then
    engine_say "missing: ${missing[*]}; on this system please install them yourself"
    return 1
  fi
  engine_say "installing ${packages[*]} (missing: ${missing[*]})"
  engine_root apt-get update -qq >&2 &&
    engine_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
      "${packages[@]}" >&2
}

engine_root() {
  if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

engine_say() {
  printf 'engine: %s\n' "$*" >&2
}

# engine_get PATH: what the engine answers to a GET request of its API.
engine_get() {
  case $DOCKER_HOST in
    unix://*) engine_asker "${DOCKER_HOST#unix://}" curl --silent --show-error --fail --globoff --unix-socket "${DOCKER_HOST#unix://}" "http://engine$1" ;;
    *) curl --silent --show-error --fail --globoff "http://${DOCKER_HOST#tcp://}$1" ;;
  esac
}
