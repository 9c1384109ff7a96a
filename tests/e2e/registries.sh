# The upstream side: two registries over one folder of images, a counting proxy ("gate") before them, an S3 server.
# shellcheck shell=bash

# registry_start debian|v3   a registry on $REGISTRY_PORT; the two keep content in the same layout. $REGISTRY_LINES are
# added to its configuration.
registry_start() {
    local program=/usr/bin/docker-registry
    [[ $1 == debian ]] || program=$tools/registry
    cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: $work/registry}
http:
  addr: 127.0.0.1:$REGISTRY_PORT
${REGISTRY_LINES:-}
YAML
    OTEL_TRACES_EXPORTER=none daemon registry "$program" serve "$work/registry.yml"
    # It may ask who we are.
    wait_for 20 "registry $1 to listen" listening "$REGISTRY_PORT"
}

answers() { limit 5 curl -fsS -o /dev/null "$1" 2>/dev/null; }

# gate_start NAME PORT TO   faulty.py on PORT, before the port TO; its log is $work/gates/NAME.log.
gate_start() {
    local name=$1
    mkdir -p "$work/gates"
    rm -f "$work/gates/$name.log" "$work/gates/$name.faults"
    touch "$work/gates/$name.log"
    daemon "gate-$name" python3 "$here/faulty.py" --listen "$2" --to "127.0.0.1:$3" \
        --log "$work/gates/$name.log" --faults "$work/gates/$name.faults"
    wait_for 10 "gate $name to listen" listening "$2"
}

# A gate between a client and the proxy.
front_start() {
    front_stop
    gate_start front "$FRONT_PORT" "$PROXY_PORT"
}

front_stop() { stop gate-front; }

# upstream_start debian|v3   a registry and a fresh gate before it.
upstream_start() {
    upstream_stop
    registry_start "$1"
    gate_start upstream "$GATE_PORT" "$REGISTRY_PORT"
}

# Both go: connections to upstream are refused. The gate's log stays.
upstream_stop() {
    stop gate-upstream
    stop registry
}

# faults [LINE]...   what the gate before upstream does wrong from now on; nothing when there is no line.
faults() {
    printf '%s\n' "$@" >"$work/gates/upstream.faults.new"
    mv "$work/gates/upstream.faults.new" "$work/gates/upstream.faults"
}

# Forgets what was counted so far.
count_anew() { : >"$work/gates/upstream.log"; }

upstream_log() { cat "$work/gates/upstream.log"; }

# gets OBJECT   how many GETs upstream answered with bytes of the object.
gets() {
    awk -F'\t' -v object="$1" '$1 == "GET" && $6 == object && $5 > 0' "$work/gates/upstream.log" | wc -l
}

# bytes_of OBJECT   how many bytes of it upstream sent.
bytes_of() {
    awk -F'\t' -v object="$1" '$1 == "GET" && $6 == object { sum += $5 } END { printf "%d\n", sum }' \
        "$work/gates/upstream.log"
}

# sent OBJECT BYTES WHAT   upstream sent so many bytes of it. The gate counts an answer a moment after its last byte.
sent() {
    poll 5 has_sent "$1" "$2" || true
    same "$2" "$(bytes_of "$1")" "bytes that upstream sent of $3"
}

has_sent() { (($(bytes_of "$1") >= $2)); }

# Every blob of these images came from upstream once and whole, and no object at all came twice.
fetched_once() {
    local image digest size twice
    stand_in && return
    for image in "$@"; do
        while read -r digest size; do
            sent "$digest" "$size" "$image's blob $digest"
        done <"$work/images/$image/blobs"
        same 1 "$(gets "$(fact "$image" manifest)")" "GETs of $image's manifest that upstream answered"
    done
    twice=$(awk -F'\t' '$1 == "GET" && $6 != "-" && $5 > 0 { print $6 }' "$work/gates/upstream.log" | sort | uniq -d)
    [[ -z $twice ]] || die "fetched more than once: $twice"
}

# --- our own fixtures: registries of protocol v1, signed schema 1 images, a token server ---

# fixture_start WHAT [OPTION]...   one of them on a free port; what it says of itself is in its log.
fixture_start() {
    fixture_stop "$1"
    [[ -x $FIXTURE_BIN ]] || die "no fixtures at $FIXTURE_BIN: cargo build --release -p longshore-tests --bin fixture"
    : >"$work/logs/fixture-$1.log"
    daemon "fixture-$1" "$FIXTURE_BIN" "$@"
    wait_for 10 "the fixture $1 to answer" fixture_says "$1" .address >/dev/null
}

fixture_stop() { stop "fixture-$1"; }

# fixture_says WHAT FILTER   what jq makes of the line by which it announced itself.
fixture_says() {
    local line
    line=$(grep -m 1 '^{.*}$' "$work/logs/fixture-$1.log") && jq -er "$2" <<<"$line"
}

fixture_port() {
    local address
    address=$(fixture_says "$1" .address)
    printf '%s' "${address##*:}"
}

# --- images ---

# Pushes the images straight into the registry and keeps what is to be known of them.
images_push() {
    local platform
    case $(uname -m) in
    x86_64) platform=amd64 ;;
    aarch64) platform=arm64/v8 ;;
    *) die "no test image for $(uname -m)" ;;
    esac
    registry_start v3
    limit 120 python3 "$here/images.py" --registry "127.0.0.1:$REGISTRY_PORT" --out "$work/images" \
        --platform "$platform" --big-mib "$BIG_MIB"
    stop registry
}

# facts_of IMAGE REPOSITORY TAG   what is to be known of an image that the proxy made: from its own answer.
facts_of() {
    local dir=$work/images/$1
    mkdir -p "$dir"
    same 200 "$(ask GET "/v2/$2/manifests/$3" -H "Accept: $ACCEPT_V2")" "the manifest of $2:$3"
    same "$(sha256_of "$work/body")" "$(header docker-content-digest)" "its digest"
    printf '%s\n' "$2" >"$dir/repository"
    printf '%s\n' "$3" >"$dir/tag"
    sha256_of "$work/body" | tee "$dir/digest" >"$dir/manifest"
    jq -r .config.digest "$work/body" >"$dir/config"
    jq -r '.config, .layers[] | "\(.digest) \(.size)"' "$work/body" >"$dir/blobs"
}

# What containerd says it takes: everything but schema 1.
ACCEPT_V2='application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*'

# fact IMAGE repository|tag|digest|manifest|config
fact() { printf '%s' "$(<"$work/images/$1/$2")"; }

by_tag() { printf 'docker.io/%s:%s' "$(fact "$1" repository)" "$(fact "$1" tag)"; }
by_digest() { printf 'docker.io/%s@%s' "$(fact "$1" repository)" "$(fact "$1" digest)"; }

# The digest of the largest blob of an image, and its size.
largest_blob() { sort -k2,2n "$work/images/$1/blobs" | tail -n 1; }

# --- S3 ---

# An S3 server with the empty bucket `longshore`, and the variables that lead there.
bucket_start() {
    mkdir -p "$work/s3/data/longshore"
    export AWS_ACCESS_KEY_ID=e2e AWS_SECRET_ACCESS_KEY=e2e-secret AWS_REGION=us-east-1
    export AWS_ENDPOINT_URL=http://127.0.0.1:$S3_PORT AWS_ALLOW_HTTP=true
    daemon s3 "$tools/versitygw" --access "$AWS_ACCESS_KEY_ID" --secret "$AWS_SECRET_ACCESS_KEY" \
        --port "127.0.0.1:$S3_PORT" --quiet posix "$work/s3/data"
    wait_for 20 "the S3 server to listen" listening "$S3_PORT"
}

bucket_stop() { stop s3; }
