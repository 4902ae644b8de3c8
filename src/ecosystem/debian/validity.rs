//! Whether an OpenPGP key may sign: neither expired nor revoked, bound by sound signatures of its own.
//!
//! Signatures that rest on a hash which can be forged count as absent.

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{Duration, KeyDetails, Tag, Timestamp};

/// Returns why a key is not valid at `now`; `signs` asks for one that signs itself and not by a subkey.
pub(super) fn key_problem(key: &SignedPublicKey, signs: bool, now: i64) -> Option<&'static str> {
    let primary = &key.primary_key;
    if key.details.revocation_signatures.iter().any(|revocation| revocation.verify_key(primary).is_ok()) {
        return Some("the key was revoked");
    }
    let Some(binding) = newest(self_signatures(key)) else { return Some("the key has no sound self-signature") };
    if is_over(primary.created_at(), binding.key_expiration_time(), now) {
        return Some("the key expired");
    }
    (signs && !binding.key_flags().sign()).then_some("the key is not for signing")
}

/// Returns a key's sound signatures over its own user names, or over itself where it has none.
fn self_signatures(key: &SignedPublicKey) -> impl Iterator<Item = &Signature> {
    let (primary, details) = (&key.primary_key, &key.details);
    let users = details.users.iter().flat_map(move |user| {
        user.signatures.iter().filter(move |signature| {
            signature.typ() != Some(SignatureType::CertRevocation)
                && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        })
    });
    let direct = details.direct_signatures.iter().filter(move |signature| {
        // Beside user names, direct signatures do no more than name who may revoke the key.
        details.users.is_empty() && signature.verify_key(primary).is_ok()
    });
    users.chain(direct)
}

/// Returns why a subkey may not sign for its key at `now`.
pub(super) fn subkey_problem(key: &SignedPublicKey, subkey: &SignedPublicSubKey, now: i64) -> Option<&'static str> {
    let primary = &key.primary_key;
    let sound = |kind| {
        subkey.signatures.iter().filter(move |signature| {
            signature.typ() == Some(kind) && signature.verify_subkey_binding(primary, &subkey.key).is_ok()
        })
    };
    if sound(SignatureType::SubkeyRevocation).next().is_some() {
        return Some("the subkey was revoked");
    }
    let Some(binding) = newest(sound(SignatureType::SubkeyBinding)) else {
        return Some("the subkey is not bound to its key");
    };
    // Without the signature in return, the owner of one key could claim the subkey of another.
    let returned = binding.embedded_signature().is_some_and(|signature| {
        signature.hash_alg().is_some_and(is_strong)
            && signature.verify_primary_key_binding(&subkey.key, primary).is_ok()
    });
    if !binding.key_flags().sign() || !returned {
        return Some("the subkey is not for signing");
    }
    is_over(subkey.created_at(), binding.key_expiration_time(), now).then_some("the subkey expired")
}

/// Returns the newest signature with a strong hash.
fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures
        .filter(|signature| signature.hash_alg().is_some_and(is_strong))
        .max_by_key(|signature| signature.created())
}

/// Whether a hash algorithm resists collisions.
pub(super) fn is_strong(hash: HashAlgorithm) -> bool {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha256, Sha384, Sha512};
    matches!(hash, Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512)
}

/// Whether a time span from `start` has ended; none, or one of length zero, never ends.
pub(super) fn is_over(start: Timestamp, length: Option<Duration>, now: i64) -> bool {
    length
        .filter(|length| length.as_secs() > 0)
        .is_some_and(|length| i64::from(start.as_secs()) + i64::from(length.as_secs()) <= now)
}
