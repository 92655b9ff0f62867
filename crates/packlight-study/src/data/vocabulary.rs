//! Turns words into tokens.

use std::collections::HashMap;

/// The mark before a target's first token.
pub const BEGIN: u32 = 1;
/// The mark after a target's last token.
pub const END: u32 = 2;
/// The token of all words that are not in the vocabulary.
pub(super) const UNKNOWN: u32 = 3;
/// The number of tokens that are not words: padding, the two marks and the unknown word.
pub(super) const MARKS: u32 = 4;

/// The words that occur at least twice in a text, the most frequent first.
#[derive(Debug, Clone)]
pub(super) struct Vocabulary {
    numbers: HashMap<String, u32>,
}

impl Vocabulary {
    pub(super) fn new<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        lines.flat_map(words).for_each(|word| *counts.entry(word).or_default() += 1);
        let mut frequent: Vec<_> = counts.into_iter().filter(|&(_, count)| count >= 2).collect();
        frequent.sort_unstable_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then(a.cmp(b)));
        let numbered = frequent.into_iter().zip(MARKS..);
        Self { numbers: numbered.map(|((word, _), number)| (word.to_owned(), number)).collect() }
    }

    /// The number of different tokens, marks included.
    pub(super) fn len(&self) -> usize {
        self.numbers.len() + MARKS as usize
    }

    /// The words by their tokens, from [`MARKS`] on.
    pub(super) fn words(&self) -> Vec<String> {
        let mut numbered: Vec<(&String, u32)> = self.numbers.iter().map(|(w, n)| (w, *n)).collect();
        numbered.sort_unstable_by_key(|&(_, number)| number);
        numbered.into_iter().map(|(word, _)| word.clone()).collect()
    }

    /// The tokens of a line.
    pub(super) fn tokens(&self, line: &str) -> Vec<u32> {
        let number = |word| self.numbers.get(word).copied().unwrap_or(UNKNOWN);
        words(line).map(number).collect()
    }
}

/// Splits a line into runs of letters and digits, and single other characters; spaces are dropped.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let end = match first.is_alphanumeric() {
            true => rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (word, behind) = rest.split_at(end);
        rest = behind;
        Some(word)
    })
}

/// Words as a line. Apostrophes and hyphens stand close to their neighbours, as in "man's" and "t-shirt";
/// around other signs, scores see no spaces.
pub(super) fn joined(words: &[&str]) -> String {
    let is_close = |word: &str| ["'", "’", "-"].contains(&word);
    let mut line = String::new();
    for (at, word) in words.iter().enumerate() {
        if at > 0 && !is_close(word) && !is_close(words[at - 1]) {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_signs() {
        let found: Vec<&str> = words("  Zwei junge, weiße\tMänner (3)…").collect();
        assert_eq!(found, ["Zwei", "junge", ",", "weiße", "Männer", "(", "3", ")", "…"]);
        assert_eq!(words(" \u{a0} ").count(), 0);
    }

    #[test]
    fn lines_are_joined_as_they_were() {
        let line = "A man's t-shirt , red .";
        let words: Vec<&str> = words(line).collect();
        assert_eq!(words.len(), 10);
        assert_eq!(joined(&words), line);
    }

    #[test]
    fn frequent_words_come_first_and_rare_ones_are_unknown() {
        let vocabulary = Vocabulary::new(["b a b .", "a c b ."].into_iter());
        assert_eq!(vocabulary.len(), 7);
        assert_eq!(vocabulary.words(), ["b", ".", "a"]);
        assert_eq!(vocabulary.tokens("b . a c d"), [4, 5, 6, UNKNOWN, UNKNOWN]);
    }
}
