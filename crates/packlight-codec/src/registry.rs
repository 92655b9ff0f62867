//! All codecs by name.

use std::sync::Arc;

use crate::identity::Identity;
use crate::pool::Pool;
use crate::{Codec, Error, Result};

/// The codec of a spec, `None` where the spec is not of this kind.
type Parser = fn(&str) -> Option<Result<Arc<dyn Codec>>>;

/// How a codec is written and what it does.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// What a plan writes, with placeholders in angle brackets.
    pub pattern: &'static str,
    /// One line on what is kept.
    pub summary: &'static str,
    /// One that can be parsed.
    pub example: &'static str,
    parse: Parser,
}

/// Every codec, a line each.
pub const CODECS: &[Entry] = &[
    Entry { pattern: "none", summary: "the whole input", example: "none", parse: identity },
    Entry {
        pattern: "pool<k>",
        summary: "means over k x k pixels (conv inputs) or k features (linear inputs)",
        example: "pool2",
        parse: pool,
    },
];

/// The codec that `spec` names, such as `none` or `pool2`.
///
/// # Errors
/// If there is none, in which case the error lists those that exist, or its parameter is wrong.
pub fn parse(spec: &str) -> Result<Arc<dyn Codec>> {
    CODECS.iter().find_map(|entry| (entry.parse)(spec)).unwrap_or_else(|| {
        let line = |entry: &Entry| format!("  {:10} {}", entry.pattern, entry.summary);
        Err(Error::Unknown {
            spec: spec.into(),
            known: CODECS.iter().map(line).collect::<Vec<_>>().join("\n"),
        })
    })
}

fn identity(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    (spec == "none").then(|| Ok(Arc::new(Identity) as _))
}

fn pool(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    let block = spec.strip_prefix("pool")?;
    Some(match block.parse() {
        Ok(block) => Pool::new(block).map(|pool| Arc::new(pool) as _),
        Err(_) => Err(Error::Parameter {
            spec: spec.into(),
            reason: format!("a block size expected after `pool`, as in `pool2`; `{block}` found"),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_parses_to_itself() {
        for entry in CODECS {
            assert_eq!(parse(entry.example).unwrap().name(), entry.example);
        }
    }

    #[test]
    fn errors_list_what_exists() {
        let unknown = parse("pull2").unwrap_err().to_string();
        assert!(
            unknown.contains("unknown codec `pull2`") && unknown.contains("pool<k>"),
            "{unknown}"
        );
        assert!(parse("pool").unwrap_err().to_string().contains("a block size expected"));
        assert!(parse("pool1").unwrap_err().to_string().contains("at least 2"));
        assert!(parse("pool-2").unwrap_err().to_string().contains("`-2` found"));
        assert!(parse("pool99999999999999999999").is_err());
    }
}
