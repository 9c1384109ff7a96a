# Upstream lies through us while an honest second host stands behind: containerd ends with the right image from there
# whenever no wrong byte had left us; a large blob that is wrong in its middle fails the pull, and the next one succeeds.
# shellcheck shell=bash

# lie_case CLIENT IMAGE FAULT...   the fault hits the image's largest blob.
lie_case() {
    local client=$1 image=$2
    shift 2
    upstream_start v3
    proxy_start_empty
    "${client}_start"
    "${client}_empty"
    containerd_hosts "$client" "http://127.0.0.1:$PROXY_PORT" "http://127.0.0.1:$REGISTRY_PORT"
    faults "$(fault_on "$image" "$@")"
    client_pull_by_tag "$client" "$image"
    met_a_fault "$image"
    nothing_wrong_kept "$image"
    "${client}_empty"
    containerd_hosts "$client" "http://127.0.0.1:$PROXY_PORT"
}

# fault_on IMAGE KIND [OPTION]...   the line of the fault for the largest blob of the image.
fault_on() {
    local digest kind=$2
    digest=$(largest_blob "$1")
    printf '%s match=%s %s' "$kind" "${digest% *}" "${*:3}"
}

# Upstream was asked for the blob through us: the fault did happen.
met_a_fault() {
    local digest
    digest=$(largest_blob "$1")
    upstream_log | grep -q "/blobs/${digest% *}" || die "upstream was never asked for the blob"
}

# With an honest upstream the blob is right at the first whole request: nothing wrong was kept.
nothing_wrong_kept() {
    local digest size
    read -r digest size < <(largest_blob "$1")
    faults
    same 200 "$(ask GET "/v2/e2e/$1/blobs/$digest")" "the blob ($size bytes) once upstream is honest"
    same "$digest" "$(sha256_of "$work/body")" "the blob once upstream is honest"
}

# wrong_middle_case CLIENT   wrong bytes have left us before it can be known. dockerd may try again within the same pull.
wrong_middle_case() {
    local client=$1
    upstream_start v3
    proxy_start_empty
    "${client}_start"
    "${client}_empty"
    faults "$(fault_on medium wrong at=12000000 times=1)"
    if [[ $client == docker ]]; then
        docker_pull "$(by_tag medium)" || true
    else
        refused "a pull of a wrong blob" "${client}_pull" "$(by_tag medium)"
    fi
    met_a_fault medium
    faults
    [[ $client != containerd* ]] || containerd_forget_partial "$client"
    client_pull_by_tag "$client" medium
    "${client}_empty"
}

# manifest_case FAULT...   manifests are checked before anything of them is sent.
manifest_case() {
    local client=containerd24
    upstream_start v3
    containerd24_start
    containerd24_empty
    containerd_hosts "$client" "http://127.0.0.1:$PROXY_PORT" "http://127.0.0.1:$REGISTRY_PORT"
    # An upstream that hangs costs this for each of three objects.
    proxy_start_empty 'answer_within = "2s"'
    faults "$1 match=/manifests/ ${*:2}"
    client_pull_by_tag "$client" multi
    upstream_log | grep -q /manifests/ || die "upstream was never asked for a manifest"
    containerd24_empty
    faults
    containerd_hosts "$client" "http://127.0.0.1:$PROXY_PORT"
}

# podman keeps to a mirror that gave it a manifest, so it must move on at the manifest, and without a pause.
podman_moves_on_case() {
    local begin
    upstream_start v3
    proxy_start_empty
    podman_start
    podman_empty
    containers_conf "$(mirror_location)" "127.0.0.1:$REGISTRY_PORT"
    faults "status match=/manifests/ code=429"
    begin=$SECONDS
    client_pull_by_tag podman small
    below $((SECONDS - begin)) 15 "seconds until podman had the image from its next mirror"
    podman_empty
}

for client in containerd16 containerd24; do
    add_case "lies/html/$client" lie_case "$client" medium html
    add_case "lies/longer/$client" lie_case "$client" medium longer bytes=1000
    add_case "lies/shorter/$client" lie_case "$client" medium shorter bytes=1000
    add_case "lies/small/$client" lie_case "$client" small wrong at=5000
    add_case "lies/cut/$client" lie_case "$client" medium cut at=9000000
    add_case "lies/status-500/$client" lie_case "$client" medium status code=500
    add_case "lies/reset/$client" lie_case "$client" medium reset
done
for fault in html "status code=403" "status code=404" "status code=429" "status code=503" "wrong at=20" hang reset; do
    # shellcheck disable=SC2086
    add_case "manifest/${fault// /-}" manifest_case $fault
done
for client in containerd16 containerd24 docker podman; do
    add_case "lies/middle/$client" wrong_middle_case "$client"
done
add_case podman-moves-on podman_moves_on_case
