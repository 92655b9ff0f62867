//! What models that cut images into patches check.

use packlight_spec::Fault;

/// No patch is larger than this.
pub(super) const LARGEST_PATCH: usize = 256;

/// The number of patches in a square image of this side.
///
/// # Errors
/// Returns a fault if the side is no multiple of that of a patch.
pub(super) fn patches(patch: usize, side: usize) -> Result<usize, Fault> {
    match side.is_multiple_of(patch) {
        true => Ok((side / patch).pow(2)),
        false => {
            let reason = format!("{patch} does not divide images of {side} x {side} pixels");
            Err(Fault::new("patch", reason))
        }
    }
}

/// Checks that heads of attention divide the features among them.
pub(super) fn check_heads(heads: usize, width: usize) -> Result<(), Fault> {
    match width.is_multiple_of(heads) {
        true => Ok(()),
        false => Err(Fault::new("heads", format!("{heads} do not divide the width, {width}"))),
    }
}
