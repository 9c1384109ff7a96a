# A store of 100,000 blobs: it answers at once, knows them soon, and needs little memory for each. An empty one starts at once.
# shellcheck shell=bash

start_case() {
    proxy_stop
    limit 170 python3 "$here/start.py" "$LONGSHORE_BIN" "$work/many"
    rm -rf "$work/many"
}

add_case start start_case
