# Signed schema 1: clients that no longer take it are given an image they do, the others the original bytes.
# shellcheck shell=bash

SCHEMA1=application/vnd.docker.distribution.manifest.v1+prettyjws

# schema1_start [OPTION]...   a registry with the image, and the proxy before it.
schema1_start() {
    upstream_stop
    fixture_start schema1 --repository e2e/signed --layers 4 --bytes 200000 "$@"
    UPSTREAM_PORT=$(fixture_port schema1)
    proxy_start_empty 'revalidate = "0s"'
}

# schema1_new_case CLIENT KEY   one that refuses schema 1.
schema1_new_case() {
    local client=$1
    schema1_start --key "$2"
    "${client}_start"
    "${client}_empty"
    "${client}_pull" docker.io/e2e/signed:1
    facts_of signed e2e/signed 1
    same "$(fixture_says schema1 '.layers[].digest')" "$(sed 1d "$work/images/signed/blobs" | sed 's/ .*//')" "the layers"
    "${client}_holds" "$(by_tag signed)" signed
    fixture_stop schema1
    "${client}_empty"
    client_pull_by_tag "$client" signed
    "${client}_empty"
    client_pull_by_digest "$client" signed
    "${client}_empty"
}

# schema1_old_case CLIENT KEY   one that takes it: it has the original, whose digest is that of the payload.
schema1_old_case() {
    local client=$1 digest
    schema1_start --key "$2"
    digest=$(fixture_says schema1 .digest)
    limit 10 curl -fsS -o "$work/signed.json" "http://127.0.0.1:$UPSTREAM_PORT/v2/e2e/signed/manifests/1"
    "${client}_start"
    "${client}_empty"
    "${client}_pull" docker.io/e2e/signed:1
    [[ $client != skopeo ]] || same "$(sha256_of "$work/signed.json")" "$(sha256_of "$work/clients/skopeo/manifest.json")" \
        "skopeo's manifest"
    "${client}_empty"
    "${client}_pull" "docker.io/e2e/signed@$digest"
    fixture_stop schema1
    "${client}_empty"
    "${client}_pull" docker.io/e2e/signed:1
    "${client}_empty"
    "${client}_pull" "docker.io/e2e/signed@$digest"
    "${client}_empty"
    for name in 1 "$digest"; do
        same 200 "$(ask GET "/v2/e2e/signed/manifests/$name" -H "Accept: $SCHEMA1")" "the original by $name"
        same "$(sha256_of "$work/signed.json")" "$(sha256_of "$work/body")" "the original by $name"
        same "$digest" "$(header docker-content-digest)" "its digest"
        same "$SCHEMA1" "$(header content-type)" "its type"
    done
}

# schema1_forged_case KEY FORGERY
schema1_forged_case() {
    schema1_start --key "$1" --forge "$2"
    containerd24_start
    containerd24_empty
    refused "a pull of a forged image" containerd24_pull docker.io/e2e/signed:1
    for accept in "$ACCEPT_V2" "$SCHEMA1"; do
        for name in 1 "$(fixture_says schema1 .digest)"; do
            same 502 "$(ask GET "/v2/e2e/signed/manifests/$name" -H "Accept: $accept")" "$name as $accept"
        done
    done
    fixture_stop schema1
    containerd24_empty
}

# schema1_real_case KEY   distribution itself takes what the fixture signed, and checks it; then the proxy before it.
schema1_real_case() {
    local digest from
    schema1_start --key "$1"
    from=http://127.0.0.1:$UPSTREAM_PORT/v2/e2e/signed
    UPSTREAM_PORT='' REGISTRY_LINES='compatibility: {schema1: {enabled: true}}'
    upstream_start debian
    for digest in $(fixture_says schema1 '.layers[].digest') "$EMPTY_LAYER"; do
        limit 10 curl -fsS -o "$work/body" "$from/blobs/$digest"
        schema1_push_blob "$digest"
    done
    limit 10 curl -fsS -o "$work/body" "$from/manifests/1"
    same 201 "$(limit 10 curl -sS -o /dev/null -w '%{http_code}' -X PUT -H "Content-Type: $SCHEMA1" --data-binary @"$work/body" \
        "http://127.0.0.1:$REGISTRY_PORT/v2/e2e/signed/manifests/1")" "the registry's answer to the manifest"
    proxy_start_empty 'revalidate = "0s"'
    containerd24_start
    containerd24_empty
    containerd24_pull docker.io/e2e/signed:1
    facts_of signed e2e/signed 1
    containerd24_holds "$(by_tag signed)" signed
    containerd24_empty
    same 200 "$(ask GET /v2/e2e/signed/manifests/1 -H "Accept: $SCHEMA1")" "the original"
    same "$(fixture_says schema1 .digest)" "$(header docker-content-digest)" "its digest"
    fixture_stop schema1
}

# The gzipped empty tar that stands for a step which changed no file.
EMPTY_LAYER=sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4

# schema1_push_blob DIGEST   pushes $work/body into the registry.
schema1_push_blob() {
    local location
    location=$(limit 10 curl -fsS -o /dev/null -D - -X POST "http://127.0.0.1:$REGISTRY_PORT/v2/e2e/signed/blobs/uploads/" |
        tr -d '\r' | sed -n 's/^Location: //Ip')
    limit 10 curl -fsS -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' --data-binary @"$work/body" \
        "$location&digest=$1"
}

for key in es256 rs256 x5c; do
    for client in containerd16 containerd24; do
        add_case "schema1/$key/$client" schema1_new_case "$client" "$key"
    done
    add_case "schema1/$key/real" schema1_real_case "$key"
    for forgery in signature payload history; do
        add_case "schema1/$key/forged-$forgery" schema1_forged_case "$key" "$forgery"
    done
done
for client in docker podman skopeo; do
    add_case "schema1/original/$client" schema1_old_case "$client" es256
done
