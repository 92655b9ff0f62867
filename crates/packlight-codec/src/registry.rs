//! All codecs by name.

use std::sync::{Arc, PoisonError, RwLock};

use packlight_spec::did_you_mean;

use crate::grammar::wrong;
pub use crate::grammar::{Entry, Kind, Parameter, Presence, Values, word};
use crate::{Codec, Error, Result};

/// The codecs of this crate.
pub const CODECS: &[Entry] = &[
    crate::identity::ENTRY,
    crate::norm::merged_norm::ENTRY,
    crate::pool::block_means::ENTRY,
    crate::sign::auxiliary::AUXILIARY,
    crate::sign::auxiliary::ALTERNATIVE,
    crate::quantise::quantised::ENTRY,
    crate::quantise::outlier::ENTRY,
    crate::float::bf16::ENTRY,
    crate::float::fp8::ENTRY,
    crate::quantise::alam::ENTRY,
    crate::quantise::gact::ENTRY,
    crate::projection::velora::ENTRY,
    crate::projection::compact::ENTRY,
    crate::projection::pamm::ENTRY,
    crate::projection::basis::ENTRY,
    crate::low_rank::qb::ENTRY,
    crate::low_rank::svd::ENTRY,
    crate::low_rank::hosvd::ENTRY,
    crate::low_rank::asi::ENTRY,
    crate::gradient::gradient_filter::ENTRY,
    crate::sparse::top_k::ENTRY,
    crate::sparse::surgeon::ENTRY,
    crate::sparse::bitmap::ENTRY,
    crate::sparse::swat::ENTRY,
    crate::sparse::block_sparse::ENTRY,
    crate::gradient::dither::ENTRY,
    crate::gradient::resprop::ENTRY,
    crate::derivative::step_derivative::REGELU2,
    crate::derivative::step_derivative::RESILU2,
    crate::pool::division::ENTRY,
    crate::quantise::mesa::ENTRY,
    crate::norm::blpa::ENTRY,
    crate::quantise::actnn::ENTRY,
];

/// The codecs that [`register`] has added.
static REGISTERED: RwLock<Vec<Entry>> = RwLock::new(Vec::new());

/// All codecs: those of this crate, then those that were registered.
pub fn entries() -> Vec<Entry> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    CODECS.iter().chain(registered.iter()).copied().collect()
}

/// Adds a codec from outside this crate, which plans, studies and reports then know by its name,
/// for as long as the process runs.
///
/// # Errors
/// Returns an error if the name is taken, if it has other characters than ASCII letters, digits,
/// `_` and `-`, or if there is no example or one that does not parse to a codec of the same spec.
pub fn register(entry: Entry) -> Result<()> {
    let letters = entry.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if entry.name.is_empty() || !letters {
        return Err(wrong(entry.name, "a name of ASCII letters, digits, `_` and `-` expected"));
    }
    if entry.examples.is_empty() {
        return Err(wrong(entry.name, "an example of its spec expected"));
    }
    for example in entry.examples {
        let spec = entry.parse(example).transpose()?.map(|codec| codec.spec());
        if spec.as_deref() != Some(*example) {
            let found = spec.unwrap_or_else(|| "another codec".into());
            return Err(wrong(entry.name, format!("its example `{example}` is read as `{found}`")));
        }
    }
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(other) = CODECS.iter().chain(registered.iter()).find(|other| clash(other, &entry)) {
        let reason = format!("the name is taken by `{}`; choose another one", other.pattern());
        return Err(wrong(entry.name, reason));
    }
    registered.push(entry);
    Ok(())
}

/// Whether a spec of one codec could be one of the other.
fn clash(one: &Entry, other: &Entry) -> bool {
    let claims = |entry: &Entry, specs: &[&str]| specs.iter().any(|spec| entry.claims(spec));
    one.name == other.name || claims(one, other.examples) || claims(other, one.examples)
}

/// The codec that `spec` names, such as `none` or `pool2`.
///
/// # Errors
/// Returns an error if no codec has this name, and lists those that exist, or if a parameter is
/// wrong.
pub fn parse(spec: &str) -> Result<Arc<dyn Codec>> {
    let entries = entries();
    entries
        .iter()
        .find_map(|entry| entry.parse(spec))
        .unwrap_or_else(|| Err(unknown(spec, &entries)))
}

/// The error for a name that no codec has: the nearest one, and all that exist.
fn unknown(spec: &str, entries: &[Entry]) -> Error {
    let examples = entries.iter().flat_map(|entry| entry.examples).copied();
    let patterns: Vec<String> = entries.iter().map(Entry::pattern).collect();
    let width = patterns.iter().map(String::len).max().unwrap_or_default();
    let line =
        |(pattern, entry): (&String, &Entry)| format!("  {pattern:width$}  {}", entry.summary);
    Error::Unknown {
        spec: spec.into(),
        hint: did_you_mean(spec, examples),
        known: patterns.iter().zip(entries).map(line).collect::<Vec<_>>().join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_parses_to_itself() {
        for example in CODECS.iter().flat_map(|entry| entry.examples) {
            assert_eq!(parse(example).unwrap().spec(), *example);
        }
    }

    #[test]
    fn errors_list_what_exists() {
        let unknown = parse("pull2").unwrap_err().to_string();
        assert!(
            unknown.starts_with("unknown codec `pull2`; did you mean `pool2`?\nThere are:\n")
                && unknown.contains("  pool<k>"),
            "{unknown}"
        );
    }

    #[test]
    fn errors_say_what_was_expected_and_what_was_found() {
        let said = |spec: &str| parse(spec).unwrap_err().to_string();
        let range = "a whole number from 2 to 65536 expected for <k>";
        for (spec, found) in [("pool", "``"), ("pool1", "`1`"), ("pool-2", "`-2`")] {
            let said = said(spec);
            assert!(said.contains(range) && said.contains(&format!("{found} found")), "{said}");
        }
        assert!(said("pool99999999999999999999").contains(range));
        let pattern = "`pool<k>[:zero|:drop][:bilinear]` expected";
        for spec in ["pool2:", "pool2:zeros", "pool2:zero:drop", "pool2:zero:3"] {
            assert!(said(spec).contains(pattern), "{}", said(spec));
        }
        assert!(said("svd:0").contains("a number above 0 and at most 1"));
        assert!(said("division:8").contains("`division[:<k>:<b>]` expected, as in `division`"));
    }

    #[test]
    fn what_may_be_left_out_is_printed_where_it_differs() {
        let printed = |spec: &str| parse(spec).unwrap().spec();
        assert_eq!(printed("division:8:2"), "division");
        assert_eq!(printed("asa2:0.01:50"), "asa2:0.01:50");
        assert_eq!(printed("gact:4:1000"), "gact:4");
        assert_eq!(printed("alam:0.5"), "alam:0.5");
        assert_eq!(printed("pool2:bilinear:zero"), "pool2:zero:bilinear");
        assert_eq!(printed("svd:0.80"), "svd:0.8");
    }
}
