# An eStargz layer opened cold by containerd's own library: its last bytes come first, and every byte once.
# shellcheck shell=bash

lazy_case() {
    UPSTREAM_URL=http://127.0.0.1:$LAZY_PORT proxy_start_empty
    limit 120 "$tools/lazy" -upstream "127.0.0.1:$LAZY_PORT" -proxy "http://127.0.0.1:$PROXY_PORT" >"$work/lazy" ||
        die "the layer could not be read"
    cat "$work/lazy" >&2
}

add_case lazy lazy_case
