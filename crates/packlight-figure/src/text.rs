//! Text without access to a font: estimated widths, wrapping, numbers.

/// Estimated width in pixels of `text` set in a sans-serif font of `size` pixels.
///
/// The estimate is for a wide font (DejaVu Sans), so that text also fits in the narrower ones that
/// a viewer may use.
pub(crate) fn width(text: &str, size: f64) -> i32 {
    let ems: f64 = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 0.32,
            ' ' | 'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' | '/' => 0.41,
            'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.96,
            'A'..='Z' => 0.70,
            '±' | '×' | '→' | '≤' | '≥' | '+' | '=' | '<' | '>' | '−' | '–' => 0.84,
            _ => 0.62,
        })
        .sum();
    (ems * size).ceil() as i32
}

/// `text`, cut off and ended with an ellipsis if it is wider than `room` pixels.
pub(crate) fn shorten(text: &str, size: f64, room: i32) -> String {
    if width(text, size) <= room {
        return text.to_string();
    }
    let cuts = text.char_indices().rev().map(|(end, _)| format!("{}…", &text[..end]));
    let mut fitting = cuts.filter(|short| width(short, size) <= room);
    fitting.next().unwrap_or_else(|| "…".to_string())
}

/// Breaks `text` at spaces into lines of at most `room` pixels, but not before a unit. A word
/// longer than half a line is shortened.
pub(crate) fn wrap(text: &str, size: f64, room: i32) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let unit = word.trim_end_matches([',', ';', '.', ':', ')']);
        match words.last_mut() {
            Some(last) if matches!(unit, "%" | "B" | "KiB" | "MiB" | "GiB" | "ms") => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(shorten(word, size, room / 2)),
        }
    }
    let mut lines: Vec<String> = Vec::new();
    for word in &words {
        match lines.last_mut() {
            Some(line) if width(line, size) + width(" ", size) + width(word, size) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.clone()),
        }
    }
    lines
}

/// `value` with enough decimals to distinguish multiples of `step`.
pub(crate) fn decimal(value: f64, step: f64) -> String {
    let decimals = if step >= 1.0 { 0 } else { (-step.log10()).ceil().min(9.0) as usize };
    let text = format!("{value:.decimals$}");
    if text.trim_start_matches('-').chars().all(|c| matches!(c, '0' | '.')) {
        text.trim_start_matches('-').to_string()
    } else {
        text.replace('-', "−")
    }
}

/// `value` with three significant digits, in scientific notation if it is far from 1.
#[must_use]
pub fn significant(value: f64) -> String {
    if value == 0.0 {
        return "0".to_string();
    }
    let exponent = value.abs().log10().floor() as i32;
    if !(-3..=5).contains(&exponent) {
        return format!("{value:.1e}").replace('-', "−");
    }
    decimal(value, 10f64.powi((exponent - 2).min(0)))
}

/// An interval of `n` measurements, such as `95 % interval 0.100 to 0.300, n = 6`; without one, only `n`.
pub(crate) fn interval(low: f64, high: f64, n: u64) -> String {
    match low == high {
        true => format!("n = {n}"),
        false => format!("95 % interval {} to {}, n = {n}", significant(low), significant(high)),
    }
}

/// Like [`significant`], without trailing zeros after the point.
pub(crate) fn significant_trimmed(value: f64) -> String {
    let text = significant(value);
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_lines_fit_and_lose_no_word() {
        let text =
            "pool2 keeps 61 % fewer bytes than none and reaches its accuracy one epoch later";
        let lines = wrap(text, 20.0, 300);
        assert!(lines.len() > 1);
        assert!(lines.iter().all(|l| width(l, 20.0) <= 300));
        assert_eq!(lines.join(" "), text);
        let narrow = wrap(text, 20.0, 120);
        assert!(narrow.iter().any(|line| line.starts_with("61 %")), "{narrow:?}");
    }

    #[test]
    fn long_words_end_in_an_ellipsis() {
        let word = "a".repeat(50) + &"z".repeat(50);
        let short = shorten(&word, 12.0, 100);
        assert!(width(&short, 12.0) <= 100 && width(&short, 12.0) > 85, "{short}");
        assert!(short.starts_with("aaaa") && short.ends_with("a…"), "{short}");
        assert_eq!(shorten(&word, 12.0, 1), "…");
        assert_eq!(shorten("pool2", 12.0, 100), "pool2");
        assert!(
            wrap(&format!("the plan {word} is long"), 12.0, 300)
                .iter()
                .all(|line| width(line, 12.0) <= 300)
        );
    }

    #[test]
    fn numbers_have_the_digits_they_need() {
        assert_eq!(decimal(0.25, 0.05), "0.25");
        assert_eq!(decimal(-0.0, 0.5), "0.0");
        assert_eq!(decimal(-1.0, 0.5), "−1.0");
        assert_eq!(significant(0.012345), "0.0123");
        assert_eq!(significant(1234.5), "1234");
        assert_eq!(significant(0.0), "0");
        assert_eq!(significant(1.234e-7), "1.2e−7");
    }
}
