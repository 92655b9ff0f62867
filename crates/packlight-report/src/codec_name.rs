//! What a plan's text says, as far as a report needs it: the methods that it names.

/// Words that stand before a plan's `=` for methods that are no codecs.
const ARRANGEMENTS: [&str; 7] =
    ["ara", "checkpoint", "recompute", "scores", "update", "last", "bias"];

/// The methods of a plan as it writes them, such as `hosvd:0.8` and `ara=2:2:2:2`, without the
/// layers that they are for.
pub(crate) fn methods(spec: &str) -> impl Iterator<Item = &str> {
    spec.split(',').map(str::trim).map(|rule| match rule.split_once('=') {
        Some((which, _)) if ARRANGEMENTS.contains(&which.trim()) => rule,
        Some((_, codec)) => codec.trim(),
        None => rule,
    })
}

/// A method without its parameters: `pool` of `pool2`, `hosvd` of `hosvd:0.8`, `ara` of
/// `ara=2:2:2:2`, `adaptive` of a plan that says in words how it finds its codecs.
pub(crate) fn family(method: &str) -> &str {
    let end = method.find(|c: char| c.is_ascii_digit() || matches!(c, ':' | '=' | ' '));
    &method[..end.unwrap_or(method.len())]
}

/// Whether a plan pools, and does nothing else.
pub(crate) fn pools(spec: &str) -> bool {
    let pool = |method: &str| family(method) == "pool";
    methods(spec).any(pool) && methods(spec).all(|method| pool(method) || method == "none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_among_rules() {
        let of = |spec| methods(spec).collect::<Vec<_>>();
        assert_eq!(of("pool2"), ["pool2"]);
        assert_eq!(of("layer1.*=division:8:2, fc=none"), ["division:8:2", "none"]);
        assert_eq!(of("ara=2:2:2:2,default=q2"), ["ara=2:2:2:2", "q2"]);
        assert_eq!(of("recompute=layer3.*:layer4.0,q2"), ["recompute=layer3.*:layer4.0", "q2"]);
        let families = ["pool2", "hosvd:0.8", "checkpoint=sqrt", "mesa", "bf16"].map(family);
        assert_eq!(families, ["pool", "hosvd", "checkpoint", "mesa", "bf"]);
        assert!(pools("layer3.*=pool4:zero") && !pools("q2"));
        assert!(pools("fc=none,default=pool2") && !pools("checkpoint=sqrt,default=pool2"));
    }
}
