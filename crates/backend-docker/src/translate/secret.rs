//! Secrets: which reference is resolved by whom.

use straddle_core::{
    model::Secret,
    path::FieldPath,
    platform::{Output, Place},
    units::SecretRef,
};

const FIX: &str = "add `local: env:NAME` or `local: file:PATH`";

/// Returns the reference that the machine of the user resolves, if there is one.
pub(super) fn secret(out: &mut Output, field: &FieldPath, place: &Place, secret: &Secret) -> Option<String> {
    let Secret { from, local } = secret;
    match local {
        Some(local) => {
            out.elsewhere("docker/secret-source", field.child("from"), "`local` is used in its place");
            reference(out, &field.child("local"), place, local)
        }
        None => reference(out, &field.child("from"), place, from),
    }
}

/// Returns a reference that needs no cloud.
pub(super) fn reference(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    reference: &SecretRef,
) -> Option<String> {
    if !reference.is_local() {
        let message = "a local engine cannot read this secret: it is kept in the cloud";
        out.blocked("docker/secret-source", field.clone(), message, FIX);
        return None;
    }
    out.map(field.clone(), &[place]);
    Some(reference.to_string())
}
