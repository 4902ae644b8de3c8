//! Who may call: API keys and signed tokens, in every protocol.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use ring::{hmac, signature::RsaPublicKeyComponents};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::support::{Server, Service, column, table};

const CODE: &str = "
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows): return rows
";
const KEY: &str = "0123456789abcdef";

fn service() -> Service {
    let data = table(&[column("x", "integer", json!({}))]);
    Service::new(CODE).endpoint("predict", &data, &data)
}

fn call(server: &Server, headers: &[(&str, &str)]) -> (u16, String, Value) {
    let body = json!({"rows": [{"x": 1}]}).to_string();
    let (status, head, answer) = server.exchange("POST", "/predict", "application/json", body.as_bytes(), headers);
    (status, head, serde_json::from_slice(&answer).unwrap())
}

#[test]
fn only_those_with_a_key_may_call_and_keys_are_read_again() {
    let server = service()
        .file("MLPACK_API_KEYS_FILE", "keys", &format!("# keys\nmine:{KEY}\n"))
        .env("MLPACK_API_KEYS", "other:sha256:4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631")
        .start();
    let (status, head, answer) = call(&server, &[]);
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("unauthenticated")));
    assert!(head.contains("www-authenticate: bearer\r\n"), "{head}");
    let (status, head, answer) = call(&server, &[("x-api-key", "0123456789abcdeg")]);
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("invalid_credentials")));
    assert!(head.contains("www-authenticate: bearer error=\"invalid_token\""), "{head}");
    assert_eq!(call(&server, &[("x-api-key", KEY)]).0, 200);
    assert_eq!(call(&server, &[("authorization", &format!("bearer {KEY}"))]).0, 200);
    assert_eq!(call(&server, &[("x-api-key", "correct horse")]).0, 200, "its digest is known");

    std::fs::write(server.path("keys"), "new:fedcba9876543210\n").unwrap();
    server.until(|| call(&server, &[("x-api-key", "fedcba9876543210")]).0 == 200);
    assert_eq!(call(&server, &[("x-api-key", KEY)]).0, 401);
    std::fs::write(server.path("keys"), "no key at all\n").unwrap();
    server.until(|| server.log().contains("has no name: write `name:key`"));
    assert_eq!(call(&server, &[("x-api-key", "fedcba9876543210")]).0, 200, "what the file said before holds");
    let log = server.stop();
    assert!(log.contains("\"caller\":\"mine\"") && !log.contains(KEY), "{log}");
}

#[test]
fn each_protocol_refuses_in_its_own_form_and_health_is_open() {
    let server = service().env("MLPACK_API_KEYS", format!("mine:{KEY}")).env("MLPACK_PUBLIC", "metrics").start();
    let message = "send an API key as `X-API-Key`, or as `Authorization: Bearer`";
    for (path, answer) in [
        ("/v2/models/test/infer", json!({"error": message})),
        ("/v1/models/test:predict", json!({"error": message})),
        ("/invocations", json!({"error_code": "UNAUTHENTICATED", "message": message})),
        (
            "/api/v1.0/predictions",
            json!({"status": {"code": 401, "info": message, "reason": "UNAUTHENTICATED", "status": "FAILURE"}}),
        ),
    ] {
        assert_eq!(server.post(path, &json!({})), (401, answer), "{path}");
    }
    for path in
        ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/ping", "/api/v1.0/health/ping", "/metrics"]
    {
        assert_eq!(server.exchange("GET", path, "", b"", &[]).0, 200, "{path}");
    }
    for path in ["/", "/docs", "/openapi.json", "/v2", "/v2/models/test", "/v1/models/test"] {
        assert_eq!(server.get(path).0, 401, "{path}");
    }
    let (_, _, document) = server.exchange("GET", "/openapi.json", "", b"", &[("x-api-key", KEY)]);
    let document: Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(document["security"], json!([{"bearer": []}, {"key": []}]));
    assert_eq!(document["components"]["securitySchemes"]["key"]["name"], "X-API-Key");
    assert_eq!(document["paths"]["/readyz"]["get"]["security"], json!([]));
    assert!(server.healthcheck());
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key that signs tokens, as a member of a key set.
struct Signer {
    algorithm: &'static str,
    jwk: Value,
    sign: Sign,
}

fn text(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn signers() -> [Signer; 4] {
    let random = SystemRandom::new();
    let document = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let edwards = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let curve = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
    let elliptic = EcdsaKeyPair::from_pkcs8(curve, document.as_ref(), &random).unwrap();
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .unwrap();
    let document = PrivatePkcs8KeyDer::from_pem_slice(&made.stdout).unwrap();
    let rsa = RsaKeyPair::from_pkcs8(document.secret_pkcs8_der()).unwrap();
    let public: RsaPublicKeyComponents<Vec<u8>> = rsa.public_key().into();
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    let point = elliptic.public_key().as_ref().to_vec();
    [
        Signer {
            algorithm: "EdDSA",
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": text(edwards.public_key().as_ref()), "kid": "ed"}),
            sign: Box::new(move |message| edwards.sign(message).as_ref().to_vec()),
        },
        Signer {
            algorithm: "ES256",
            jwk: json!({"kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..]), "use": "sig"}),
            sign: Box::new(move |message| elliptic.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()),
        },
        Signer {
            algorithm: "RS256",
            jwk: json!({"kty": "RSA", "n": text(&public.n), "e": text(&public.e), "alg": "RS256"}),
            sign: Box::new(move |message| {
                let mut signature = vec![0; rsa.public().modulus_len()];
                rsa.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }),
        },
        Signer {
            algorithm: "HS256",
            jwk: json!({"kty": "oct", "k": text(&[7; 32])}),
            sign: Box::new(move |message| hmac::sign(&secret, message).as_ref().to_vec()),
        },
    ]
}

impl Signer {
    fn token(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", text(header.to_string().as_bytes()), text(claims.to_string().as_bytes()));
        format!("Bearer {message}.{}", text(&(self.sign)(message.as_bytes())))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims(more: Value) -> Value {
    let mut claims =
        json!({"sub": "ana", "iss": "us", "aud": ["model", "else"], "scope": "read predict", "exp": now() + 600});
    let Value::Object(mut more) = more else { panic!("claims have members") };
    claims.as_object_mut().unwrap().append(&mut more);
    claims
}

#[test]
fn tokens_must_be_signed_with_a_known_key_and_say_what_is_asked_for() {
    let signers = signers();
    let keys: Vec<&Value> = signers.iter().map(|signer| &signer.jwk).collect();
    let server = service()
        .file("MLPACK_JWT_KEYS_FILE", "jwks.json", &json!({ "keys": keys }).to_string())
        .env("MLPACK_JWT_ISSUER", "us")
        .env("MLPACK_JWT_AUDIENCE", "model")
        .env("MLPACK_JWT_SCOPE", "predict")
        .start();
    let ask = |token: &str| {
        let (status, head, answer) = call(&server, &[("authorization", token)]);
        (status, head, answer["error"]["message"].as_str().unwrap_or_default().to_owned())
    };
    for signer in &signers {
        let token = signer.token(&json!({"alg": signer.algorithm}), &claims(json!({})));
        assert_eq!(ask(&token).0, 200, "{}", signer.algorithm);
        assert_eq!(ask(&token).0, 200, "{} again", signer.algorithm);
        let (start, end) = token.split_at(token.len() - 6);
        let forged = format!("{start}{}{}", if end.starts_with('A') { 'B' } else { 'A' }, &end[1..]);
        assert_eq!(ask(&forged).0, 401, "{}", signer.algorithm);
        for algorithm in ["none", "HS256", "RS256"].iter().filter(|name| **name != signer.algorithm) {
            let token = signer.token(&json!({"alg": algorithm}), &claims(json!({})));
            assert_eq!(ask(&token).2, "the token is not signed with a known key");
        }
    }
    let signer = &signers[0];
    let of = |more: Value| signer.token(&json!({"alg": "EdDSA", "kid": "ed"}), &claims(more));
    for (more, status, message) in [
        (json!({"exp": now() - 120}), 401, "the token has expired"),
        (json!({"exp": "never"}), 401, "the token is not a JSON Web Token with an expiry time"),
        (json!({"nbf": now() + 120}), 401, "the token is not valid yet"),
        (json!({"iss": "them"}), 401, "the token comes from another issuer"),
        (json!({"aud": "models"}), 401, "the token is meant for another audience"),
        (json!({"aud": "else model"}), 401, "the token is meant for another audience"),
        (json!({"scope": "unpredictable"}), 403, "the token does not allow this"),
    ] {
        let (got, head, said) = ask(&of(more));
        assert_eq!((got, said.as_str()), (status, message));
        assert!(head.contains("www-authenticate: bearer error="), "{head}");
    }
    let unsigned = |header: Value| format!("Bearer {}.{}.", text(header.to_string().as_bytes()), text(b"{}"));
    for token in ["Bearer", "Basic YTpi", "Bearer a.b.c", "Bearer ..", &unsigned(json!({"alg": "none"}))] {
        assert_eq!(ask(token).0, 401, "{token}");
    }
    let other = signer.token(&json!({"alg": "EdDSA", "kid": "other"}), &claims(json!({})));
    assert_eq!(ask(&other).0, 401, "the key has another name");
    assert!(server.stop().contains("\"caller\":\"ana\""));
}

#[test]
fn web_pages_may_call_only_where_they_are_named() {
    let server = service()
        .env("MLPACK_API_KEYS", format!("mine:{KEY}"))
        .env("MLPACK_CORS_ORIGINS", "https://app.example, https://other.example")
        .start();
    let preflight = |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-api-key"),
        ];
        server.exchange("OPTIONS", "/predict", "", b"", &headers)
    };
    let (status, head, _) = preflight("https://app.example");
    assert_eq!(status, 200, "a browser that asks first has no key yet");
    assert!(head.contains("access-control-allow-origin: https://app.example"), "{head}");
    assert!(head.contains("access-control-allow-headers: content-type,x-api-key"), "{head}");
    assert!(!preflight("https://evil.example").1.contains("access-control-allow-origin"));
    let (status, head, _) = call(&server, &[("origin", "https://other.example"), ("x-api-key", KEY)]);
    assert!(status == 200 && head.contains("access-control-allow-origin: https://other.example"), "{head}");
    let exposed = "access-control-expose-headers: x-request-id,retry-after,cache-status,x-mlpack-fallback";
    assert!(head.contains(exposed), "{head}");
    let (status, head, _) = call(&server, &[("origin", "https://other.example")]);
    assert!(status == 401 && head.contains("access-control-allow-origin: https://other.example"), "{head}");
}

#[test]
fn a_server_that_nobody_could_call_does_not_start() {
    for (variable, content, problem) in [
        ("MLPACK_API_KEYS_FILE", "", "there are no API keys in `"),
        ("MLPACK_API_KEYS_FILE", "a:short", "has a key of fewer than 16 characters"),
        ("MLPACK_JWT_KEYS_FILE", "[]", "is not a JSON Web Key Set"),
        ("MLPACK_JWT_KEYS_FILE", r#"{"keys":[{"kty":"EC","crv":"P-384"}]}"#, "has no key for RS256, ES256"),
        ("MLPACK_TLS_CERT", "", "`MLPACK_TLS_KEY` needs a value"),
        ("MLPACK_CORS_ORIGINS", "", "is not a value for `MLPACK_CORS_ORIGINS`"),
    ] {
        let log = service().file(variable, "file", content).fails();
        assert!(log.contains(problem), "{log}");
    }
}
