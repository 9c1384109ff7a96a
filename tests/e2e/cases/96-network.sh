# Connections to upstream that die while they are idle: their packets vanish, and nobody is told.
# shellcheck shell=bash

net=longshore-e2e-$$
net_host=10.213.77.1
net_registry=10.213.77.2

# A registry in a network namespace of its own.
net_registry_start() {
    net_registry_stop
    ip netns add "$net"
    # The rules that drop come before the addresses of the machine itself.
    ip -n "$net" rule add pref 10 lookup local
    ip -n "$net" rule delete pref 0
    ip link add "le2e$$" type veth peer name upstream netns "$net"
    ip address add "$net_host/30" dev "le2e$$"
    ip link set "le2e$$" up
    ip -n "$net" address add "$net_registry/30" dev upstream
    ip -n "$net" link set upstream up
    cat >"$work/net-registry.yml" <<YAML
version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: $work/registry}
http:
  addr: $net_registry:$REGISTRY_PORT
YAML
    OTEL_TRACES_EXPORTER=none daemon registry ip netns exec "$net" "$tools/registry" serve "$work/net-registry.yml"
    wait_for 20 "the registry to listen" answers "http://$net_registry:$REGISTRY_PORT/v2/"
}

net_registry_stop() {
    stop registry
    ip link delete "le2e$$" 2>/dev/null || true
    ip netns delete "$net" 2>/dev/null || true
}

# The local ports of the proxy's connections to the registry.
net_ports() {
    ss -Htn state established dst "$net_registry:$REGISTRY_PORT" | awk '{ sub(/.*:/, "", $3); print $3 }'
}

# net_ask PATH   prints status and seconds.
net_ask() {
    limit 30 curl -sS -o /dev/null -H "Accept: $ACCEPT_V2" -w '%{http_code} %{time_total}\n' \
        "http://127.0.0.1:$PROXY_PORT$1"
}

dead_connections_case() {
    local direct=$NO_PROXY,$net_registry path port ports status seconds
    export NO_PROXY=$direct no_proxy=$direct
    upstream_stop
    trap net_registry_stop EXIT
    net_registry_start
    UPSTREAM_URL=http://$net_registry:$REGISTRY_PORT proxy_start_empty
    # Eight at once, so that there are as many connections.
    awk -v repository="$(fact many repository)" 'NR <= 8 { print "/v2/" repository "/blobs/" $1 }' "$work/images/many/blobs" |
        xargs -P 8 -I PATH curl -sS -o /dev/null "http://127.0.0.1:$PROXY_PORT"PATH
    ports=$(net_ports)
    [[ -n $ports ]] || die "no idle connection"
    for port in $ports; do
        ip -n "$net" rule add pref 1 ipproto tcp sport "$port" blackhole
    done
    for path in "/v2/$(fact small repository)/manifests/1" "/v2/$(fact medium repository)/manifests/1" \
        "/v2/$(fact multi repository)/manifests/1"; do
        read -r status seconds < <(net_ask "$path")
        same 200 "$status" "$path"
        awk -v s="$seconds" 'BEGIN { exit !(s < 4) }' || die "$path took $seconds s"
    done
    net_registry_stop
    trap - EXIT
}

add_case network/dead-connections dead_connections_case
