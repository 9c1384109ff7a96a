# Every client pulls through the proxy from both registries; upstream sends each object once; then the registry is
# stopped, the client emptied, and it pulls the same again.
# shellcheck shell=bash

# pull_case REGISTRY CLIENT
pull_case() {
    local registry=$1 client=$2 large=big
    # The big one takes the runtimes long to unpack: once is enough.
    [[ $registry == v3 ]] || large=medium
    upstream_start "$registry"
    # A tag is asked after at every pull, so that the second round really meets an upstream that is gone.
    proxy_start_empty 'revalidate = "0s"'
    "${client}_start"
    "${client}_empty"

    client_pull_by_tag "$client" many
    client_pull_by_digest "$client" "$large"
    client_pull_by_tag "$client" multi
    client_pull_by_digest "$client" list
    fetched_once many "$large" multi list
    upstream_stop

    "${client}_empty"
    client_pull_by_tag "$client" many
    client_pull_by_tag "$client" multi
    "${client}_empty"
    client_pull_by_digest "$client" "$large"
    client_pull_by_digest "$client" multi
    client_pull_by_digest "$client" list
    "${client}_empty"
}

for registry in debian v3; do
    for client in "${CLIENTS[@]}"; do
        add_case "pull/$registry/$client" pull_case "$registry" "$client"
    done
done
