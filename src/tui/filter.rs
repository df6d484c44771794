//! Fuzzy filtering of lists: what stays visible while a person types.

use nucleo_matcher::pattern::{AtomKind, CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

/// Indices of the texts that match `pattern`, in their own order; all of them when the pattern is empty.
///
/// Every word of the pattern must match fuzzily within one line of the text, so fields of a record go on lines of
/// their own: letters scattered over several fields are no match that a person would see.
#[must_use]
pub fn matching<S: AsRef<str>>(pattern: &str, texts: impl IntoIterator<Item = S>) -> Vec<usize> {
    if pattern.trim().is_empty() {
        return (0..texts.into_iter().count()).collect();
    }
    let words: Vec<Pattern> = pattern
        .split_whitespace()
        .map(|word| Pattern::new(word, CaseMatching::Ignore, Normalization::Smart, AtomKind::Fuzzy))
        .collect();
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut buffer = Vec::new();
    let mut matches = |text: &str| {
        let mut fits =
            |word: &Pattern, line: &str| word.score(Utf32Str::new(line, &mut buffer), &mut matcher).is_some();
        words.iter().all(|word| text.lines().any(|line| fits(word, line)))
    };
    texts.into_iter().enumerate().filter(|(_, text)| matches(text.as_ref())).map(|(at, _)| at).collect()
}

/// The entry `by` places after `current` among `shown`, stopping at the ends; the first one when `current` is not
/// shown.
#[must_use]
pub fn step<T: PartialEq + Copy>(shown: &[T], current: Option<T>, by: isize) -> Option<T> {
    let last = shown.len().checked_sub(1)?;
    let at = current.and_then(|current| shown.iter().position(|entry| *entry == current));
    shown.get(at.map_or(0, |at| at.saturating_add_signed(by).min(last))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_order_match_and_order_is_kept() {
        let names = ["mnist", "fashion", "animals", "optdigits"];
        assert_eq!(matching("", names), [0, 1, 2, 3]);
        assert_eq!(matching("anm", names), [2]);
        assert_eq!(matching("IS", names), [0, 2, 3]);
        assert_eq!(matching("xyz", names), [0; 0]);
        assert_eq!(matching("cpu ta", ["TA\ntest\ncpu", "TIES\ntest\ncpu", "TA\ntest\ncuda:0"]), [0]);
        assert_eq!(matching("  ", names).len(), 4);
    }

    #[test]
    fn steps_stop_at_the_ends_and_survive_a_changed_filter() {
        assert_eq!(step(&[3, 5, 9], Some(5), 1), Some(9));
        assert_eq!(step(&[3, 5, 9], Some(5), 10), Some(9));
        assert_eq!(step(&[3, 5, 9], Some(5), -10), Some(3));
        assert_eq!(step(&[3, 5, 9], Some(4), 0), Some(3));
        assert_eq!(step::<i64>(&[], Some(4), 1), None);
    }
}
