//! Fuzzy filtering of lists: what stays visible while a person types.

use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

/// Indices of the texts that match `pattern` fuzzily, in their own order; all of them when the pattern is empty.
#[must_use]
pub fn matching<S: AsRef<str>>(pattern: &str, texts: impl IntoIterator<Item = S>) -> Vec<usize> {
    if pattern.trim().is_empty() {
        return (0..texts.into_iter().count()).collect();
    }
    let pattern = Pattern::parse(pattern, CaseMatching::Ignore, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut buffer = Vec::new();
    let matches = |(at, text): (usize, S)| {
        pattern.score(Utf32Str::new(text.as_ref(), &mut buffer), &mut matcher).is_some().then_some(at)
    };
    texts.into_iter().enumerate().filter_map(matches).collect()
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
