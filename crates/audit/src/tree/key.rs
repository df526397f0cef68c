//! The key that signs, and the one that anyone may have.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::SigningKey;
use rustix::rand::{GetRandomFlags, getrandom};
use signed_note::{StandardSigner, StandardVerifier, key_id, new_ed25519_verifier_key};

use super::TreeError;
use super::note::CHECKPOINT;
use super::store::{at, put_durably};

/// The signing key, in the form of C2SP signed notes, for the node's owner only.
const KEY: &str = "key";
/// The verifier key, in the same form, within the directory of a log: give it to whoever is to trust the log, before they have to.
pub const PUBLIC_KEY: &str = "key.pub";
/// Of Ed25519, in signed notes.
const ED25519: u8 = 1;

/// The signer of the log in `log`, with its verifier key. Made when there is none; `node` is then in its name.
pub(crate) fn signer(log: &Path, node: &str) -> Result<(StandardSigner, String), TreeError> {
    let path = log.join(KEY);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        // A second key beside what the first has signed would take its public half away, and make a log of two halves.
        Err(e) if e.kind() == io::ErrorKind::NotFound && has_signed(log) => {
            return Err(TreeError::Inconsistent(format!(
                "{} is gone; restore it from a backup, or move the whole log away",
                path.display()
            )));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let text = generate(node).map_err(at(&path))?;
            put_durably(&path, text.as_bytes()).map_err(at(&path))?;
            text
        }
        Err(e) => return Err(at(&path)(e)),
    };
    let (signer, public) = read(&path, &text)?;
    let public_path = log.join(PUBLIC_KEY);
    if !fs::read_to_string(&public_path).is_ok_and(|held| held.trim_end() == public) {
        put_durably(&public_path, format!("{public}\n").as_bytes()).map_err(at(&public_path))?;
    }
    Ok((signer, public))
}

/// The same, of a log that has one.
pub(crate) fn existing(log: &Path) -> Result<(StandardSigner, String), TreeError> {
    let path = log.join(KEY);
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    read(&path, &text)
}

fn read(path: &Path, text: &str) -> Result<(StandardSigner, String), TreeError> {
    let wrong = || {
        TreeError::Inconsistent(format!(
            "{} is no signing key; restore it from a backup, or move the whole log away",
            path.display()
        ))
    };
    let text = text.trim_end();
    let signer = StandardSigner::new(text).map_err(|_| wrong())?;
    let (name, key) = parts(text).ok_or_else(wrong)?;
    Ok((signer, new_ed25519_verifier_key(name, &key.verifying_key())))
}

/// Whether there was a key before.
fn has_signed(log: &Path) -> bool {
    [PUBLIC_KEY, CHECKPOINT]
        .iter()
        .any(|name| log.join(name).exists())
}

/// The verifier of a verifier key, with its name.
pub(crate) fn verifier(public: &str) -> Option<(StandardVerifier, String)> {
    let public = public.trim();
    let name = public.split('+').next()?.to_owned();
    StandardVerifier::new(public).ok().map(|key| (key, name))
}

/// A new key. Its name tells this log from every other, also from one of the same node that was begun anew.
fn generate(node: &str) -> io::Result<String> {
    let mut random = [0; 36];
    let count = getrandom(&mut random, GetRandomFlags::empty())?;
    if count != random.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (seed, id) = random.split_at(32);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(seed);
    let key = SigningKey::from_bytes(&bytes);
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let node = if node.is_empty() { "node" } else { node };
    let name = format!("ringfence/flow-log/{node}/{id}");
    let public = [&[ED25519], key.verifying_key().as_bytes().as_slice()].concat();
    let secret = [&[ED25519], bytes.as_slice()].concat();
    Ok(format!(
        "PRIVATE+KEY+{name}+{:08x}+{}\n",
        key_id(&name, &public),
        BASE64_STANDARD.encode(secret)
    ))
}

/// Name and key in the text of a signing key.
fn parts(text: &str) -> Option<(&str, SigningKey)> {
    let mut fields = text.splitn(5, '+').skip(2);
    let (name, _id, secret) = (fields.next()?, fields.next()?, fields.next()?);
    let secret = BASE64_STANDARD.decode(secret).ok()?;
    let seed: [u8; 32] = secret.get(1..)?.try_into().ok()?;
    Some((name, SigningKey::from_bytes(&seed)))
}
