#!/usr/bin/env bash
# Makes the certificates of the tests of TLS. Run it in this folder; what it makes is committed.
set -euo pipefail

key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1.key"; }
signed() { # NAME EXTENSIONS
    key "$1"
    openssl req -new -key "$1.key" -subj "/CN=$1" |
        openssl x509 -req -CA root.crt -CAkey root.key -set_serial "0x$(openssl rand -hex 8)" -days 36500 \
            -extfile <(printf '%s\n' "$2") -out "$1.crt"
}

key root
openssl req -x509 -new -key root.key -subj /CN=root -days 36500 -addext basicConstraints=critical,CA:true -out root.crt
signed first $'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth'
signed second $'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth'
signed client 'extendedKeyUsage=clientAuth'
rm root.key
