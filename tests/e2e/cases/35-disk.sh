# The disk fails while it is used: full, read-only, not permitted, broken, slow; and the clock jumps. Clients get right
# bytes all the same, a metric says what happened, and content is kept as soon as that is possible.
# shellcheck shell=bash

# An empty store on a small file system of its own.
disk_mount() {
    proxy_stop
    store_wipe
    mkdir -p "$work/store"
    # However the case ends, the others find a folder.
    trap 'proxy_stop; umount -l "$work/store"' EXIT
    mount -t tmpfs -o size="$1" longshore-e2e "$work/store"
}

# raw_pull IMAGE [OUTCOME]   manifest and blobs, each with the bytes of its digest; all blobs with that X-Cache.
raw_pull() {
    local image=$1 outcome=${2:-} repository digest size
    repository=$(fact "$image" repository)
    same 200 "$(ask GET "/v2/$repository/manifests/$(fact "$image" tag)" -H "Accept: $ACCEPT_V2")" "the manifest of $image"
    same "$(fact "$image" digest)" "$(sha256_of "$work/body")" "the manifest of $image"
    while read -r digest size; do
        same 200 "$(ask GET "/v2/$repository/blobs/$digest")" "$digest of $size bytes"
        same "$digest" "$(sha256_of "$work/body")" "the bytes of $digest"
        [[ -z $outcome ]] || same "$outcome" "$(header x-cache)" "X-Cache of $digest"
    done <"$work/images/$image/blobs"
}

# metric NAME [LABEL]   the sum of the samples whose labels contain LABEL, such as outcome="bypass".
metric() {
    limit 10 curl -sS "http://127.0.0.1:$PROXY_PORT/metrics" | awk -v name="$1" -v label="${2:-}" '
        index($0, name) == 1 && substr($0, length(name) + 1, 1) ~ /[{ ]/ && index($0, label) { sum += $NF }
        END { printf "%d\n", sum }'
}

# kept_image IMAGE   waits until its blobs are kept.
kept_image() {
    local digests
    mapfile -t digests < <(cut -d' ' -f1 "$work/images/$1/blobs")
    kept "${digests[@]}"
}

# becomes_kept IMAGE   it is kept by a pull, and then served without upstream.
becomes_kept() {
    raw_pull "$1"
    kept_image "$1"
    upstream_stop
    raw_pull "$1" hit
}

disk_full_case() {
    upstream_start v3
    disk_mount 64m
    # The limits of the store itself would leave room free.
    STORE_LINES=$'capacity = "10GiB"\nmin_free = "0"' proxy_start
    fallocate -l 50M "$work/store/filler"
    raw_pull medium
    [[ $(metric longshore_requests_total 'outcome="bypass"') -gt 0 ]] || die "no metric tells that nothing was kept"
    same 0 "$(metric longshore_fills_in_flight)" "fills in flight"
    # Not a byte is left.
    fallocate -l 64M "$work/store/filler" 2>/dev/null || cat /dev/zero >"$work/store/filler" 2>/dev/null || true
    raw_pull small
    raw_pull medium
    rm "$work/store/filler"
    becomes_kept medium
}

# Root may do everything: the proxy runs as somebody else.
disk_denied_case() {
    upstream_start v3
    disk_mount 64m
    chmod 755 "$work"
    chown -R 65534 "$work/store"
    LAUNCHER='setpriv --reuid=65534 --regid=65534 --clear-groups' proxy_start
    raw_pull small
    # Nothing can be made, and what is there cannot be reached.
    chown 0:0 "$work/store"
    chmod 700 "$work/store"
    raw_pull medium
    raw_pull small
    [[ $(metric longshore_requests_total 'outcome="bypass"') -gt 0 ]] || die "no metric tells that nothing was kept"
    chown 65534 "$work/store"
    becomes_kept medium
}

# disk_faults [NAME=NUMBER]...   what the disk and the clock do from now on; the names are those of disk.c.
disk_faults() {
    python3 - "$work/disk.faults" "$@" <<'PYTHON'
import os, struct, sys
names = ["write_us", "sync_us", "write_errno", "sync_errno", "change_errno", "ahead_secs"]
faults = dict(fault.split("=") for fault in sys.argv[2:])
numbers = [int(faults.pop(name, 0)) for name in names]
assert not faults, faults
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.pwrite(file, struct.pack("=6q", *numbers), 0)
PYTHON
}

# An empty store on a disk that obeys.
proxy_start_faulty() {
    cc -shared -fPIC -O1 -o "$work/disk.so" "$here/disk.c" -ldl
    disk_faults
    proxy_stop
    store_wipe
    LAUNCHER="env LD_PRELOAD=$work/disk.so DISK_FAULTS=$work/disk.faults DISK_FAULTS_UNDER=$work/store" proxy_start "$@"
}

# A file system that turned read-only: nothing changes any more, also through files that are open.
disk_read_only_case() {
    upstream_start v3
    proxy_start_faulty
    raw_pull small
    kept_image small
    disk_faults write_errno=30 change_errno=30
    raw_pull small hit
    raw_pull medium bypass
    [[ $(metric longshore_requests_total 'outcome="bypass"') -gt 0 ]] || die "no metric tells that nothing was kept"
    disk_faults
    becomes_kept medium
}

disk_broken_case() {
    upstream_start v3
    proxy_start_faulty
    # EIO.
    disk_faults write_errno=5
    raw_pull small
    disk_faults sync_errno=5
    raw_pull small
    raw_pull medium
    [[ $(metric longshore_store_errors_total) -gt 0 ]] || die "no metric tells of the disk"
    disk_faults
    becomes_kept medium
}

disk_slow_case() {
    local begin
    upstream_start v3
    proxy_start_faulty
    raw_pull small
    kept_image small
    # 20 ms for a write, a quarter of a second for a sync.
    disk_faults write_us=20000 sync_us=250000
    begin=$SECONDS
    limit 60 curl -sS -o /dev/null \
        "http://127.0.0.1:$PROXY_PORT/v2/$(fact medium repository)/blobs/$(largest_blob medium | cut -d' ' -f1)" &
    raw_pull small hit
    below $((SECONDS - begin)) 3 "seconds of a hit beside it"
    wait $!
    raw_pull medium
    disk_faults
    becomes_kept medium
}

clock_case() {
    local ahead
    upstream_start v3
    proxy_start_faulty 'revalidate = "1h"'
    raw_pull small
    kept_image small
    # A year ahead, two years behind, and the time that was.
    for ahead in 31536000 -31536000 0; do
        disk_faults "ahead_secs=$ahead"
        raw_pull small hit
        raw_pull medium
    done
    becomes_kept medium
    raw_pull small hit
}

add_case disk/full disk_full_case
add_case disk/read-only disk_read_only_case
add_case disk/denied disk_denied_case
add_case disk/broken disk_broken_case
add_case disk/slow disk_slow_case
add_case disk/clock clock_case
