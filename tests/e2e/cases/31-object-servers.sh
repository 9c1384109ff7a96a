# The store's conformance suite against servers of every kind of object storage it knows.
# shellcheck shell=bash

# objects_begin   a folder in memory for what a server keeps, and a free port for it.
objects_begin() {
    objects=$work/objects
    mkdir -p "$objects"
    mount -t tmpfs longshore-e2e "$objects"
    trap 'stop objects; stop objects-gate; umount -l "$objects"' EXIT
    free_ports OBJECTS_PORT OBJECTS_GATE_PORT
}

# conforms URL   runs the suite over a bucket; the variables of its backend are set.
conforms() {
    LONGSHORE_TEST_STORE=$1 limit 170 "$CONFORMANCE_BIN" >"$work/conformance" 2>&1 || {
        tail -n 15 "$work/conformance"
        die "the suite fails"
    }
    grep -E '^test result: ok\. [1-9]' "$work/conformance" || die "no test was run"
}

# The variables that lead to an S3 server.
s3_variables() {
    export AWS_ACCESS_KEY_ID=e2e AWS_SECRET_ACCESS_KEY=e2e-secret AWS_REGION=us-east-1
    export AWS_ENDPOINT_URL=http://127.0.0.1:$OBJECTS_PORT AWS_ALLOW_HTTP=true
}

versitygw_case() {
    objects_begin
    s3_variables
    mkdir "$objects/longshore"
    daemon objects "$tools/versitygw" --access e2e --secret e2e-secret --port "127.0.0.1:$OBJECTS_PORT" --quiet posix "$objects"
    wait_for 20 "the S3 server to listen" listening "$OBJECTS_PORT"
    conforms s3://longshore/conformance
}

minio_case() {
    objects_begin
    s3_variables
    daemon objects env MINIO_ROOT_USER=e2e MINIO_ROOT_PASSWORD=e2e-secret HOME="$objects" \
        "$tools/minio" server --quiet --address "127.0.0.1:$OBJECTS_PORT" "$objects/data"
    wait_for 30 "the bucket" limit 5 curl -fsS -o /dev/null -X PUT --aws-sigv4 aws:amz:us-east-1:s3 \
        --user e2e:e2e-secret "$AWS_ENDPOINT_URL/longshore"
    conforms s3://longshore/conformance
}

# The library behind gs:// speaks the XML API, by which fake-gcs-server takes no uploads: see gcs.py.
gcs_case() {
    local url
    objects_begin
    url=http://127.0.0.1:$OBJECTS_GATE_PORT
    daemon objects "$tools/fake-gcs-server" -scheme http -host 127.0.0.1 -port "$OBJECTS_PORT" \
        -public-host "127.0.0.1:$OBJECTS_PORT" -backend memory -log-level warn
    daemon objects-gate python3 "$here/gcs.py" --listen "$OBJECTS_GATE_PORT" --to "127.0.0.1:$OBJECTS_PORT"
    wait_for 20 "the bucket" limit 5 curl -fsS -o /dev/null -H 'Content-Type: application/json' -d '{"name": "longshore"}' \
        "$url/storage/v1/b"
    # The library asks for a token before it writes, unless an account says that none is needed.
    export GOOGLE_SERVICE_ACCOUNT_KEY
    GOOGLE_SERVICE_ACCOUNT_KEY=$(jq -cn --arg url "$url" \
        '{gcs_base_url: $url, disable_oauth: true, client_email: "", private_key: "", private_key_id: ""}')
    conforms gs://longshore/conformance
}

azure_case() {
    objects_begin
    export AZURE_STORAGE_ENDPOINT=http://127.0.0.1:$OBJECTS_PORT/devstoreaccount1 AZURE_ALLOW_HTTP=true
    # The account of every emulator.
    export AZURE_STORAGE_ACCOUNT_NAME=devstoreaccount1
    export AZURE_STORAGE_ACCOUNT_KEY=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==
    daemon objects node "$azurite/node_modules/azurite/dist/src/blob/main.js" --blobHost 127.0.0.1 \
        --blobPort "$OBJECTS_PORT" --inMemoryPersistence --silent --disableTelemetry --skipApiVersionCheck
    wait_for 30 "Azurite to listen" listening "$OBJECTS_PORT"
    python3 - <<'PYTHON'
import base64, email.utils, hmac, os, urllib.request
account, key = os.environ["AZURE_STORAGE_ACCOUNT_NAME"], base64.b64decode(os.environ["AZURE_STORAGE_ACCOUNT_KEY"])
headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
signed = "PUT" + 12 * "\n" + lines + f"/{account}/{account}/longshore\nrestype:container"
headers["Authorization"] = f"SharedKey {account}:" + base64.b64encode(hmac.digest(key, signed.encode(), "sha256")).decode()
url = os.environ["AZURE_STORAGE_ENDPOINT"] + "/longshore?restype=container"
urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers))
PYTHON
    conforms az://longshore/conformance
}

add_case objects/versitygw versitygw_case
add_case objects/minio minio_case
add_case objects/fake-gcs-server gcs_case
add_case objects/azurite azure_case
