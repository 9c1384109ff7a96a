# What needs no runtime to see: the names of one image, statuses, HEAD on a cold cache, TLS on the plain port.
# shellcheck shell=bash

# The same image by every shape of a URL is one entry of the cache.
names_case() {
    local prefix digest size
    read -r digest size < <(largest_blob small)
    upstream_start v3
    proxy_start_empty 'revalidate = "1h"'
    for prefix in "v2/e2e/small %s?ns=docker.io" "v2/e2e/small %s?ns=registry-1.docker.io" "v2/e2e/small %s?ns=Index.Docker.IO" \
        "v2/docker.io/e2e/small %s" "docker.io/v2/e2e/small %s" "docker.io/v2/e2e/small %s?ns=docker.io" "v2/e2e/small %s"; do
        note "$prefix"
        same 200 "$(ask GET "/${prefix/ %s//manifests/1}")" "the manifest by $prefix"
        same "$(fact small digest)" "$(sha256_of "$work/body")" "the manifest by $prefix"
        same 200 "$(ask GET "/${prefix/ %s//blobs/$digest}")" "the blob by $prefix"
        same "$digest" "$(sha256_of "$work/body")" "the blob by $prefix"
    done
    # One-part names are the library's on Docker Hub.
    same 200 "$(ask GET "/v2/docker.io/list/manifests/1")" "docker.io/list"
    same 200 "$(ask GET "/v2/library/list/manifests/1?ns=docker.io")" "docker.io/library/list"
    same 1 "$(gets "$(fact small digest)")" "GETs of the manifest that upstream answered"
    sent "$digest" "$size" "the blob"
    same 1 "$(gets "$(fact list digest)")" "GETs of the index that upstream answered"
    # Another upstream is another entry, and an unknown one is none.
    same 200 "$(ask GET "/v2/up.test/e2e/small/manifests/1")" "up.test"
    same 404 "$(ask GET "/v2/e2e/small/manifests/1?ns=unknown.test")" "an upstream that is not configured"
    same NAME_UNKNOWN "$(jq -r '.errors[0].code' "$work/body")" "its code"
}

# HEAD on a cold cache: no body, right headers, and no fill.
head_case() {
    local digest size
    read -r digest size < <(largest_blob medium)
    upstream_start v3
    proxy_start_empty
    same 200 "$(ask HEAD /v2/e2e/medium/manifests/1)" "HEAD of a manifest"
    same "$(fact medium digest)" "$(header docker-content-digest)" "its digest"
    same application/vnd.oci.image.manifest.v1+json "$(header content-type)" "its type"
    [[ $(header content-length) -gt 100 ]] || die "its length is $(header content-length)"
    same 200 "$(ask HEAD "/v2/e2e/medium/blobs/$digest")" "HEAD of a blob"
    same "$size" "$(header content-length)" "its length"
    sent "$digest" 0 "the blob"
}

# status_case FAULT EXPECTED   what a client is told when upstream does that and nothing is cached.
status_case() {
    local begin=$SECONDS
    upstream_start v3
    proxy_start_empty
    faults "$1 match=/manifests/"
    same "$2" "$(ask GET /v2/e2e/small/manifests/1)" "the status"
    below $((SECONDS - begin)) 15 "seconds until the answer"
    same application/json "$(header content-type)" "the type of the error"
    [[ $(jq -r '.errors[0].code' "$work/body") =~ ^[A-Z_]+$ ]] || die "no code in $(<"$work/body")"
}

stale_case() {
    local fault digest
    upstream_start v3
    proxy_start_empty 'revalidate = "0s"'
    same 200 "$(ask GET /v2/e2e/small/manifests/1)" "the tag while upstream answers"
    read -r digest _ < <(largest_blob small)
    same 200 "$(ask GET "/v2/e2e/small/blobs/$digest")" "its layer"
    same 200 "$(ask GET "/v2/e2e/small/blobs/$(fact small config)")" "its config"
    kept "$digest" "$(fact small config)"
    for fault in "status code=500" "status code=429" reset html; do
        proxy_stop
        proxy_start 'revalidate = "0s"'
        faults "$fault match=/manifests/"
        same 200 "$(ask GET /v2/e2e/small/manifests/1)" "the tag when upstream does $fault"
        same stale "$(header x-cache)" "X-Cache"
    done
}

tls_case() {
    local answer
    upstream_start v3
    proxy_start_empty
    answer=$(limit 10 python3 - "$PROXY_PORT" <<'PYTHON'
import socket, ssl, sys, time
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
begin = time.monotonic()
try:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=8) as plain:
        context.wrap_socket(plain)
    print("a TLS session")
except TimeoutError:
    print("no answer")
except OSError:
    print("closed" if time.monotonic() - begin < 0.5 else "closed late")
PYTHON
    )
    same closed "$answer" "TLS on the plain port"
}

# The tools that people use on a registry by hand.
tools_case() {
    upstream_start v3
    proxy_start_empty 'revalidate = "0s"'
    crane_start
    regctl_start
    same "$(fact multi digest)" "$(crane_cli digest "$(crane_reference "$(by_tag multi)")")" "crane digest"
    crane_cli manifest "$(crane_reference "$(by_tag multi)")" >"$work/body"
    same "$(fact multi digest)" "$(sha256_of "$work/body")" "crane manifest"
    same 1 "$(crane_cli ls "$(crane_reference docker.io/e2e/multi)")" "crane ls"
    crane_cli validate --remote "$(crane_reference "$(by_tag small)")"
    same "$(fact multi digest)" "$(regctl_cli image digest "$(by_tag multi)")" "regctl image digest"
    same "$(fact multi digest)" "$(regctl_cli manifest head "$(by_tag multi)")" "regctl manifest head"
    regctl_cli manifest get --format raw-body "$(by_tag list)" >"$work/body"
    same "$(fact list digest)" "$(sha256_of "$work/body")" "regctl manifest get"
    same 1 "$(regctl_cli tag ls docker.io/e2e/multi)" "regctl tag ls"
}

# BuildKit inside dockerd asks the same mirror, with ns.
buildkit_case() {
    upstream_start v3
    proxy_start_empty
    docker_start
    docker_empty
    mkdir -p "$work/context"
    printf 'FROM %s\nLABEL built=yes\n' "$(by_tag small)" >"$work/context/Dockerfile"
    DOCKER_BUILDKIT=1 docker_cli build -q -t built "$work/context"
    same yes "$(docker_cli image inspect --format '{{.Config.Labels.built}}' built)" "the built image's label"
    docker_empty
    docker_cli builder prune -af >/dev/null
}

# No file and no set-up: the short form of the command line, and the data where a user's data goes.
no_file_case() {
    upstream_start v3
    proxy_stop
    rm -rf "$work/xdg"
    XDG_DATA_HOME=$work/xdg daemon proxy "$LONGSHORE_BIN" serve --listen "127.0.0.1:$PROXY_PORT" \
        --upstream "docker.io=http://127.0.0.1:$GATE_PORT"
    wait_for 20 "the proxy to answer" answers "http://127.0.0.1:$PROXY_PORT/v2/"
    same 200 "$(ask GET /v2/e2e/small/manifests/1)" "the manifest"
    [[ -d $work/xdg/longshore/blobs ]] || die "nothing was kept in $work/xdg/longshore"
}

# What an operator looks at.
operator_case() {
    upstream_start v3
    proxy_start_empty 'revalidate = "1h"'
    same 200 "$(ask GET /healthz)" /healthz
    same 200 "$(ask GET /readyz)" /readyz
    same 200 "$(ask GET /v2/e2e/small/manifests/1)" "a miss"
    same miss "$(header x-cache)" "X-Cache"
    same 200 "$(ask GET /v2/e2e/small/manifests/1)" "a hit"
    same hit "$(header x-cache)" "X-Cache"
    same 200 "$(ask GET /metrics)" /metrics
    for outcome in miss hit; do
        grep -qE "^longshore_requests_total\{.*outcome=\"$outcome\".*\} 1$" "$work/body" || die "no $outcome in the metrics"
    done
}

add_case no-file no_file_case
add_case operator operator_case
add_case names names_case
add_case head head_case
add_case status/401 status_case "status code=401" 403
add_case status/403 status_case "status code=403" 403
add_case status/404 status_case "status code=404" 404
add_case status/429 status_case "status code=429" 503
add_case status/500 status_case "status code=500" 502
add_case status/503 status_case "status code=503" 502
add_case status/html status_case html 502
add_case status/reset status_case reset 502
add_case status/hang status_case hang 504
add_case stale stale_case
add_case tls tls_case
add_case tools tools_case
add_case buildkit buildkit_case
