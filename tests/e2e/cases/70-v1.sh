# An image of a registry of protocol v1, which no client of today speaks: pulled by each through the proxy, and again by
# tag and by digest when that registry is gone.
# shellcheck shell=bash

# v1_start [OPTION]...   the registry, and the proxy before it.
v1_start() {
    upstream_stop
    fixture_start v1-registry --repository e2e/old --layers 5 --bytes 200000 "$@"
    UPSTREAM_PORT=$(fixture_port v1-registry)
    # A tag is asked after at every pull, so that the second round really meets an upstream that is gone.
    proxy_start_empty 'revalidate = "0s"'
}

# The layers are those of the registry, as it sends them.
v1_layers_are_right() {
    same "$(fixture_says v1-registry '.layers[].digest')" "$(sed 1d "$work/images/old/blobs" | sed 's/ .*//')" "the layers"
}

# v1_case CLIENT [OPTION]...
v1_case() {
    local client=$1
    shift
    v1_start "$@"
    "${client}_start"
    "${client}_empty"
    # Cold, so that the client waits for the conversion.
    "${client}_pull" docker.io/e2e/old:1
    facts_of old e2e/old 1
    v1_layers_are_right
    "${client}_holds" "$(by_tag old)" old
    fixture_stop v1-registry

    "${client}_empty"
    client_pull_by_tag "$client" old
    "${client}_empty"
    client_pull_by_digest "$client" old
    proxy_stop
    proxy_start 'revalidate = "0s"'
    "${client}_empty"
    client_pull_by_digest "$client" old
    client_pull_by_tag "$client" old
    "${client}_empty"
}

# Two proxies that know nothing of each other give the same digests.
v1_same_digest_case() {
    local digest
    v1_start
    facts_of old e2e/old 1
    digest=$(fact old digest)
    v1_start
    facts_of old e2e/old 1
    same "$digest" "$(fact old digest)" "the digest"
    fixture_stop v1-registry
}

# v1_tags_case   the tags, as v2 lists them; and one that is not there.
v1_tags_case() {
    v1_start
    same 200 "$(ask GET /v2/e2e/old/tags/list)" "the tags"
    same '{"name":"e2e/old","tags":["1"]}' "$(jq -c . "$work/body")" "the tags"
    same 404 "$(ask GET /v2/e2e/old/manifests/2)" "a tag that is not there"
    fixture_stop v1-registry
}

# v1_login_case STATUS LINES [OPTION]...
v1_login_case() {
    local status=$1
    UPSTREAM_LINES=$2
    shift 2
    v1_start "$@"
    same "$status" "$(ask GET /v2/e2e/old/manifests/1)" "the status"
    ! grep -q s3cr3t-word "$work/logs/proxy.log" || die "the password is in the log"
    fixture_stop v1-registry
}

for client in docker containerd16 containerd24 podman skopeo buildah regctl; do
    add_case "v1/standalone/$client" v1_case "$client"
done
for client in docker containerd16 containerd24 podman skopeo; do
    add_case "v1/index/$client" v1_case "$client" --index --cookies --old --plain
done
add_case v1/same-digest v1_same_digest_case
add_case v1/tags v1_tags_case
for kind in standalone index; do
    add_case "v1/login/$kind/right" v1_login_case 200 'credentials = { username = "ann", password = "s3cr3t-word" }' \
        "--$kind" --login ann:s3cr3t-word
    add_case "v1/login/$kind/wrong" v1_login_case 502 'credentials = { username = "ann", password = "wrong" }' \
        "--$kind" --login ann:s3cr3t-word
    add_case "v1/login/$kind/none" v1_login_case 403 '' "--$kind" --login ann:s3cr3t-word
done
