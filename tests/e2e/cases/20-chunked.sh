# containerd 2 in chunked mode asks for open-ended ranges of a cold blob and gives most of them up: one fetch upstream.
# shellcheck shell=bash

chunked_case() {
    upstream_start v3
    proxy_start_empty
    front_start
    chunked_start
    containerd_hosts chunked "http://127.0.0.1:$FRONT_PORT"
    chunked_empty
    client_pull_by_tag chunked big
    # It did ask in chunks: else this shows nothing.
    (($(grep -cE $'\tbytes=[1-9][0-9]*-\t206\t' "$work/gates/front.log") > 10)) || die "the client did not ask in chunks"
    fetched_once big
    chunked_empty
    front_stop
}

# Ranges of a cold and of a warm blob, single and several, as lazy pullers ask for them.
ranges_case() {
    local digest size blob
    read -r digest size < <(largest_blob medium)
    blob=/v2/e2e/medium/blobs/$digest
    upstream_start v3
    proxy_start_empty

    same 206 "$(ask GET "$blob" -r 1000000-1000009)" "a range of a cold blob"
    same "bytes 1000000-1000009/$size" "$(header content-range)" "Content-Range"
    cp "$work/body" "$work/part"
    same 200 "$(ask GET "$blob")" "the whole blob"
    same "$digest" "$(sha256_of "$work/body")" "the whole blob"
    same "$(sha256_of "$work/part")" "$(tail -c +1000001 "$work/body" | head -c 10 | sha256sum | sed 's/ .*//; s/^/sha256:/')" \
        "the range"
    sent "$digest" "$size" "the blob"

    same 206 "$(ask GET "$blob" -r "-5")" "a suffix"
    same "bytes $((size - 5))-$((size - 1))/$size" "$(header content-range)" "Content-Range of the suffix"
    same 206 "$(ask GET "$blob" -r "5-$size")" "an end one past the last byte (regclient)"
    same "$((size - 5))" "$(header content-length)" "its length"
    same 416 "$(ask GET "$blob" -r "$size-")" "a start past the end"
    same 206 "$(ask GET "$blob" -r 0-9,100-109)" "two ranges"
    [[ $(header content-type) == multipart/byteranges* ]] || die "two ranges came as $(header content-type)"
    sent "$digest" "$size" "the blob in the end"
}

add_case chunked chunked_case
add_case ranges ranges_case
