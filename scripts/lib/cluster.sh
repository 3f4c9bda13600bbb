# shellcheck shell=bash
# A Kubernetes cluster for scripts/cluster and scripts/test: found, or compiled, installed and started.
#
#   cluster_ensure           makes sure that a cluster answers; exports STRADDLE_TEST_KUBECONFIG, and of one of its own also
#                            STRADDLE_TEST_CLUSTER_REGISTRY
#   cluster_load TAR         makes the images of a `docker save` archive known to it
#   cluster_restart_kubelet  ends the kubelet and starts it again, for tests of what outlives that
#   cluster_extensions       fetches the definitions of kinds of KEDA, the Gateway API and External Secrets; prints their folder
#   cluster_sweep            removes every pod's containers from the node; a running kubelet makes them anew
#   cluster_stop             stops what cluster_ensure started, and nothing else: trap cluster_stop EXIT
#   cluster_end              stops the cluster of this machine, whoever started it
#
# STRADDLE_TEST_KUBERNETES names another version than the newest one: tests/cluster/versions has those that there are.
#
# A cluster that STRADDLE_TEST_KUBECONFIG names is used as it is; STRADDLE_TEST_CLUSTER_LOAD then says how images get
# there, such as "kind load image-archive", and STRADDLE_TEST_CLUSTER_REGISTRY names a registry without a login that
# both this machine and its nodes reach. What is started here runs as root, begins empty, and leaves nothing behind.

cluster_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# What a script sourced already keeps what it remembers.
if ! declare -F engine_root >/dev/null; then
  # shellcheck source=engine.sh
  source "$cluster_lib/engine.sh"
fi

# The cluster lives in a place of its own. The first folder holds process ids, logs, keys and sockets.
CLUSTER_RUN=/run/straddle-cluster
CLUSTER_DATA=/var/lib/straddle-cluster
CLUSTER_KUBECONFIG=$CLUSTER_RUN/admin.kubeconfig
CLUSTER_SOCKET=$CLUSTER_RUN/containerd.sock

# Its servers listen on an address of their own: no port of theirs is taken, and no other machine reaches them.
CLUSTER_NODE=straddle
CLUSTER_DEVICE=straddle-node
CLUSTER_ADDRESS=10.245.0.1
# What no engine gives to its networks by default.
CLUSTER_BRIDGE=straddle-cni0
CLUSTER_PODS=10.244.0.0/16
CLUSTER_SERVICES=10.96.0.0/16
CLUSTER_SERVICE_API=10.96.0.1
CLUSTER_SERVICE_DNS=10.96.0.10
# Port 53 of every address may be taken by a server of the machine.
CLUSTER_DNS_PORT=10053
CLUSTER_METRICS_PORT=10443
# A registry needs no certificate where it is on the machine itself.
CLUSTER_REGISTRY=127.0.245.1:5000

# The image that holds a pod together; also the one of the pod that is tried at the start.
CLUSTER_IMAGE=straddle.dev/tests/cluster/pod:1

# The programs, in the order of their start.
CLUSTER_PROGRAMS=(docker-registry etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy coredns volumes metrics-server)
CLUSTER_DEADLINE=60
CLUSTER_STARTED=false

cluster_ensure() {
  local bin logs=''
  if [[ -n ${STRADDLE_TEST_KUBECONFIG-} && $STRADDLE_TEST_KUBECONFIG != "$CLUSTER_KUBECONFIG" ]]; then
    cluster_answers "$STRADDLE_TEST_KUBECONFIG" || {
      cluster_say "no cluster answers at STRADDLE_TEST_KUBECONFIG=$STRADDLE_TEST_KUBECONFIG"
      return 1
    }
    cluster_say "using the cluster of $STRADDLE_TEST_KUBECONFIG"
    return
  fi
  export STRADDLE_TEST_KUBECONFIG=$CLUSTER_KUBECONFIG STRADDLE_TEST_CLUSTER_REGISTRY=$CLUSTER_REGISTRY
  if cluster_answers "$CLUSTER_KUBECONFIG"; then
    if [[ -n ${STRADDLE_TEST_KUBERNETES-} && $(readlink "$CLUSTER_RUN/bin") != */cluster-v"$STRADDLE_TEST_KUBERNETES".* ]]; then
      cluster_say "a cluster of another version than $STRADDLE_TEST_KUBERNETES runs already: scripts/cluster stop"
      return 1
    fi
    cluster_say "using the cluster that runs already"
    return
  fi
  bin=$(cluster_build) || return
  engine_install etcd-server containerd runc containernetworking-plugins iptables iproute2 docker-registry \
    etcd containerd runc /usr/lib/cni/bridge iptables ip docker-registry || return
  # What is left of a cluster that was killed.
  if [[ -d $CLUSTER_RUN || -d $CLUSTER_DATA ]]; then cluster_end || return; fi
  CLUSTER_STARTED=true
  if ! cluster_start "$bin"; then
    # What the end removes may be wanted by whoever looks for the cause.
    if compgen -G "$CLUSTER_RUN/log/*" >/dev/null && logs=$(mktemp -d "${TMPDIR:-/tmp}/straddle-cluster.XXXXXX"); then
      engine_root cp -r "$CLUSTER_RUN/log/." "$logs" || true
    fi
    cluster_say "the cluster did not start${logs:+; all logs are in $logs}"
    cluster_stop
    return 1
  fi
  cluster_say "started a cluster, logs in $CLUSTER_RUN/log"
}

cluster_stop() {
  if $CLUSTER_STARTED; then cluster_end; fi
  CLUSTER_STARTED=false
}

cluster_load() {
  if [[ ${STRADDLE_TEST_KUBECONFIG:-$CLUSTER_KUBECONFIG} == "$CLUSTER_KUBECONFIG" ]]; then
    engine_root ctr --address "$CLUSTER_SOCKET" --namespace k8s.io images import "$1" >/dev/null
  elif [[ -n ${STRADDLE_TEST_CLUSTER_LOAD-} ]]; then
    # It is a command with its arguments.
    # shellcheck disable=SC2086
    $STRADDLE_TEST_CLUSTER_LOAD "$1"
  else
    cluster_say "STRADDLE_TEST_CLUSTER_LOAD does not say how images get into the cluster of $STRADDLE_TEST_KUBECONFIG"
    return 1
  fi
}

cluster_restart_kubelet() {
  cluster_end_program kubelet && cluster_start_kubelet "$CLUSTER_RUN/bin" && cluster_await node
}

cluster_sweep() {
  engine_root "$CLUSTER_RUN/bin/cluster" sweep -socket "$CLUSTER_SOCKET"
}

# Whether a cluster answers to a kubeconfig. Whoever has a cluster need not compile one to ask.
cluster_answers() {
  local bin=$CLUSTER_RUN/bin
  [[ -r $1 ]] || return 1
  if [[ ! -x $bin/cluster ]]; then
    if command -v kubectl >/dev/null; then
      kubectl --kubeconfig "$1" --request-timeout 3s get --raw /readyz >/dev/null 2>&1
      return
    fi
    bin=$(cluster_build) || return
  fi
  "$bin/cluster" await -kubeconfig "$1" -patience 3s api 2>/dev/null
}

# Compiles Kubernetes, CoreDNS and the server of metrics, once for each set of versions; prints the folder of the programs.
cluster_build() {
  local modules=$cluster_lib/../../tests/cluster modfile kubernetes coredns metrics sources cache work
  modfile=$(cluster_modfile "$modules") || return
  kubernetes=$(engine_version "$modules/$modfile" k8s.io/kubernetes)
  coredns=$(engine_version "$modules/dns/go.mod" github.com/coredns/coredns)
  metrics=$(engine_version "$modules/metrics/go.mod" sigs.k8s.io/metrics-server)
  # Our own part of the programs changes without a version.
  sources=$(find "$modules" -name '*.go' -print0 | sort --zero-terminated | xargs --null cat | sha256sum | cut --characters 1-8)
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/straddle/cluster-$kubernetes-coredns-$coredns-metrics-$metrics-$sources
  if [[ ! -x $cache/cluster ]]; then
    if ! command -v go >/dev/null; then
      cluster_say "the cluster is compiled from its Go modules: Go is missing, see https://go.dev/dl"
      return 1
    fi
    cluster_say "compiling Kubernetes $kubernetes, CoreDNS $coredns and metrics-server $metrics, once (some minutes)"
    mkdir -p "$(dirname "$cache")" && work=$(mktemp -d "$cache.XXXXXX") || return
    if ! cluster_compile "$modules" "$modfile" "$work" "$kubernetes" >&2; then
      rm -rf "$work"
      return 1
    fi
    chmod 755 "$work"
    mv -T "$work" "$cache" || return
    # Those of an older state of our own part are of no more use, except to a cluster that runs.
    for work in "${cache%-*}"-*; do
      if [[ $work != "$cache" && $work != "$(readlink "$CLUSTER_RUN/bin")" ]]; then rm -rf "$work"; fi
    done
  fi
  printf '%s\n' "$cache"
}

# The file of the Kubernetes version that is wanted, in the folder of the modules.
cluster_modfile() {
  local version=${STRADDLE_TEST_KUBERNETES-}
  if [[ -z $version || $(engine_version "$1/go.mod" k8s.io/kubernetes) == "v$version".* ]]; then
    printf 'go.mod\n'
  elif [[ -f $1/versions/$version.mod ]]; then
    printf 'versions/%s.mod\n' "$version"
  else
    cluster_say "STRADDLE_TEST_KUBERNETES=$version is none of the versions that tests/cluster has"
    return 1
  fi
}

cluster_compile() {
  local modules=$1 modfile=$2 out=$3 version=$4 flags minor name
  minor=${version#v*.}
  flags="-s -w"
  flags+=" -X k8s.io/component-base/version.gitVersion=$version"
  flags+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
  local build=(env CGO_ENABLED=0 go build -mod=readonly -trimpath)
  (cd "$modules" && "${build[@]}" -modfile "$modfile" -ldflags "$flags" -o "$out/cluster" . && "${build[@]}" -ldflags '-s -w' -o "$out/pod" ./pod) &&
    (cd "$modules/dns" && "${build[@]}" -ldflags '-s -w' -o "$out/coredns" .) &&
    (cd "$modules/metrics" && "${build[@]}" -ldflags '-s -w' -o "$out/metrics-server" sigs.k8s.io/metrics-server/cmd/metrics-server) || return
  # By its own name a program is seen in lists of processes.
  for name in kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubelet volumes; do
    ln -s cluster "$out/$name" || return
  done
  "$out/cluster" image -name "$CLUSTER_IMAGE" -out "$out/pod.tar" "$out/pod"
}

# Fetches the definitions of kinds that others bring, once for each list of them; prints their folder.
cluster_extensions() {
  local list=$cluster_lib/../../tests/cluster/extensions cache work
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/straddle/extensions-$(sha256sum <"$list" | cut --characters 1-8)
  if [[ ! -d $cache ]]; then
    if ! command -v go >/dev/null; then
      cluster_say "the definitions of kinds come from Go modules: Go is missing, see https://go.dev/dl"
      return 1
    fi
    engine_install unzip unzip || return
    mkdir -p "$(dirname "$cache")" && work=$(mktemp -d "$cache.XXXXXX") || return
    if ! cluster_fetch_extensions "$list" "$work" >&2; then
      rm -rf "$work"
      return 1
    fi
    chmod 755 "$work"
    # Another one may have been faster.
    mv -T "$work" "$cache" 2>/dev/null || rm -rf "$work"
  fi
  [[ -d $cache ]] && printf '%s\n' "$cache"
}

# cluster_fetch_extensions LIST FOLDER: takes the files of a list out of their modules.
cluster_fetch_extensions() {
  local module version hash file fetched archive
  while read -r module version hash file; do
    [[ -n $module && $module != \#* ]] || continue
    # What only a newer Go compiles is fetched and verified all the same.
    fetched=$(cd / && go mod download -json "$module@$version") || true
    archive=$(sed --quiet 's/^\t"Zip": "\(.*\)",\{0,1\}$/\1/p' <<<"$fetched")
    if [[ ! -f $archive || $fetched != *"\"Sum\": \"$hash\""* ]]; then
      cluster_say "$module@$version cannot be fetched, or is not what tests/cluster/extensions says: $fetched"
      return 1
    fi
    unzip -p "$archive" "$module@$version/$file" >"$2/${file##*/}" || return
  done <"$1"
}

# cluster_start BIN: starts everything, each thing when what it needs is there.
cluster_start() {
  local bin=$1
  engine_root mkdir -p "$CLUSTER_RUN/log" "$CLUSTER_DATA/kubelet" "$CLUSTER_DATA/containerd" &&
    engine_root ln -sfn "$bin" "$CLUSTER_RUN/bin" &&
    engine_root "$bin/cluster" keys -dir "$CLUSTER_RUN/keys" -node "$CLUSTER_NODE" \
      -address "$CLUSTER_ADDRESS" -service-address "$CLUSTER_SERVICE_API" &&
    engine_root install --mode 600 --owner "$(id --user)" "$CLUSTER_RUN/keys/admin.kubeconfig" "$CLUSTER_KUBECONFIG" &&
    cluster_configure && cluster_network || return

  cluster_launch docker-registry docker-registry serve "$CLUSTER_RUN/registry.yaml" || return
  local etcd=https://$CLUSTER_ADDRESS:2379 keys=$CLUSTER_RUN/keys
  # What it holds is not kept: it need not be on the disk.
  cluster_launch etcd etcd --name straddle --data-dir "$CLUSTER_RUN/etcd" --logger zap --log-level warn \
    --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
    --listen-peer-urls "https://$CLUSTER_ADDRESS:2380" --initial-advertise-peer-urls "https://$CLUSTER_ADDRESS:2380" \
    --initial-cluster "straddle=https://$CLUSTER_ADDRESS:2380" \
    --cert-file "$keys/etcd.crt" --key-file "$keys/etcd.key" --client-cert-auth --trusted-ca-file "$keys/ca.crt" \
    --peer-cert-file "$keys/etcd.crt" --peer-key-file "$keys/etcd.key" --peer-client-cert-auth --peer-trusted-ca-file "$keys/ca.crt" || return
  cluster_launch containerd containerd --config "$CLUSTER_RUN/containerd.toml" || return
  cluster_launch kube-apiserver "$bin/kube-apiserver" \
    --bind-address "$CLUSTER_ADDRESS" --advertise-address "$CLUSTER_ADDRESS" --secure-port 6443 \
    --etcd-servers "$etcd" --etcd-cafile "$keys/ca.crt" --etcd-certfile "$keys/apiserver-etcd.crt" --etcd-keyfile "$keys/apiserver-etcd.key" \
    --tls-cert-file "$keys/apiserver.crt" --tls-private-key-file "$keys/apiserver.key" --client-ca-file "$keys/ca.crt" \
    --kubelet-certificate-authority "$keys/ca.crt" --kubelet-preferred-address-types InternalIP \
    --kubelet-client-certificate "$keys/apiserver-kubelet.crt" --kubelet-client-key "$keys/apiserver-kubelet.key" \
    --requestheader-client-ca-file "$keys/front-proxy-ca.crt" --requestheader-allowed-names front-proxy \
    --requestheader-extra-headers-prefix X-Remote-Extra- --requestheader-group-headers X-Remote-Group --requestheader-username-headers X-Remote-User \
    --proxy-client-cert-file "$keys/front-proxy.crt" --proxy-client-key-file "$keys/front-proxy.key" \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$keys/service-accounts.key" --service-account-signing-key-file "$keys/service-accounts.key" \
    --service-cluster-ip-range "$CLUSTER_SERVICES" --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --allow-privileged --profiling=false || return
  cluster_await_socket containerd && cluster_load "$bin/pod.tar" && cluster_await api && cluster_apply objects || return

  # A load is acted upon in seconds, where a cluster in use takes minutes.
  cluster_launch kube-controller-manager "$bin/kube-controller-manager" --bind-address "$CLUSTER_ADDRESS" \
    --kubeconfig "$keys/kube-controller-manager.kubeconfig" --use-service-account-credentials --leader-elect=false \
    --authentication-kubeconfig "$keys/kube-controller-manager.kubeconfig" --authorization-kubeconfig "$keys/kube-controller-manager.kubeconfig" \
    --root-ca-file "$keys/ca.crt" --service-account-private-key-file "$keys/service-accounts.key" \
    --cluster-signing-cert-file "$keys/ca.crt" --cluster-signing-key-file "$keys/ca.key" \
    --horizontal-pod-autoscaler-sync-period 5s --horizontal-pod-autoscaler-cpu-initialization-period 10s \
    --horizontal-pod-autoscaler-initial-readiness-delay 5s --horizontal-pod-autoscaler-downscale-stabilization 20s || return
  cluster_launch kube-scheduler "$bin/kube-scheduler" --bind-address "$CLUSTER_ADDRESS" --leader-elect=false \
    --kubeconfig "$keys/kube-scheduler.kubeconfig" \
    --authentication-kubeconfig "$keys/kube-scheduler.kubeconfig" --authorization-kubeconfig "$keys/kube-scheduler.kubeconfig" || return
  cluster_start_kubelet "$bin" || return
  cluster_launch kube-proxy "$bin/kube-proxy" --kubeconfig "$keys/kube-proxy.kubeconfig" --hostname-override "$CLUSTER_NODE" \
    --proxy-mode iptables --cluster-cidr "$CLUSTER_PODS" --conntrack-max-per-core 0 \
    --healthz-bind-address "$CLUSTER_ADDRESS:10256" --metrics-bind-address "$CLUSTER_ADDRESS:10249" || return
  cluster_launch coredns "$bin/coredns" -conf "$CLUSTER_RUN/Corefile" || return
  cluster_launch volumes "$bin/volumes" -kubeconfig "$CLUSTER_KUBECONFIG" -class standard -node "$CLUSTER_NODE" -dir "$CLUSTER_DATA/volumes" || return
  cluster_launch metrics-server "$bin/metrics-server" --bind-address "$CLUSTER_ADDRESS" --secure-port "$CLUSTER_METRICS_PORT" \
    --kubeconfig "$keys/metrics-server.kubeconfig" --cert-dir "$CLUSTER_RUN/keys/metrics-server" \
    --authentication-kubeconfig "$keys/metrics-server.kubeconfig" --authorization-kubeconfig "$keys/metrics-server.kubeconfig" \
    --kubelet-certificate-authority "$keys/ca.crt" --kubelet-preferred-address-types InternalIP --metric-resolution 10s --kubelet-request-timeout 5s || return
  # A part of the API that does not answer keeps namespaces from being removed: it is named when it can be reached.
  cluster_await node && cluster_apply metrics && cluster_await metrics
}

cluster_start_kubelet() {
  cluster_launch kubelet "$1/kubelet" --config "$CLUSTER_RUN/kubelet.yaml" --kubeconfig "$CLUSTER_RUN/keys/kubelet.kubeconfig" \
    --root-dir "$CLUSTER_DATA/kubelet" --hostname-override "$CLUSTER_NODE" --node-ip "$CLUSTER_ADDRESS"
}

# Writes what the programs read.
cluster_configure() {
  cluster_write containerd.toml <<END &&
version = 2
root = "$CLUSTER_DATA/containerd"
state = "$CLUSTER_RUN/containerd"
oom_score = 0

[grpc]
  address = "$CLUSTER_SOCKET"

[plugins."io.containerd.internal.v1.opt"]
  path = "$CLUSTER_DATA/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$CLUSTER_IMAGE"
  # The surroundings may not allow to make a process less likely to be killed.
  restrict_oom_score_adj = true
  # So that they are told from those of others.
  netns_mounts_under_state_dir = true
  # As every newer version has it.
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$CLUSTER_RUN/cni"
END
    cluster_write cni/straddle.conflist <<END &&
{
  "cniVersion": "1.0.0",
  "name": "straddle",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "$CLUSTER_BRIDGE",
      "isGateway": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "dataDir": "$CLUSTER_RUN/addresses",
        "ranges": [[{"subnet": "$CLUSTER_PODS"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
END
    cluster_write kubelet.yaml <<END &&
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $CLUSTER_ADDRESS
healthzBindAddress: $CLUSTER_ADDRESS
authentication:
  anonymous: {enabled: false}
  x509: {clientCAFile: $CLUSTER_RUN/keys/ca.crt}
tlsCertFile: $CLUSTER_RUN/keys/kubelet.crt
tlsPrivateKeyFile: $CLUSTER_RUN/keys/kubelet.key
clusterDomain: cluster.local
clusterDNS: [$CLUSTER_SERVICE_DNS]
containerRuntimeEndpoint: unix://$CLUSTER_SOCKET
podLogsDir: $CLUSTER_DATA/logs
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
# It would make chains of its own, and kube-proxy makes all that are needed.
makeIPTablesUtilChains: false
# The disk is the machine's, full as it may be; images come from nowhere else once they are removed.
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%, imagefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
serializeImagePulls: false
END
    cluster_write registry.yaml <<END &&
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $CLUSTER_DATA/registry}}
http: {addr: '$CLUSTER_REGISTRY'}
END
    cluster_write Corefile <<END &&
.:$CLUSTER_DNS_PORT {
  bind $CLUSTER_ADDRESS
  errors
  ready $CLUSTER_ADDRESS:8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $CLUSTER_RUN/keys/coredns.kubeconfig
    pods insecure
    fallthrough in-addr.arpa ip6.arpa
    ttl 5
  }
  forward . /etc/resolv.conf
  cache 5
}
END
    cluster_write objects.yaml <<END &&
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: straddle.dev/volumes
# As the classes of clouds have it: a disk is made where the pod goes.
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  clusterIP: $CLUSTER_SERVICE_DNS
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
endpoints:
- {addresses: [$CLUSTER_ADDRESS], conditions: {ready: true}}
ports:
- {name: dns, port: $CLUSTER_DNS_PORT, protocol: UDP}
- {name: dns-tcp, port: $CLUSTER_DNS_PORT, protocol: TCP}
---
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system}
spec:
  ports:
  - {name: https, port: 443, protocol: TCP}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: metrics-server, namespace: kube-system, labels: {kubernetes.io/service-name: metrics-server}}
addressType: IPv4
endpoints:
- {addresses: [$CLUSTER_ADDRESS], conditions: {ready: true}}
ports:
- {name: https, port: $CLUSTER_METRICS_PORT, protocol: TCP}
---
# What Kubernetes 1.33 looks at to find a part of the API.
apiVersion: v1
kind: Endpoints
metadata: {name: metrics-server, namespace: kube-system, labels: {endpointslice.kubernetes.io/skip-mirror: "true"}}
subsets:
- addresses: [{ip: $CLUSTER_ADDRESS}]
  ports: [{name: https, port: $CLUSTER_METRICS_PORT, protocol: TCP}]
END
    cluster_write metrics.yaml <<END
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  service: {name: metrics-server, namespace: kube-system}
  group: metrics.k8s.io
  version: v1beta1
  insecureSkipTLSVerify: true
  groupPriorityMinimum: 100
  versionPriority: 100
END
}

# cluster_write NAME: writes its input into a file of the run folder.
cluster_write() {
  engine_root install -D --mode 644 /dev/stdin "$CLUSTER_RUN/$1"
}

# The address of the servers, the ways to it, and what pods may do: an engine forwards nothing that it does not know.
cluster_network() {
  local range taken
  for range in "$CLUSTER_PODS" "$CLUSTER_SERVICES" "$CLUSTER_ADDRESS"; do
    taken=$(ip -4 route show root "$range" && ip -4 route show match "$range" scope link | grep -v '^default') || true
    if [[ -n $taken ]]; then
      cluster_say "the addresses $range are in use here: $taken"
      return 1
    fi
  done
  # The first is not there in every kernel, and a bridge without members does as well.
  engine_root ip link add "$CLUSTER_DEVICE" type dummy 2>/dev/null || engine_root ip link add "$CLUSTER_DEVICE" type bridge || return
  engine_root ip address add "$CLUSTER_ADDRESS/32" dev "$CLUSTER_DEVICE" &&
    engine_root ip link set "$CLUSTER_DEVICE" up &&
    engine_root ip route add "$CLUSTER_SERVICES" dev "$CLUSTER_DEVICE" || return
  # Without this a pod gets answers of a service from an address that it never asked.
  engine_root modprobe --quiet br_netfilter 2>/dev/null || true
  if [[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]]; then
    engine_root sysctl --quiet --write net.bridge.bridge-nf-call-iptables=1 || return
  fi
  engine_root sysctl --quiet --write net.ipv4.ip_forward=1 || return
  # The ports of nodes are reached from the machine itself too; kube-proxy sets this for that.
  cluster_write route_localnet </proc/sys/net/ipv4/conf/all/route_localnet || return
  cluster_iptables --append FORWARD --in-interface "$CLUSTER_BRIDGE" --jump ACCEPT &&
    cluster_iptables --append FORWARD --out-interface "$CLUSTER_BRIDGE" --jump ACCEPT &&
    cluster_iptables --table nat --append POSTROUTING --source "$CLUSTER_PODS" ! --destination "$CLUSTER_PODS" --jump MASQUERADE
}

# Each rule says whose it is; by that it is removed.
cluster_iptables() {
  cluster_path iptables --wait "$@" --match comment --comment straddle-cluster
}

# cluster_launch NAME COMMAND...: starts a program in the background, in a session of its own.
cluster_launch() {
  local name=$1
  shift
  # The file of the process id is there when this returns: whoever waits for the program then notices its end.
  # shellcheck disable=SC2016 # the inner shell expands
  cluster_path sh -c '
    run=$1 name=$2
    shift 2
    rm -f "$run/$name.pid"
    cd / && setsid sh -c '\''echo "$$" >"$0.pid.new" && mv "$0.pid.new" "$0.pid" && exec "$@"'\'' "$run/$name" "$@" \
      >>"$run/log/$name.log" 2>&1 </dev/null &
    tries=0
    until [ -e "$run/$name.pid" ]; do
      tries=$((tries + 1))
      [ "$tries" -lt 100 ] || exit 1
      sleep 0.05
    done' sh "$CLUSTER_RUN" "$name" "$@" || {
    cluster_say "$name cannot be started"
    return 1
  }
}

cluster_await() {
  "$CLUSTER_RUN/bin/cluster" await -kubeconfig "$CLUSTER_KUBECONFIG" -run "$CLUSTER_RUN" -image "$CLUSTER_IMAGE" "$1"
}

cluster_apply() {
  "$CLUSTER_RUN/bin/cluster" apply -kubeconfig "$CLUSTER_KUBECONFIG" "$CLUSTER_RUN/$1.yaml"
}

# Waits until containerd answers.
cluster_await_socket() {
  local tries
  for ((tries = 0; tries < CLUSTER_DEADLINE * 10; tries++)); do
    if engine_root ctr --address "$CLUSTER_SOCKET" version >/dev/null 2>&1; then return; fi
    cluster_pid "$1" >/dev/null || break
    sleep 0.1
  done
  cluster_say "$1 does not answer; the end of $CLUSTER_RUN/log/$1.log:"
  tail -n 20 "$CLUSTER_RUN/log/$1.log" | sed 's/^/  | /' >&2
  return 1
}

# The process of one of the cluster's programs, if it runs.
cluster_pid() {
  local pid comm
  pid=$(cat "$CLUSTER_RUN/$1.pid" 2>/dev/null) && comm=$(cat "/proc/$pid/comm" 2>/dev/null) || return
  # The kernel keeps the first letters; in a moment it is still the shell that becomes the program.
  [[ $comm == "${1:0:15}" || $comm == sh ]] && printf '%s\n' "$pid"
}

# Whether a process runs: one that ended may be listed until somebody asks what became of it.
cluster_runs() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) && [[ ${stat##*) } != Z* ]]
}

# Ends a program, and waits for that.
cluster_end_program() {
  local pid tries
  if pid=$(cluster_pid "$1"); then
    for ((tries = 0; tries < 200; tries++)); do
      # One that does not end in ten seconds gets no more time: nothing of it is kept.
      if ((tries == 0)); then engine_root kill "$pid" 2>/dev/null || true; fi
      if ((tries == 100)); then engine_root kill -KILL "$pid" 2>/dev/null || true; fi
      cluster_runs "$pid" || break
      sleep 0.1
    done
    if cluster_runs "$pid"; then
      cluster_say "$1 does not end"
      return 1
    fi
  fi
  engine_root rm -f "$CLUSTER_RUN/$1.pid"
}

# Ends the cluster, and removes what is left of it even where it was killed before: each part goes on where others fail.
cluster_end() {
  local index name
  for ((index = ${#CLUSTER_PROGRAMS[@]} - 1; index >= 0; index--)); do
    name=${CLUSTER_PROGRAMS[index]}
    # Nobody starts pods any more by then; the runtime takes their networks and mounts with them.
    if [[ $name == containerd ]] && cluster_pid containerd >/dev/null; then
      cluster_sweep || true
    fi
    cluster_end_program "$name" || return
  done
  cluster_end_containers
  cluster_end_network
  cluster_unmount
  engine_root rm -rf "$CLUSTER_RUN" "$CLUSTER_DATA"
}

# Containers outlive their runtime, if that was killed: their keepers know its socket.
cluster_end_containers() {
  local keeper processes
  for keeper in $(pgrep --full -- "-address $CLUSTER_SOCKET"); do
    mapfile -t processes < <(pgrep --parent "$keeper")
    engine_root kill -KILL "${processes[@]}" "$keeper" 2>/dev/null || true
  done
  # The folders in which the kubelet accounted for them, from the inside out; and the places that it does not let us choose.
  engine_root find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
  engine_root rm -f /var/lib/kubelet/device-plugins/kubelet.sock /var/lib/kubelet/device-plugins/kubelet_internal_checkpoint
  engine_root find /var/log/containers -lname "$CLUSTER_DATA/*" -delete 2>/dev/null || true
  engine_root rmdir /var/log/containers /var/lib/kubelet/device-plugins /var/lib/kubelet 2>/dev/null || true
}

cluster_end_network() {
  local chain pods=${CLUSTER_PODS%.*.*}
  if engine_root test -x "$CLUSTER_RUN/bin/kube-proxy"; then
    cluster_path "$CLUSTER_RUN/bin/kube-proxy" --cleanup >/dev/null 2>&1 || true
  fi
  cluster_end_rules filter '--comment straddle-cluster'
  cluster_end_rules nat '--comment straddle-cluster'
  # What kube-proxy leaves.
  cluster_end_chain filter KUBE-FIREWALL
  # Ports of the host: those of our pods, and what leads to such ports unless another network of the machine has some.
  for chain in $(cluster_rules nat "--to-destination ${pods//./\\.}\\." | sed 's/^-A \([^ ]*\) .*/\1/' | sort --unique); do
    if [[ $chain == CNI-DN-* ]]; then
      cluster_end_ports "$chain"
      cluster_end_chain nat "$chain"
    fi
  done
  if [[ -z $(cluster_rules nat '-A CNI-DN-') ]]; then
    for chain in CNI-HOSTPORT-DNAT CNI-HOSTPORT-SETMARK CNI-HOSTPORT-MASQ; do cluster_end_chain nat "$chain"; done
  fi
  if [[ -s $CLUSTER_RUN/route_localnet ]]; then
    engine_root sysctl --quiet --write "net.ipv4.conf.all.route_localnet=$(<"$CLUSTER_RUN/route_localnet")" || true
  fi
  engine_root ip link delete "$CLUSTER_DEVICE" 2>/dev/null || true
  engine_root ip link delete "$CLUSTER_BRIDGE" 2>/dev/null || true
}

# cluster_rules TABLE PATTERN: the rules of a table that a pattern matches.
cluster_rules() {
  cluster_path iptables --wait --table "$1" --list-rules 2>/dev/null | grep --regexp="$2" || true
}

cluster_end_rules() {
  local rule
  while read -r rule; do
    # Rules print as the arguments that make them, with quotes.
    cluster_path xargs iptables --wait --table "$1" --delete <<<"${rule#-A }" || true
  done < <(cluster_rules "$1" "$2")
}

# Removes the rule that leads to the ports of a pod. Quotes within quotes keep it from being named by its arguments, and
# no engine changes the chain meanwhile: its number does.
cluster_end_ports() {
  local number
  number=$(cluster_rules nat '-A CNI-HOSTPORT-DNAT ' | sed --quiet "/-j $1\$/=")
  if [[ -n $number ]]; then cluster_path iptables --wait --table nat --delete CNI-HOSTPORT-DNAT "$number" || true; fi
}

# Removes a chain, and first the rules that lead to it.
cluster_end_chain() {
  cluster_end_rules "$1" "-j $2\$"
  if cluster_path iptables --wait --table "$1" --flush "$2" 2>/dev/null; then
    cluster_path iptables --wait --table "$1" --delete-chain "$2" || true
  fi
}

# Runs a command as root, with the folders of what only root runs.
cluster_path() {
  engine_root env "PATH=$PATH:/usr/sbin:/sbin" "$@"
}

cluster_unmount() {
  local mounts
  mapfile -t mounts < <(awk -v run="$CLUSTER_RUN/" -v data="$CLUSTER_DATA/" \
    'index($5, run) == 1 || index($5, data) == 1 { print $5 }' /proc/self/mountinfo | sort --reverse)
  if ((${#mounts[@]} > 0)); then engine_root umount --lazy "${mounts[@]}" || true; fi
}

cluster_say() {
  printf 'cluster: %s\n' "$*" >&2
}
