//! Checks for models that cut images into patches.

use packlight_spec::Fault;

/// The largest side of a patch.
pub(super) const LARGEST_PATCH: usize = 256;

/// The number of patches in a square image of this side.
///
/// # Errors
/// Returns a fault if the side is not a multiple of the side of a patch.
pub(super) fn patches(patch: usize, side: usize) -> Result<usize, Fault> {
    match side.is_multiple_of(patch) {
        true => Ok((side / patch).pow(2)),
        false => {
            let reason = format!("{patch} does not divide images of {side} x {side} pixels");
            Err(Fault::new("patch", reason))
        }
    }
}

/// Checks that the number of attention heads divides the number of features.
pub(super) fn check_heads(heads: usize, width: usize) -> Result<(), Fault> {
    match width.is_multiple_of(heads) {
        true => Ok(()),
        false => Err(Fault::new("heads", format!("{heads} do not divide the width, {width}"))),
    }
}
