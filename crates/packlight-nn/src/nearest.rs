//! The nearest of the names that exist, for error messages.

/// The candidate most like `name`, if any is much like it.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|&(likeness, _)| likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_found_and_a_stranger_is_not() {
        let names = ["conv1", "layer1.0.conv1", "fc"];
        assert_eq!(nearest("cnov1", names), Some("conv1"));
        assert_eq!(nearest("module.layer1.0.conv1", names), Some("layer1.0.conv1"));
        assert_eq!(nearest("xyz", names), None);
    }
}
