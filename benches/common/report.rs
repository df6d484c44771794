//! A measurement for people.

/// Prints median and range, returns the median.
pub fn report(what: &str, unit: &str, values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, mid, high) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    println!("{what:<52} {mid:>8.2} {unit} ({low:.2} – {high:.2}, {} runs)", values.len());
    mid
}
