# Layouts, archives and folders: what `longshore copy` writes is read by skopeo, crane, podman and docker, and theirs are
# read by it. The registry is asked directly; the proxy has no part in it.
# shellcheck shell=bash

archives_start() {
    upstream_start v3
    proxy_stop
    containers_conf
    rm -rf --one-file-system "$work/archives"
    mkdir -p "$work/archives"
}

archives_copy() { limit 120 "$LONGSHORE_BIN" copy --quiet "$@"; }

archives_skopeo() {
    limit 120 skopeo --policy "$work/clients/containers/policy.json" copy -q --src-tls-verify=false "$@"
}

archives_registry() { printf 'docker://127.0.0.1:%s/%s:%s' "$REGISTRY_PORT" "$(fact "$1" repository)" "$(fact "$1" tag)"; }

# archives_are DIR IMAGE   fails unless the folder that `dir:` names has the image's configuration, and every blob its digest.
archives_are() {
    local file
    same "$(fact "$2" config)" "$(jq -r .config.digest "$1/manifest.json")" "the configuration of $2"
    for file in "$1"/*; do
        [[ ${file##*/} =~ ^[0-9a-f]{64}$ ]] || continue
        same "sha256:${file##*/}" "$(sha256_of "$file")" "a blob of $2"
    done
    # The layers are all there.
    for file in $(jq -r '.layers[].digest' "$1/manifest.json"); do
        [[ -f $1/${file#sha256:} ]] || die "$file is missing"
    done
}

archives_names() {
    printf '%s\n' "oci:$work/archives/layout:v1" "oci-archive:$work/archives/layout.tar:v1" \
        "docker-archive:$work/archives/image.tar:e2e/copy:1" "dir:$work/archives/folder"
}

# archives_skopeo_case IMAGE   ours read by skopeo, then skopeo's read by us.
archives_skopeo_case() {
    local name
    archives_start
    while read -r name; do
        archives_copy "$(archives_registry "$1")" "$name"
        archives_skopeo "$name" "dir:$work/archives/seen"
        archives_are "$work/archives/seen" "$1"
        rm -rf "$work/archives"/*
    done < <(archives_names)
    while read -r name; do
        archives_skopeo "$(archives_registry "$1")" "$name"
        archives_copy "$name" "dir:$work/archives/seen"
        archives_are "$work/archives/seen" "$1"
        rm -rf "$work/archives"/*
    done < <(archives_names)
}

# All images of an index: skopeo finds each of them.
archives_index_case() {
    archives_start
    archives_copy --all "$(archives_registry multi)" "oci:$work/archives/layout:v1"
    archives_skopeo --all "oci:$work/archives/layout:v1" "dir:$work/archives/seen"
    same "$(fact multi digest)" "$(sha256_of "$work/archives/seen/manifest.json")" "the index"
    archives_skopeo --all "$(archives_registry multi)" "oci-archive:$work/archives/theirs.tar:v1"
    same "$(fact multi digest)" "$(limit 60 "$LONGSHORE_BIN" digest "oci-archive:$work/archives/theirs.tar")" "skopeo's index"
}

# crane pushes a layout of ours, byte for byte.
archives_crane_case() {
    archives_start
    crane_start
    archives_copy "$(archives_registry small)" "oci:$work/archives/layout:v1"
    crane_cli push "$work/archives/layout" "127.0.0.1:$REGISTRY_PORT/e2e/pushed:1"
    same "$(fact small digest)" "$(crane_cli digest "127.0.0.1:$REGISTRY_PORT/e2e/pushed:1")" "the digest that crane pushed"
    crane_cli pull "127.0.0.1:$REGISTRY_PORT/e2e/small:1" "$work/archives/theirs.tar"
    archives_copy "docker-archive:$work/archives/theirs.tar" "dir:$work/archives/seen"
    archives_are "$work/archives/seen" small
}

# archives_engine_case ENGINE   docker and podman load a file of ours, and their own are read by us.
archives_engine_case() {
    local name=docker.io/e2e/copy:1
    [[ $1 == docker ]] || name=localhost/e2e/copy:1
    archives_start
    "$1_start"
    "$1_empty"
    archives_copy "$(archives_registry many)" "docker-archive:$work/archives/ours.tar:$name"
    "$1_cli" load -q -i "$work/archives/ours.tar"
    "$1_holds" "$name" many
    "$1_cli" save -o "$work/archives/theirs.tar" "$name"
    archives_copy "docker-archive:$work/archives/theirs.tar" "dir:$work/archives/seen"
    archives_are "$work/archives/seen" many
    "$1_empty"
}

add_case archives/skopeo-oci archives_skopeo_case small
add_case archives/skopeo-index archives_index_case
add_case archives/crane archives_crane_case
for client in docker podman; do
    add_case "archives/$client" archives_engine_case "$client"
done
