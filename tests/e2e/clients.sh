# The clients. Each has four functions, and begins empty:
#   NAME_start            what it needs to run at all; does nothing when that runs already
#   NAME_pull REFERENCE   pulls docker.io/…:tag or docker.io/…@digest through the proxy, and through nothing else
#   NAME_holds REFERENCE IMAGE   fails unless what it pulled is that image
#   NAME_empty            forgets every image and layer
# shellcheck shell=bash

CLIENTS=(docker containerd16 containerd24 podman skopeo buildah crane regctl)

client_pull_by_tag() {
    "$1_pull" "$(by_tag "$2")"
    "$1_holds" "$(by_tag "$2")" "$2"
}

client_pull_by_digest() {
    "$1_pull" "$(by_digest "$2")"
    "$1_holds" "$(by_digest "$2")" "$2"
}

# --- dockerd 20.10 with its own store: registry-mirrors, no ns, pings /v2/ ---

docker_cli() {
    DOCKER_CONFIG=$work/clients/docker/config limit 120 /usr/bin/docker -H "unix://$work/clients/docker/sock" "$@"
}

docker_start() {
    running dockerd && return
    local dir=$work/clients/docker
    containerd16_start
    mkdir -p "$dir/config"
    docker_mirror "$PROXY_PORT"
    PATH=/usr/sbin:/usr/bin:/sbin:/bin daemon dockerd /usr/sbin/dockerd --config-file "$dir/daemon.json" \
        --data-root "$dir/root" --exec-root "$dir/exec" --pidfile "$dir/pid" --host "unix://$dir/sock" \
        --containerd "$work/clients/containerd16/sock"
    wait_for 40 "dockerd to answer" docker_answers
}

docker_answers() { docker_cli version >/dev/null 2>&1; }

# docker_mirror PORT   the mirror that dockerd asks: read at its start and by SIGHUP.
docker_mirror() {
    cat >"$work/clients/docker/daemon.json" <<JSON
{"registry-mirrors": ["http://127.0.0.1:$1"], "iptables": false, "ip6tables": false, "bridge": "none",
 "ip-forward": false, "ip-masq": false, "storage-driver": "vfs", "cgroup-parent": "/"}
JSON
    running dockerd || return 0
    kill -s HUP "$(<"$work/run/dockerd.pid")"
    wait_for 10 "dockerd to read its configuration" docker_mirror_is "$1"
}

docker_mirror_is() { docker_cli info --format '{{.RegistryConfig.Mirrors}}' | grep -q ":$1/"; }

docker_pull() { docker_cli pull -q "$1"; }
docker_holds() { same "$(fact "$2" config)" "$(docker_cli image inspect --format '{{.Id}}' "$1")" "dockerd's $1"; }

docker_empty() {
    local ids
    ids=$(docker_cli image ls -aq | sort -u)
    # shellcheck disable=SC2086
    [[ -z $ids ]] || docker_cli image rm -f $ids >/dev/null
    same "" "$(docker_cli image ls -aq)" "dockerd's images after emptying it"
}

# --- containerd 1.6 (Debian) and 2.4: hosts.toml, ?ns=, HEAD before GET ---

# containerd_start NAME PROGRAM CONFIGURATION   the configuration is added to what all have in common.
containerd_start() {
    local name=$1 dir=$work/clients/$1
    running "$name" && return
    mkdir -p "$dir/root" "$dir/state"
    containerd_hosts "$name" "http://127.0.0.1:$PROXY_PORT"
    cat >"$dir/config.toml" <<TOML
root = "$dir/root"
state = "$dir/state"
$3
[grpc]
address = "$dir/sock"
TOML
    daemon "$name" "$2" --config "$dir/config.toml"
    wait_for 40 "$name to answer" containerd_answers "$name"
}

containerd_answers() { containerd_ctr "$1" version >/dev/null 2>&1; }

# containerd_hosts NAME URL...   the hosts to ask for docker.io, in order. Behind them stands Docker Hub, out of reach.
containerd_hosts() {
    local dir=$work/clients/$1/hosts/docker.io url
    shift
    mkdir -p "$dir"
    printf 'server = "https://registry-1.docker.io"\n' >"$dir/hosts.toml"
    for url in "$@"; do
        printf '[host."%s"]\n  capabilities = ["pull", "resolve"]\n' "$url" >>"$dir/hosts.toml"
    done
}

containerd_ctr() {
    local ctr=/usr/bin/ctr
    [[ $1 == containerd16 ]] || ctr=$tools/ctr
    CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1 limit 120 "$ctr" --address "$work/clients/$1/sock" "${@:2}"
}

# Its progress is shown only when it fails.
containerd_pull() {
    local log=$work/clients/$1/pull.log code=0
    containerd_ctr "$1" images pull --snapshotter native --hosts-dir "$work/clients/$1/hosts" "$2" >"$log" 2>&1 || code=$?
    ((code == 0)) || { tail -n 5 "$log" && return "$code"; }
}

containerd_holds() {
    local found
    found=$(containerd_ctr "$1" images ls "name==$2" | awk 'NR == 2 { print $3 }')
    same "$(fact "$3" digest)" "$found" "$1's $2"
    containerd_ctr "$1" images check --snapshotter native "name==$2" | grep -q ' complete ' || die "$1's $2 is not complete"
}

containerd_empty() {
    local names
    names=$(containerd_ctr "$1" images ls -q)
    # shellcheck disable=SC2086
    [[ -z $names ]] || containerd_ctr "$1" images rm --sync $names >/dev/null
    wait_for 20 "$1 to forget its content" containerd_is_empty "$1"
}

# A blob that it has in part is resumed, even when that part is wrong, until garbage is collected: soon after the pull
# that failed, or now.
containerd_forget_partial() {
    containerd_ctr "$1" leases create --id e2e >/dev/null
    containerd_ctr "$1" leases delete --sync e2e >/dev/null
    wait_for 20 "$1 to forget partial blobs" containerd_has_no_partial "$1"
}

containerd_has_no_partial() { [[ -z $(containerd_ctr "$1" content active | sed 1d) ]]; }

containerd_is_empty() { [[ -z $(containerd_ctr "$1" content ls -q) ]]; }

containerd16_start() {
    containerd_start containerd16 /usr/bin/containerd 'version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]'
}
containerd16_pull() { containerd_pull containerd16 "$1"; }
containerd16_holds() { containerd_holds containerd16 "$@"; }
containerd16_empty() { containerd_empty containerd16; }

# The transfer service unpacks only into snapshotters it is told of.
CONTAINERD2='version = 3
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "native"'

containerd24_start() { containerd_start containerd24 "$tools/containerd" "$CONTAINERD2"; }
containerd24_pull() { containerd_pull containerd24 "$1"; }
containerd24_holds() { containerd_holds containerd24 "$@"; }
containerd24_empty() { containerd_empty containerd24; }

# The same program in chunked mode: several open-ended ranges of one blob at a time, each given up after its chunk.
chunked_start() {
    containerd_start chunked "$tools/containerd" "$CONTAINERD2
[plugins.'io.containerd.transfer.v1.local']
  max_concurrent_downloads = 3
  concurrent_layer_fetch_buffer = 4194304"
}
chunked_pull() { containerd_pull chunked "$1"; }
chunked_holds() { containerd_holds chunked "$@"; }
chunked_empty() { containerd_empty chunked; }

# --- podman 4.3, buildah 1.28, skopeo 1.9: registries.conf, the upstream's name in the path, pinned to one mirror ---

# containers_conf MIRROR...   the mirrors of docker.io, in order.
containers_conf() {
    local dir=$work/clients/containers mirror
    mkdir -p "$dir"
    printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$dir/policy.json"
    printf '[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n' >"$dir/registries.conf"
    for mirror in "$@"; do
        printf '[[registry.mirror]]\nlocation = "%s"\ninsecure = true\n' "$mirror" >>"$dir/registries.conf"
    done
    export CONTAINERS_REGISTRIES_CONF=$dir/registries.conf
}

mirror_location() { printf '127.0.0.1:%s%s' "$PROXY_PORT" "$(stand_in || printf /docker.io)"; }

podman_cli() {
    local dir=$work/clients/podman
    limit 120 podman --root "$dir/root" --runroot "$dir/run" --tmpdir "$dir/tmp" --storage-driver vfs \
        --cgroup-manager cgroupfs --events-backend file "$@"
}
podman_start() { containers_conf "$(mirror_location)"; }
podman_pull() { podman_cli pull -q --signature-policy "$work/clients/containers/policy.json" "$1"; }
podman_holds() { same "$(fact "$2" config)" "sha256:$(podman_cli image inspect --format '{{.Id}}' "$1")" "podman's $1"; }
podman_empty() { podman_cli image rm --all --force >/dev/null; }

buildah_cli() {
    local dir=$work/clients/buildah
    limit 120 buildah --root "$dir/root" --runroot "$dir/run" --storage-driver vfs "$@"
}
buildah_start() { containers_conf "$(mirror_location)"; }
buildah_pull() { buildah_cli pull -q --signature-policy "$work/clients/containers/policy.json" "$1"; }
buildah_holds() {
    same "$(fact "$2" config)" "sha256:$(buildah_cli inspect --type image --format '{{.FromImageID}}' "$1")" "buildah's $1"
}
buildah_empty() { buildah_cli rmi --all --force >/dev/null; }

skopeo_start() { containers_conf "$(mirror_location)"; }
skopeo_pull() {
    skopeo_empty
    limit 120 skopeo --policy "$work/clients/containers/policy.json" \
        --registries-conf "$work/clients/containers/registries.conf" copy -q "docker://$1" "dir:$work/clients/skopeo"
}
skopeo_holds() {
    local digest size
    same "$(fact "$2" manifest)" "$(sha256_of "$work/clients/skopeo/manifest.json")" "skopeo's manifest of $1"
    while read -r digest size; do
        same "$digest" "$(sha256_of "$work/clients/skopeo/${digest#sha256:}")" "skopeo's blob ($size bytes)"
    done <"$work/images/$2/blobs"
}
skopeo_empty() { rm -rf "$work/clients/skopeo"; }

# --- crane: the proxy is the registry; regctl: mirrors of its own, ns=registry-1.docker.io ---

crane_cli() { limit 120 "$tools/crane" --insecure "$@"; }
crane_reference() { printf '%s/%s' "$(mirror_location)" "${1#docker.io/}"; }
crane_start() { mkdir -p "$work/clients"; }
crane_pull() {
    crane_cli pull --platform "linux/$(crane_platform)" "$(crane_reference "$1")" "$work/clients/crane.tar"
}
crane_platform() { [[ $(uname -m) == aarch64 ]] && printf arm64/v8 || printf amd64; }
crane_holds() {
    local name
    name=$(tar -xOf "$work/clients/crane.tar" manifest.json | jq -r '.[0].Config')
    same "$(fact "$2" config)" "$name" "crane's config of $1"
    # crane checks each layer against its digest as it reads it.
}
crane_empty() { rm -f "$work/clients/crane.tar"; }

regctl_cli() { REGCTL_CONFIG=$work/clients/regctl/config.json limit 120 "$tools/regctl" "$@"; }
regctl_start() {
    mkdir -p "$work/clients/regctl"
    cat >"$work/clients/regctl/config.json" <<JSON
{"hosts": {"docker.io": {"mirrors": ["127.0.0.1:$PROXY_PORT"]}, "127.0.0.1:$PROXY_PORT": {"tls": "disabled"}}}
JSON
}
regctl_pull() {
    regctl_empty
    regctl_cli image copy --platform "linux/$(crane_platform)" "$1" "ocidir://$work/clients/regctl/layout:1"
}
regctl_holds() {
    local digest size
    same "$(fact "$2" manifest)" "$(jq -r '.manifests[0].digest' "$work/clients/regctl/layout/index.json")" "regctl's $1"
    while read -r digest size; do
        same "$digest" "$(sha256_of "$work/clients/regctl/layout/blobs/sha256/${digest#sha256:}")" "regctl's blob ($size bytes)"
    done <"$work/images/$2/blobs"
}
regctl_empty() { rm -rf "$work/clients/regctl/layout"; }
