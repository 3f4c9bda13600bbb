# shellcheck shell=bash
# AWS for scripts/aws and scripts/test, simulated: installed and started side by side.
#
#   aws_ensure   makes sure that MiniStack (real containers) and moto (stores what it is sent) answer; exports
#                STRADDLE_TEST_AWS_MINISTACK, STRADDLE_TEST_AWS_MOTO (their addresses), STRADDLE_TEST_AWS_MODELS (a folder with the
#                published model of each service) and who the tests are on AWS, which is nobody
#   aws_stop     stops what aws_ensure started, and nothing else: trap aws_stop EXIT
#   aws_end      stops both, whoever started them
#
# Their containers run on the engine of DOCKER_HOST: engine_ensure before. A MiniStack or moto that the variable of its
# address names is used as it is. What is started here begins empty and keeps nothing.

aws_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# What a script sourced already keeps what it remembers.
if ! declare -F engine_install >/dev/null; then
  # shellcheck source=engine.sh
  source "$aws_lib/engine.sh"
fi

# Process ids, logs and what they write.
AWS_RUN=${XDG_RUNTIME_DIR:-${TMPDIR:-/tmp}}/straddle-aws

# Addresses of their own: no port of anybody's is taken, and no other machine reaches them.
AWS_MINISTACK=127.0.245.2:4566
AWS_MOTO=127.0.245.3:5000

AWS_PROGRAMS=(ministack moto)
# Whose published models are unpacked.
AWS_SERVICES=(application-autoscaling ecs elbv2 logs scheduler secretsmanager servicediscovery ssm)
AWS_DEADLINE=60

# Names of the programs that were started here.
AWS_STARTED=()

aws_ensure() {
  STRADDLE_TEST_AWS_MINISTACK=$(aws_address ministack) STRADDLE_TEST_AWS_MOTO=$(aws_address moto)
  export STRADDLE_TEST_AWS_MINISTACK STRADDLE_TEST_AWS_MOTO
  export DOCKER_HOST=${DOCKER_HOST:-$ENGINE_DEFAULT}
  aws_identity
  STRADDLE_TEST_AWS_MODELS=$(aws_models) && export STRADDLE_TEST_AWS_MODELS || return
  engine_install curl curl || return
  if ! mkdir -p "$AWS_RUN" || [[ ! -O $AWS_RUN ]]; then
    aws_say "$AWS_RUN is somebody else's"
    return 1
  fi
  if ! { aws_each aws_start && aws_each aws_await; }; then
    aws_stop
    return 1
  fi
}

aws_stop() {
  local name
  for name in ${AWS_STARTED[@]+"${AWS_STARTED[@]}"}; do
    aws_end_program "$name" || true
  done
  AWS_STARTED=()
}

aws_end() {
  aws_each aws_end_program && rm -rf "$AWS_RUN"
}

# aws_each FUNCTION: runs it for each of the programs.
aws_each() {
  local name
  for name in "${AWS_PROGRAMS[@]}"; do
    "$1" "$name" || return
  done
}

# Who asks: nobody's key, and nothing of the user's.
aws_identity() {
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
  unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE \
    AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_CREDENTIALS_RELATIVE_URI "${!AWS_ENDPOINT_URL@}"
}

# The address of a program.
aws_address() {
  case $1 in
    ministack) printf '%s\n' "${STRADDLE_TEST_AWS_MINISTACK:-http://$AWS_MINISTACK}" ;;
    moto) printf '%s\n' "${STRADDLE_TEST_AWS_MOTO:-http://$AWS_MOTO}" ;;
  esac
}

aws_answers() {
  local path
  case $1 in
    ministack) path=/_ministack/ready ;;
    moto) path=/moto-api/ ;;
  esac
  curl --silent --fail --noproxy '*' --max-time 5 --output /dev/null "$(aws_address "$1")$path"
}

# aws_start NAME: starts a program, unless one answers at its address.
aws_start() {
  local address environment
  address=$(aws_address "$1")
  if aws_answers "$1"; then
    aws_say "using the $1 at $address"
    return
  fi
  case $1,$address in
    ministack,http://"$AWS_MINISTACK" | moto,http://"$AWS_MOTO") ;;
    *)
      aws_say "no $1 answers at $address"
      return 1
      ;;
  esac
  environment=$(aws_environment "$1") || return
  # What is left of one that was killed.
  aws_end_program "$1" || return
  AWS_STARTED+=("$1")
  case $1 in
    ministack)
      # It knows its containers by its name and port, and takes away those that an earlier one left. The listeners of other services
      # would be open to everybody.
      aws_launch ministack BIND_HOST="${AWS_MINISTACK%:*}" GATEWAY_PORT="${AWS_MINISTACK#*:}" MINISTACK_HOSTNAME=straddle-aws \
        MINISTACK_REGION="$AWS_REGION" IOT_MTLS_ENABLED=0 SFTP_ENABLED=0 DOCKER_HOST="$DOCKER_HOST" \
        "$environment/bin/python" -m ministack
      ;;
    moto) aws_launch moto "$environment/bin/python" -m moto.server --host "${AWS_MOTO%:*}" --port "${AWS_MOTO#*:}" ;;
  esac
}

# aws_launch NAME COMMAND...: starts a program in the background, in a session of its own and without what the user's
# environment says.
aws_launch() {
  local name=$1
  shift
  # shellcheck disable=SC2016 # the inner shell expands
  setsid env --ignore-environment PATH="$PATH" HOME="$AWS_RUN" TMPDIR="$AWS_RUN" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    sh -c 'cd / && echo "$$" >"$0.pid" && exec env "$@"' "$AWS_RUN/$name" "$@" >"$AWS_RUN/$name.log" 2>&1 </dev/null &
}

# Waits until a program answers.
aws_await() {
  local tries
  for ((tries = 0; tries < AWS_DEADLINE * 10; tries++)); do
    if aws_answers "$1"; then
      if [[ " ${AWS_STARTED[*]-} " == *" $1 "* ]]; then aws_say "started $1 at $(aws_address "$1"), log in $AWS_RUN/$1.log"; fi
      return
    fi
    # The file of its process is there a moment after it was launched.
    ((tries < 20)) || aws_pid "$1" >/dev/null || break
    sleep 0.1
  done
  aws_say "$1 did not start; the end of $AWS_RUN/$1.log:"
  tail -n 20 "$AWS_RUN/$1.log" | sed 's/^/  | /' >&2
  return 1
}

# The process of one of the programs, if it runs.
aws_pid() {
  local pid
  pid=$(cat "$AWS_RUN/$1.pid" 2>/dev/null) && [[ -r /proc/$pid/cmdline ]] &&
    tr '\0' ' ' <"/proc/$pid/cmdline" | grep --quiet --fixed-strings -- "-m $1" && printf '%s\n' "$pid"
}

# Ends a program, and waits for that; MiniStack takes its containers along.
aws_end_program() {
  local pid tries
  if pid=$(aws_pid "$1"); then
    for ((tries = 0; tries < 300; tries++)); do
      if ((tries == 0)); then kill "$pid" 2>/dev/null || true; fi
      # What it still had to remove, its next start removes.
      if ((tries == 200)); then kill -KILL "$pid" 2>/dev/null || true; fi
      aws_pid "$1" >/dev/null || break
      sleep 0.1
    done
    if aws_pid "$1" >/dev/null; then
      aws_say "$1 does not end"
      return 1
    fi
  fi
  rm -f "$AWS_RUN/$1.pid"
}

# Installs a program, once for each version; prints the folder of its environment.
aws_environment() {
  local requirements=$aws_lib/../../tests/aws/$1.txt version cache work
  version=$(aws_version "$1" "$1")
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/straddle/aws-$1-$version-$(sha256sum "$requirements" | cut --characters 1-8)
  # A Python that was removed leaves a link to nothing.
  if [[ ! -x $cache/bin/python ]]; then
    aws_python || return
    aws_say "installing $1 $version, once (a minute)"
    mkdir -p "$(dirname "$cache")" && work=$(mktemp -d "$cache.XXXXXX") || return
    # By what was frozen, and nothing else.
    if ! { python3 -m venv "$work" &&
      "$work/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement "$requirements" &&
      "$work/bin/python" -m pip check --quiet; } >&2; then
      rm -rf "$work"
      return 1
    fi
    chmod 755 "$work"
    rm -rf "$cache"
    mv -T "$work" "$cache" || return
  fi
  printf '%s\n' "$cache"
}

aws_python() {
  engine_install python3 python3 || return
  # A distribution may have it in a package of its own, which is no command.
  python3 -c 'import ensurepip, venv' 2>/dev/null || engine_install python3-venv ensurepip || return
  if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    aws_say "MiniStack and moto need Python 3.11 or newer, and this is $(python3 --version)"
    return 1
  fi
}

# aws_version PROGRAM PACKAGE: the version of a package that the requirements of a program name.
aws_version() {
  sed -n "s/^$2==//p" "$aws_lib/../../tests/aws/$1.txt"
}

# Unpacks the published models that are not there yet; prints the folder that holds them.
aws_models() {
  local version environment cache service missing=()
  version=$(aws_version moto botocore)
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/straddle/aws-models-$version
  for service in "${AWS_SERVICES[@]}"; do
    [[ -s $cache/$service.json ]] || missing+=("$service")
  done
  if ((${#missing[@]} > 0)); then
    environment=$(aws_environment moto) && mkdir -p "$cache" || return
    "$environment/bin/python" - "$cache" "${missing[@]}" <<'CODE' >&2 || return
import glob, gzip, os, sys
import botocore

folder, *services = sys.argv[1:]
for service in services:
    versions = glob.glob(os.path.join(os.path.dirname(botocore.__file__), "data", service, "*", "service-2.json.gz"))
    path = os.path.join(folder, service + ".json")
    with gzip.open(max(versions)) as packed, open(path + ".new", "wb") as file:
        file.write(packed.read())
    os.replace(path + ".new", path)
CODE
  fi
  printf '%s\n' "$cache"
}

aws_say() {
  printf 'aws: %s\n' "$*" >&2
}
