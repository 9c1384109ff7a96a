#!/usr/bin/env bash
# Makes the certificates of the tests of TLS, valid for a hundred years but for the expired one.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
new_key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1"; }
# signed NAME ISSUER FIRST LAST CONSTRAINTS NAMES
signed() {
    new_key "$1.key"
    printf '[req]\ndistinguished_name=dn\n[dn]\n' >"$work/req.cnf"
    openssl req -new -key "$1.key" -subj "/CN=$1" -config "$work/req.cnf" -out "$work/$1.csr"
    : >"$work/index"
    printf 'subjectKeyIdentifier=hash\n' >"$work/ext"
    [[ -z $5 ]] || printf 'basicConstraints=critical,%s\n' "$5" >>"$work/ext"
    [[ -z $6 ]] || printf '%s\n' "$6" >>"$work/ext"
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nserial=%s/serial\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n' \
        "$work" "$work" "$work" >"$work/ca.cnf"
    openssl rand -hex 8 >"$work/serial"
    local signer=(-cert "$2.crt" -keyfile "$2.key")
    [[ $2 != self ]] || signer=(-selfsign -keyfile "$1.key")
    openssl ca -batch -notext -config "$work/ca.cnf" "${signer[@]}" -in "$work/$1.csr" -extfile "$work/ext" \
        -startdate "$3" -enddate "$4" -out "$1.crt" 2>/dev/null
}
begin=20200101000000Z end=21200101000000Z
san=subjectAltName=DNS:registry.test,IP:127.0.0.1
signed ca_true self $begin $end CA:TRUE "$san"
signed ca_false self $begin $end CA:FALSE "$san"
signed plain self $begin $end '' "$san"
signed registry.test self $begin $end CA:TRUE ''
signed expired self $begin 20210101000000Z CA:TRUE "$san"
signed expired_leaf self $begin 20210101000000Z CA:FALSE "$san"
signed root self $begin $end CA:TRUE ''
signed intermediate root $begin $end CA:TRUE ''
signed leaf intermediate $begin $end CA:FALSE "$san"
signed client root $begin $end CA:FALSE ''
rm intermediate.key
openssl x509 -in ca_true.crt -outform der -out ca_true.der
