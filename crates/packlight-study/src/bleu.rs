//! BLEU (Papineni et al., "BLEU: a method for automatic evaluation of machine translation", ACL 2002) as
//! sacreBLEU defines it (Post, "A call for clarity in reporting BLEU scores", WMT 2018): of a whole corpus
//! with one reference, up to four words in a row, the tokens of mteval-v13a, and exponential smoothing.

use std::collections::HashMap;

/// The most words in a row that are compared.
const LONGEST: usize = 4;

/// The BLEU of a corpus, from 0 to 100, for each hypothesis and its reference.
pub fn bleu<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> f64 {
    let (mut right, mut all) = ([0u64; LONGEST], [0u64; LONGEST]);
    let (mut said, mut expected) = (0, 0);
    for (hypothesis, reference) in pairs {
        let (hypothesis, reference) = (tokens(hypothesis), tokens(reference));
        said += hypothesis.len();
        expected += reference.len();
        for n in 1..=LONGEST {
            let (found, known) = (counts(&hypothesis, n), counts(&reference, n));
            let both = found
                .iter()
                .map(|(words, &count)| count.min(known.get(words).copied().unwrap_or_default()));
            right[n - 1] += both.sum::<u64>();
            all[n - 1] += found.values().sum::<u64>();
        }
    }
    if right.iter().all(|&count| count == 0) || all.contains(&0) {
        return 0.0;
    }
    let mut smoothed = 1.0;
    let logarithm = |(&right, &all): (&u64, &u64)| {
        if right == 0 {
            smoothed *= 2.0;
        }
        let right = if right == 0 { 1.0 / smoothed } else { right as f64 };
        (right / all as f64).ln()
    };
    let mean = right.iter().zip(&all).map(logarithm).sum::<f64>() / LONGEST as f64;
    let brevity = (1.0 - expected as f64 / said as f64).min(0.0);
    100.0 * (brevity + mean).exp()
}

/// How often each sequence of `n` tokens occurs.
fn counts(tokens: &[String], n: usize) -> HashMap<&[String], u64> {
    let mut counts = HashMap::new();
    tokens.windows(n).for_each(|words| *counts.entry(words).or_default() += 1);
    counts
}

/// The tokens of a line by the rules of mteval-v13a, as sacreBLEU applies them.
fn tokens(line: &str) -> Vec<String> {
    let mut line = line.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    if line.contains('&') {
        for (entity, sign) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
            line = line.replace(entity, sign);
        }
    }
    let mut apart = String::from(" ");
    for sign in line.chars() {
        let is_alone = sign.is_ascii_punctuation() && !"',-.".contains(sign);
        if is_alone {
            apart.extend([' ', sign, ' ']);
        } else {
            apart.push(sign);
        }
    }
    apart.push(' ');
    let apart =
        separated(&apart, |[a, b]| !is_digit(a) && is_stop(b), |[a, b]| vec![a, ' ', b, ' ']);
    let apart =
        separated(&apart, |[a, b]| is_stop(a) && !is_digit(b), |[a, b]| vec![' ', a, ' ', b]);
    let apart = separated(&apart, |[a, b]| is_digit(a) && b == '-', |[a, b]| vec![a, ' ', b, ' ']);
    apart.split_whitespace().map(str::to_owned).collect()
}

fn is_digit(sign: char) -> bool {
    sign.is_ascii_digit()
}

fn is_stop(sign: char) -> bool {
    sign == '.' || sign == ','
}

/// The text with each pair of neighbours that fits, from left to right and none in two of them, written as
/// `with` says.
fn separated(
    text: &str,
    fits: impl Fn([char; 2]) -> bool,
    with: impl Fn([char; 2]) -> Vec<char>,
) -> String {
    let signs: Vec<char> = text.chars().collect();
    let mut result = String::new();
    let mut at = 0;
    while at < signs.len() {
        match signs.get(at + 1) {
            Some(&next) if fits([signs[at], next]) => {
                result.extend(with([signs[at], next]));
                at += 2;
            }
            _ => {
                result.push(signs[at]);
                at += 1;
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYPOTHESES: [&str; 7] = [
        "A man in an orange hat starring at something.",
        "A Boston Terrier is running on lush green grass in front of a white fence.",
        "Five people in helmets, snow-suits (3.5 m) and \"more\" stand 12-15 deep",
        "the the the the the the the",
        "It's 1,000.50 & rising... isn't it?",
        "",
        "Ein Mädchen – sieht 3-4 Hunde, und lächelt!",
    ];
    const REFERENCES: [&str; 7] = [
        "A man in an orange hat staring at something.",
        "A Boston Terrier is running on lush green grass in front of a white fence.",
        "Five people in winter jackets and helmets stand in the snow (3.5 m), 12-15 deep.",
        "the cat is on the mat",
        "It's 1,000.5 &amp; rising ... isn't it ?",
        "nothing was said",
        "Ein Mädchen - sieht 3-4 Hunde und lächelt!",
    ];

    /// What sacreBLEU 2.6.0 says: `sacrebleu.corpus_bleu(hypotheses, [references]).score`.
    #[test]
    fn scores_are_those_of_sacrebleu() {
        let pairs: Vec<(&str, &str)> = HYPOTHESES.into_iter().zip(REFERENCES).collect();
        for (pairs, expected) in [
            (&pairs[..], 57.7249730748061),
            (&pairs[..1], 65.80370064762441),
            (&pairs[1..2], 100.0),
            (&pairs[3..4], 7.809849842300637),
            (&pairs[4..5], 78.25422900366438),
            (&pairs[2..4], 25.52829304812944),
            (&[("a b", "a b")], 0.0),
            (&[("x y z w v", "a b c d e")], 0.0),
            (&[("a cat sat", "a cat sat on it"), ("a cat sat", "a cat")], 0.0),
            (&[("a b c d x y", "a b q r s t u v")], 11.631736348831648),
        ] {
            let found = bleu(pairs.iter().copied());
            assert!((found - expected).abs() < 1e-9, "{pairs:?}: {found}, {expected}");
        }
    }

    #[test]
    fn tokens_are_those_of_mteval() {
        let of = |line| tokens(line).join(" ");
        let said =
            "Five people in helmets , snow-suits ( 3.5 m ) and \" more \" stand 12 - 15 deep";
        assert_eq!(of(HYPOTHESES[2]), said);
        assert_eq!(of(REFERENCES[4]), "It's 1,000.5 & rising . . . isn't it ?");
        assert_eq!(of(HYPOTHESES[6]), "Ein Mädchen – sieht 3 - 4 Hunde , und lächelt !");
    }
}
