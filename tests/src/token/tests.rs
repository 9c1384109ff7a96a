use crate::{Client, Origin, TokenServer};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const SCOPE: &str = "scope=repository%3Aa%2Fb%3Apull";

async fn fixture() -> (TokenServer, Client) {
    let tokens = TokenServer::start("registry.test").await;
    tokens.let_in("ann", "s3cr3t");
    let client = Client::new(tokens.host());
    (tokens, client)
}

fn body(read: &crate::Read) -> Value {
    serde_json::from_slice(&read.body).unwrap_or_default()
}

async fn post(client: &Client, form: &str) -> crate::Read {
    let request = format!(
        "POST /token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    client
        .send_raw(request.as_bytes(), false)
        .await
        .read()
        .await
}

/// The claims, when the signature is good.
fn claims(token: &str) -> Value {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&decode(header)).unwrap();
    assert_eq!(header["alg"], "ES256");
    let leaf = STANDARD.decode(header["x5c"][0].as_str().unwrap()).unwrap();
    let at = leaf
        .windows(4)
        .position(|bytes| bytes == [0x03, 0x42, 0x00, 0x04])
        .unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &leaf[at + 3..at + 68])
        .verify(signed.as_bytes(), &decode(signature))
        .unwrap();
    serde_json::from_slice(&decode(claims)).unwrap()
}

#[tokio::test]
async fn tokens_by_get() {
    let (tokens, client) = fixture().await;
    let with = client.with("Authorization", "Basic YW5uOnMzY3IzdA==");
    let path = format!("/token?service=registry.test&{SCOPE}&offline_token=true&client_id=x");
    let read = with.read(&path).await;
    assert_eq!(read.status, 200);
    let answer = body(&read);
    assert_eq!(
        (&answer["expires_in"], &answer["token"]),
        (&json!(300), &answer["access_token"])
    );
    let claims = claims(answer["token"].as_str().unwrap());
    let access = json!([{ "type": "repository", "name": "a/b", "actions": ["pull"] }]);
    assert_eq!(
        (&claims["sub"], &claims["aud"], &claims["access"]),
        (&json!("ann"), &json!("registry.test"), &access)
    );
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        300
    );
    assert!(answer["refresh_token"].is_string());
    let wrong = client.with("Authorization", "Basic YW5uOndyb25n");
    for (client, path, status) in [
        (&client, &*path, 401),
        (&wrong, &path, 401),
        (&with, "/token?service=other", 400),
        (&with, "/", 404),
    ] {
        assert_eq!(client.read(path).await.status, status, "{path}");
    }
    tokens.let_in_everyone();
    assert_eq!(client.read(&path).await.status, 200);
    assert_eq!(
        wrong.read(&path).await.status,
        401,
        "wrong is not anonymous"
    );
}

#[tokio::test]
async fn tokens_by_post() {
    let (tokens, client) = fixture().await;
    let common = format!("service=registry.test&client_id=x&{SCOPE}");
    let read = post(
        &client,
        &format!("grant_type=password&username=ann&password=s3cr3t&access_type=offline&{common}"),
    )
    .await;
    assert_eq!(read.status, 200);
    claims(body(&read)["access_token"].as_str().unwrap());
    assert_eq!(body(&read)["token"], Value::Null);
    let refresh = body(&read)["refresh_token"].as_str().unwrap().to_owned();
    let again = format!("grant_type=refresh_token&refresh_token={refresh}&{common}");
    for _ in 0..2 {
        let read = post(&client, &again).await;
        assert_eq!(
            (read.status, &body(&read)["refresh_token"]),
            (200, &Value::Null)
        );
    }
    tokens.rotate_refresh_tokens();
    assert!(body(&post(&client, &again).await)["refresh_token"].is_string());
    assert_eq!(post(&client, &again).await.status, 401, "it is spent");
    let kept = tokens.refresh_token("ann");
    tokens.revoke_refresh_tokens();
    for (form, status) in [
        (
            format!("grant_type=refresh_token&refresh_token={kept}&{common}"),
            401,
        ),
        (
            format!("grant_type=password&username=ann&password=wrong&{common}"),
            401,
        ),
        (format!("grant_type=authorization_code&{common}"), 400),
        (
            "grant_type=password&username=ann&password=s3cr3t&service=registry.test".to_owned(),
            400,
        ),
    ] {
        assert_eq!(post(&client, &form).await.status, status, "{form}");
    }
    assert_eq!(client.send("DELETE", "/token").await.status, 405);
    assert!(
        tokens
            .requests()
            .iter()
            .any(|seen| seen.body.starts_with(b"grant_type=password"))
    );
}

#[tokio::test]
async fn an_origin_may_ask_for_them() {
    let (tokens, client) = fixture().await;
    let origin = Origin::start().await;
    let blob = origin.push_blob("a/b", vec![7; 100]);
    origin.require_tokens_of(&tokens);
    let reader = Client::new(origin.host());
    let path = format!("/v2/a/b/blobs/{blob}");
    let refused = reader.read(&path).await;
    let expected = format!(
        r#"Bearer realm="{}",service="registry.test",scope="repository:a/b:pull""#,
        tokens.realm()
    );
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, Some(&*expected))
    );
    tokens.let_in_everyone();
    let token = async |query: &str| {
        let read = client
            .read(&format!("/token?service=registry.test&{query}"))
            .await;
        reader.with(
            "Authorization",
            &format!("Bearer {}", body(&read)["token"].as_str().unwrap()),
        )
    };
    let with = token(SCOPE).await;
    assert_eq!(
        (
            with.read(&path).await.status,
            with.read("/v2/").await.status
        ),
        (200, 200)
    );
    tokens.withhold("a/b");
    for (with, error) in [
        (token("").await, "insufficient_scope"),
        (token(SCOPE).await, "insufficient_scope"),
        (reader.with("Authorization", "Bearer x"), "invalid_token"),
    ] {
        let challenge = with
            .read(&path)
            .await
            .header("www-authenticate")
            .unwrap()
            .to_owned();
        assert!(
            challenge.ends_with(&format!(r#",error="{error}""#)),
            "{challenge}"
        );
    }
    assert_eq!(with.read(&path).await.status, 200, "what was given holds");
    tokens.expire_tokens();
    assert_eq!(with.read(&path).await.status, 401);
    tokens.expire_in(0);
    assert_eq!(
        token(SCOPE).await.read("/v2/").await.status,
        401,
        "it ended at once"
    );
}
