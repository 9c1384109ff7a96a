# A registry that speaks TLS with a certificate of its own authority, and one that does not speak TLS: what is trusted,
# what is allowed, and what is refused.
# shellcheck shell=bash

# tls_registry_start   distribution v3 with TLS on $REGISTRY_PORT, its certificate signed by $work/tls/ca.pem.
tls_registry_start() {
    local dir=$work/tls
    upstream_stop
    mkdir -p "$dir"
    {
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=e2e-authority \
            -keyout "$dir/ca.key" -out "$dir/ca.pem"
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=e2e-registry \
            -keyout "$dir/key.pem" -out "$dir/request.pem"
        openssl x509 -req -in "$dir/request.pem" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
            -extfile <(printf 'subjectAltName=IP:127.0.0.1') -out "$dir/certificate.pem"
    } 2>"$work/logs/openssl.log" || die "openssl: $(<"$work/logs/openssl.log")"
    cat >"$dir/registry.yml" <<YAML
version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: $work/registry}
http:
  addr: 127.0.0.1:$REGISTRY_PORT
  tls: {certificate: $dir/certificate.pem, key: $dir/key.pem}
YAML
    OTEL_TRACES_EXPORTER=none daemon registry "$tools/registry" serve "$dir/registry.yml"
    wait_for 20 "the registry to listen" listening "$REGISTRY_PORT"
}

# tls_answers STATUS ENDPOINT [LINE]...   what a client hears when docker.io is at ENDPOINT, which stands for the port too.
tls_answers() {
    local status=$1
    UPSTREAM_URL=${2//PORT/$REGISTRY_PORT}
    shift 2
    UPSTREAM_LINES=$(printf '%s\n' "${@//WORK/$work}")
    case $REGISTRY_KIND in
    tls) tls_registry_start ;;
    plain) upstream_stop && registry_start v3 ;;
    esac
    proxy_start_empty
    same "$status" "$(ask GET /v2/e2e/small/manifests/1 -H "Accept: $ACCEPT_V2")" "the status"
    [[ $status != 200 ]] || same "$(fact small manifest)" "$(sha256_of "$work/body")" "the manifest"
    stop registry
}

tls_ca_case() { REGISTRY_KIND=tls tls_answers 200 https://127.0.0.1:PORT 'ca = "WORK/tls/ca.pem"'; }
tls_unknown_case() { REGISTRY_KIND=tls tls_answers 502 https://127.0.0.1:PORT; }
# 127.0.0.0/8 is insecure without a word: TLS is spoken, the certificate not looked at.
tls_insecure_case() { REGISTRY_KIND=tls tls_answers 200 127.0.0.1:PORT; }
# TLS is not spoken there: it is asked in plain.
tls_plain_case() { REGISTRY_KIND=plain tls_answers 200 127.0.0.1:PORT; }
# Only 127.0.0.0/8 is that by itself; this address leads to the same registry.
tls_elsewhere() {
    local direct=$NO_PROXY,0.0.0.0
    NO_PROXY=$direct no_proxy=$direct REGISTRY_KIND=plain tls_answers "$1" 0.0.0.0:PORT
}
tls_not_insecure_case() { tls_elsewhere 502; }
tls_configured_case() { FIRST_LINE='insecure = ["0.0.0.0/32"]' tls_elsewhere 200; }
# What was answered over TLS is not asked again in plain, which a registry of TLS answers with 400.
tls_error_case() {
    REGISTRY_KIND=tls tls_answers 200 127.0.0.1:PORT
    tls_registry_start
    same 404 "$(ask GET /v2/e2e/small/manifests/none -H "Accept: $ACCEPT_V2")" "an unknown tag"
    same 200 "$(ask GET /metrics)" /metrics
    grep -q '^longshore_upstream_requests_total{.*code="404"' "$work/body" || die "no 404 in the metrics"
    ! grep -q '^longshore_upstream_requests_total{.*code="400"' "$work/body" || die "asked in plain"
    stop registry
}
# Told to speak TLS, we never speak plain.
tls_downgrade_case() { REGISTRY_KIND=plain tls_answers 502 https://127.0.0.1:PORT; }

for what in ca unknown insecure plain not_insecure configured error downgrade; do
    add_case "tls/${what//_/-}" "tls_${what}_case"
done
