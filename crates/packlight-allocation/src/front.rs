//! What no other beats in both bytes and error.

/// Those of `all` that no other beats in what `of` says, their bytes and their error, by rising bytes and
/// falling error. Of equal ones the first stays.
pub(crate) fn front<T>(mut all: Vec<T>, of: impl Fn(&T) -> (u64, f64)) -> Vec<T> {
    all.sort_by(|a, b| {
        let (a, b) = (of(a), of(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let mut least = f64::INFINITY;
    all.retain(|one| {
        let (_, error) = of(one);
        error < least && {
            least = error;
            true
        }
    });
    all
}
