//! All codecs by name.

use std::sync::Arc;

use crate::{Codec, Error, Result};

/// The codec of a spec, `None` where the spec is of another.
pub type Parser = fn(&str) -> Option<Result<Arc<dyn Codec>>>;

/// How a codec is written and what it does; each codec's file has one.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// What a plan writes, with placeholders in angle brackets.
    pub pattern: &'static str,
    /// One line on what is kept.
    pub summary: &'static str,
    /// Some that can be parsed, the usual one first.
    pub examples: &'static [&'static str],
    /// What reads it.
    pub parse: Parser,
}

/// Every codec, a line each.
pub const CODECS: &[Entry] = &[
    crate::identity::ENTRY,
    crate::merged_norm::ENTRY,
    crate::pool::ENTRY,
    crate::sign::AUXILIARY,
    crate::sign::ALTERNATIVE,
    crate::quantised::ENTRY,
    crate::half::ENTRY,
    crate::fp8::ENTRY,
    crate::alam::ENTRY,
    crate::gact::ENTRY,
    crate::velora::ENTRY,
    crate::compact::ENTRY,
    crate::pamm::ENTRY,
    crate::qb::ENTRY,
    crate::svd::ENTRY,
    crate::hosvd::ENTRY,
    crate::asi::ENTRY,
    crate::gradient_filter::ENTRY,
    crate::top_k::ENTRY,
    crate::bitmap::ENTRY,
    crate::swat::ENTRY,
    crate::block_sparse::ENTRY,
    crate::dither::ENTRY,
    crate::resprop::ENTRY,
    crate::step_derivative::REGELU2,
    crate::step_derivative::RESILU2,
    crate::division::ENTRY,
    crate::mesa::ENTRY,
    crate::blpa::ENTRY,
    crate::actnn::ENTRY,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_parses_to_itself() {
        for example in CODECS.iter().flat_map(|entry| entry.examples) {
            assert_eq!(parse(example).unwrap().name(), *example);
        }
    }

    #[test]
    fn errors_list_what_exists() {
        let unknown = parse("pull2").unwrap_err().to_string();
        assert!(
            unknown.contains("unknown codec `pull2`") && unknown.contains("pool<k>"),
            "{unknown}"
        );
        assert!(parse("pool").unwrap_err().to_string().contains("a block size of at least 2"));
        assert!(parse("pool1").unwrap_err().to_string().contains("at least 2"));
        assert!(parse("pool-2").unwrap_err().to_string().contains("`-2` found"));
        assert!(parse("pool99999999999999999999").is_err());
    }
}
