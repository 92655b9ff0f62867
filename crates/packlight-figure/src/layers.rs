//! Layers in forward order: their groups, and so their colours.
//!
//! At most six lines in a panel can be told apart, so layers are grouped by the model's stages. A
//! layer's look follows from its place in its group and is the same in every figure of a study.

use std::ops::Range;

use crate::theme::{self, Look};

/// The most lines in one panel.
pub const LINES: usize = 6;

/// Groups layers, given in forward order, by the first part of their names (`layer1` of
/// `layer1.0.conv1`), with at most [`LINES`] in each group. A single layer joins a neighbouring group.
#[must_use]
pub fn layer_groups(layers: &[&str]) -> Vec<Range<usize>> {
    let stage = |i: usize| layers[i].split('.').next().unwrap_or_default();
    let mut groups: Vec<Range<usize>> = Vec::new();
    for i in 0..layers.len() {
        match groups.last_mut() {
            Some(group) if stage(group.start) == stage(i) => group.end = i + 1,
            _ => groups.push(i..i + 1),
        }
    }
    let groups = groups.into_iter().flat_map(|group| {
        let parts = group.len().div_ceil(LINES);
        let size = group.len().div_ceil(parts);
        (0..parts)
            .map(move |p| group.start + p * size..(group.start + (p + 1) * size).min(group.end))
    });
    let mut joined: Vec<Range<usize>> = Vec::new();
    for group in groups {
        match joined.last_mut() {
            Some(last)
                if (last.len() == 1 || group.len() == 1) && last.len() + group.len() <= LINES =>
            {
                last.end = group.end;
            }
            _ => joined.push(group),
        }
    }
    joined
}

/// The look of each of `layers`.
pub(crate) fn looks(layers: &[&str]) -> Vec<Look> {
    layer_groups(layers).into_iter().flat_map(|group| (0..group.len()).map(theme::layer)).collect()
}

/// The rows at which a new stage begins, where figures draw a thin separator.
pub(crate) fn separators(layers: &[&str]) -> Vec<usize> {
    let stage = |i: usize| layers[i].split('.').next();
    (1..layers.len()).filter(|&i| stage(i) != stage(i - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resnet18_has_four_groups() {
        let mut names = vec!["conv1".to_string()];
        for stage in 1..=4 {
            for block in 0..2 {
                names.push(format!("layer{stage}.{block}.conv1"));
                names.push(format!("layer{stage}.{block}.conv2"));
                if stage > 1 && block == 0 {
                    names.push(format!("layer{stage}.0.downsample.0"));
                }
            }
        }
        names.push("fc".to_string());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(layer_groups(&names), [0..5, 5..10, 10..15, 15..21]);
        assert_eq!(looks(&names).len(), 21);
    }

    #[test]
    fn large_stages_are_split_and_nothing_is_lost() {
        let names = vec!["layer1.x"; 23];
        let groups = layer_groups(&names);
        assert!(groups.iter().all(|g| g.len() <= LINES));
        assert_eq!(groups.into_iter().flatten().collect::<Vec<_>>(), (0..23).collect::<Vec<_>>());
        assert!(layer_groups(&[]).is_empty());
    }
}
