# The store in a bucket: what the local tier has lost comes back from there, with the registry stopped.
# shellcheck shell=bash

bucket_case() {
    local client=containerd24
    upstream_start v3
    bucket_start
    STORE=s3
    proxy_start_empty
    "${client}_start"
    "${client}_empty"
    client_pull_by_tag "$client" many
    client_pull_by_digest "$client" big
    client_pull_by_tag "$client" multi
    fetched_once many big multi

    # It may still be handing the last blob to the bucket: it ends by itself only when that is done.
    proxy_stop TERM
    upstream_stop
    store_wipe
    proxy_start
    "${client}_empty"
    client_pull_by_tag "$client" many
    client_pull_by_digest "$client" big
    client_pull_by_tag "$client" multi
    "${client}_empty"
    proxy_stop
    bucket_stop
}

add_case bucket bucket_case
