//! Patterns over layer names.

/// Whether `name` fits `pattern`, in which `*` stands for any characters (dots too, none too) and
/// `?` for any one.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut in_name) = (0, 0);
    // The last star, and how much of the name it and all before it have taken: only that star ever
    // needs to take more.
    let mut star = None;
    while in_name < name.len() {
        match (pattern.get(at), star) {
            (Some('*'), _) => {
                star = Some((at, in_name));
                at += 1;
            }
            (Some(&expected), _) if expected == '?' || expected == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            (_, Some((star_at, taken))) => {
                star = Some((star_at, taken + 1));
                (at, in_name) = (star_at + 1, taken + 1);
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|&rest| rest == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, expected) in [
            ("layer3.*", "layer3.0.conv1", true),
            ("layer3.*", "layer3", false),
            ("*.conv?", "layer3.0.conv1", true),
            ("*.conv?", "conv1", false),
            ("*conv*", "conv1", true),
            ("*", "", true),
            ("layer?.0.*", "layer4.0.downsample.0", true),
            ("conv1", "conv11", false),
            ("conv11", "conv1", false),
            ("*.bn*", "layer1.0.bn1", true),
            ("a*b*c", "axbxbxc", true),
            ("a*b*c", "axcxb", false),
            ("**", "conv1", true),
            ("****************************y", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", false),
            ("?", "é", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
