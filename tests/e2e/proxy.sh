# The program under test: started afresh by each case, always at the same address.
# shellcheck shell=bash

# E2E_PROXY=registry puts a registry that holds the images in its place, to try the clients without the proxy: it
# answers without an upstream and knows no names of upstreams, so only the cases `pull/…` can succeed.
stand_in() { [[ ${E2E_PROXY:-longshore} == registry ]]; }

# proxy_start [LINE]...   the proxy with what its store holds; the lines are added to the [defaults] of its configuration,
# $STORE_LINES to its [store], $UPSTREAM_LINES to its docker.io, which is at $UPSTREAM_URL or on $UPSTREAM_PORT if one is set, $FIRST_LINE to its start.
# $LAUNCHER is a command that runs it.
proxy_start() {
    proxy_stop
    if stand_in; then
        proxy_start_stand_in
    else
        mkdir -p "$work/store"
        cat >"$work/longshore.toml" <<TOML
${FIRST_LINE:-}
[store]
$(store_lines)
${STORE_LINES:-}
[defaults]
$(printf '%s\n' "$@")
[upstreams."docker.io"]
endpoints = ["${UPSTREAM_URL:-http://127.0.0.1:${UPSTREAM_PORT:-$GATE_PORT}}"]
${UPSTREAM_LINES:-}
[upstreams."up.test"]
endpoints = ["http://127.0.0.1:$GATE_PORT"]
TOML
        # shellcheck disable=SC2086
        LONGSHORE_LOG=${LONGSHORE_LOG:-info} daemon proxy ${LAUNCHER:-} "$LONGSHORE_BIN" serve \
            --config "$work/longshore.toml" --listen "127.0.0.1:$PROXY_PORT"
    fi
    wait_for 20 "the proxy to answer" answers "http://127.0.0.1:$PROXY_PORT/v2/"
}

store_lines() {
    if [[ ${STORE:-file} == s3 ]]; then
        # The folder that holds the spool is the local tier.
        printf 'url = "s3://longshore/cache"\nspool = "%s/spool"\n' "$work/store"
    else
        printf 'url = "file://%s"\n' "$work/store"
    fi
}

proxy_start_stand_in() {
    sed "s/addr: .*/addr: 127.0.0.1:$PROXY_PORT/" "$work/registry.yml" >"$work/proxy.yml"
    OTEL_TRACES_EXPORTER=none daemon proxy "$tools/registry" serve "$work/proxy.yml"
}

# proxy_stop [SIGNAL]   SIGTERM lets it drain, which takes its time; between cases it is simply killed.
proxy_stop() { stop proxy "${1:-KILL}"; }

# A proxy that has never seen anything.
proxy_start_empty() {
    proxy_stop
    store_wipe
    proxy_start "$@"
}

# With STORE=s3 this is the local tier only.
store_wipe() { rm -rf --one-file-system "$work/store"; }

# kept DIGEST...   waits until the store has these blobs: clients have the last byte of a blob a moment before.
kept() {
    local digest hex
    for digest in "$@"; do
        hex=${digest#sha256:}
        wait_for 10 "$digest to be kept" test -f "$work/store/blobs/sha256/${hex:0:2}/$hex"
    done
}

# ask METHOD PATH [CURL-OPTION]...   prints the status; the body is in $work/body, the headers in $work/headers.
ask() {
    local method=$1 path=$2 option=()
    shift 2
    [[ $method == HEAD ]] && option=(--head)
    : >"$work/body"
    limit 60 curl -sS -X "$method" "${option[@]}" -o "$work/body" -D "$work/headers" -w '%{http_code}' "$@" \
        "http://127.0.0.1:$PROXY_PORT$path"
}

# header NAME   of the last answer.
header() { sed -n "s/^$1: *//Ip" "$work/headers" | tr -d '\r' | tail -n 1; }
