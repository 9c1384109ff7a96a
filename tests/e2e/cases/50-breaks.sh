# Things that break on the way: the connection to the client, and the proxy itself.
# shellcheck shell=bash

# cut_to_client_case CLIENT   our own connection is cut in the middle of a blob: the client resumes it.
cut_to_client_case() {
    local client=$1
    upstream_start v3
    proxy_start_empty
    "${client}_start"
    "${client}_empty"
    front_start
    printf '%s\n' "$(fault_on medium cut at=9000000 times=1)" >"$work/gates/front.faults"
    if [[ $client == docker ]]; then
        docker_mirror "$FRONT_PORT"
    else
        containerd_hosts "$client" "http://127.0.0.1:$FRONT_PORT"
    fi
    client_pull_by_tag "$client" medium
    grep -q $'bytes=.*\t206\t' "$work/gates/front.log" || die "$client did not resume with a range"
    fetched_once medium
    "${client}_empty"
    if [[ $client == docker ]]; then
        docker_mirror "$PROXY_PORT"
    else
        containerd_hosts "$client" "http://127.0.0.1:$PROXY_PORT"
    fi
    front_stop
}

# kill -9 while a blob is being filled: what is served afterwards is whole, and nothing is left over.
kill_case() {
    local digest size blob reader
    read -r digest size < <(largest_blob medium)
    blob=/v2/e2e/medium/blobs/$digest
    upstream_start v3
    proxy_start_empty
    faults "slow match=$digest rate=8000000"
    rm -f "$work/body"
    ask GET "$blob" >/dev/null &
    reader=$!
    wait_for 30 "half of the blob" at_least 12000000 "$work/body"
    proxy_stop
    wait "$reader" || true
    below "$(stat -c %s "$work/body")" "$size" "bytes that had come when the proxy was killed"

    faults
    proxy_start
    same 200 "$(ask GET "$blob")" "the blob after the kill"
    same "$digest" "$(sha256_of "$work/body")" "the blob after the kill"
    upstream_stop
    same 200 "$(ask GET "$blob")" "the blob, now kept"
    same "$digest" "$(sha256_of "$work/body")" "the blob, now kept"
    below "$(du -s --apparent-size -B1 "$work/store" | cut -f1)" $((size + 1000000)) "bytes in the store"
}

# SIGTERM: a body that is under way ends well, then the process ends by itself.
drain_case() {
    local digest size reader
    read -r digest size < <(largest_blob medium)
    upstream_start v3
    proxy_start_empty
    faults "slow match=$digest rate=8000000"
    rm -f "$work/body"
    ask GET "/v2/e2e/medium/blobs/$digest" >"$work/status" &
    reader=$!
    wait_for 30 "a part of the blob" at_least 4000000 "$work/body"
    kill -s TERM "$(<"$work/run/proxy.pid")"
    wait "$reader" || die "the body was cut off"
    same 200 "$(<"$work/status")" "the status of the body under way"
    same "$digest" "$(sha256_of "$work/body")" "the body under way ($size bytes)"
    wait_for 35 "the proxy to end" gone "$(<"$work/run/proxy.pid")"
    proxy_stop
}

at_least() { [[ -f $2 ]] && (($(stat -c %s "$2") >= $1)); }

add_case cut/containerd16 cut_to_client_case containerd16
add_case cut/containerd24 cut_to_client_case containerd24
add_case cut/docker cut_to_client_case docker
add_case kill kill_case
add_case drain drain_case
