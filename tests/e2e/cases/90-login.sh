# Registries that want to know who we are: htpasswd, and tokens by every grant, from docker-registry 2.8 and
# distribution v3. Clients are asked for nothing, and never see a challenge.
# shellcheck shell=bash

ANN='username = "ann", password = "s3cr3t-word"'
WRONG='username = "ann", password = "wrong-word"'

htpasswd_lines() {
    # The password is s3cr3t-word.
    # shellcheck disable=SC2016
    printf 'ann:%s\n' '$2b$05$HDtpscgK8wky4qLryVTTKuYl9kosaD08yCC0kxA81yd9f.MNE1tsu' >"$work/htpasswd"
    printf 'auth: {htpasswd: {realm: e2e, path: %s}}\n' "$work/htpasswd"
}

# token_start [OPTION]...   the token server; the registry's lines are in $REGISTRY_LINES.
token_start() {
    printf 'ann:s3cr3t-word\n' >"$work/users"
    fixture_start token-server --service e2e --users "$work/users" --certificates "$work/tokens.pem" \
        --refresh-token-of ann "$@"
    REGISTRY_LINES="auth: {token: {realm: \"$(fixture_says token-server .realm)\", service: e2e, \
issuer: $(fixture_says token-server .issuer), rootcertbundle: $work/tokens.pem}}"
}

# login_with CREDENTIALS   the proxy, empty, with these; nothing when there are none.
login_with() {
    UPSTREAM_LINES=${1:+credentials = { $1 \}}
    proxy_start_empty 'revalidate = "0s"'
}

# A client pulls; each object comes once, and no secret is written down.
login_pulls() {
    count_anew
    login_with "$1"
    skopeo_start
    client_pull_by_tag skopeo small
    client_pull_by_digest skopeo multi
    fetched_once small multi
    skopeo_empty
    no_secret
}

# login_refused STATUS CREDENTIALS
login_refused() {
    login_with "$2"
    same "$1" "$(ask GET /v2/e2e/small/manifests/1)" "the status with '$2'"
    same '' "$(header www-authenticate)" "a challenge"
    [[ $(jq -r '.errors[0].code' "$work/body") =~ ^[A-Z_]+$ ]] || die "no code in $(<"$work/body")"
    no_secret
}

no_secret() {
    ! grep -qE 's3cr3t-word|YW5uOnMzY3IzdC13b3Jk|wrong-word|eyJ|refresh-[0-9]' "$work/logs/proxy.log" ||
        die "a secret is in the log"
}

# docker_config JSON   a config.json with this for the upstream.
docker_config() {
    printf '{"auths": {"127.0.0.1:%s": %s}}\n' "$GATE_PORT" "$1" >"$work/config.json"
    printf 'docker_config = "%s"' "$work/config.json"
}

basic_case() {
    REGISTRY_LINES=$(htpasswd_lines)
    upstream_start "$1"
    login_pulls "$ANN"
    login_pulls "$(docker_config '{"auth": "YW5uOnMzY3IzdC13b3Jk"}')"
    login_refused 502 "$WRONG"
    login_refused 403 ''
}

tokens_case() {
    local refresh
    token_start
    upstream_start "$1"
    refresh=$(fixture_says token-server .refresh_token)
    login_pulls "$ANN"
    login_pulls "$ANN, tokens_by_post = true"
    login_pulls "identity_token = \"$refresh\""
    login_pulls "$(docker_config "{\"identitytoken\": \"$refresh\"}")"
    login_pulls "token = \"$(static_token)\""
    login_refused 502 "$WRONG"
    login_refused 502 "$WRONG, tokens_by_post = true"
    login_refused 502 'identity_token = "refresh-none"'
    login_refused 502 'token = "none"'
    login_refused 403 ''
    fixture_stop token-server
}

# A token for the registry itself, for both images.
static_token() {
    limit 10 curl -fsS -u ann:s3cr3t-word "$(fixture_says token-server .realm)?service=e2e&scope=repository:e2e/small:pull\
&scope=repository:e2e/multi:pull" | jq -r .token
}

# anonymous_case REGISTRY   everyone may pull, but nobody e2e/medium.
anonymous_case() {
    token_start --anonymous --withhold e2e/medium
    upstream_start "$1"
    login_pulls ''
    login_pulls "$WRONG"
    for credentials in '' "$ANN"; do
        login_with "$credentials"
        same 403 "$(ask GET /v2/e2e/medium/manifests/1)" "a good token without that access"
        same DENIED "$(jq -r '.errors[0].code' "$work/body")" "its code"
    done
    fixture_stop token-server
}

# helper_case REGISTRY   a credential program says who we are.
helper_case() {
    REGISTRY_LINES=$(htpasswd_lines)
    upstream_start "$1"
    mkdir -p "$work/programs"
    printf '#!/bin/sh\ncat >/dev/null\necho %s\n' "'{\"ServerURL\":\"x\",\"Username\":\"ann\",\"Secret\":\"s3cr3t-word\"}'" \
        >"$work/programs/docker-credential-e2e"
    chmod +x "$work/programs/docker-credential-e2e"
    PATH=$work/programs:$PATH
    login_pulls 'helper = "e2e"'
    login_refused 502 'helper = "none"'
}

for registry in debian v3; do
    add_case "login/$registry/basic" basic_case "$registry"
    add_case "login/$registry/tokens" tokens_case "$registry"
    add_case "login/$registry/anonymous" anonymous_case "$registry"
    add_case "login/$registry/helper" helper_case "$registry"
done
