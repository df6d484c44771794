//! Sizes in bytes, as people write and read them.

/// `5GB`, `500MB`, `64MiB`, `2G` or plain bytes, as Hugging Face's `--max-shard-size` takes them.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        "KIB" => 1 << 10,
        "MIB" => 1 << 20,
        "GIB" => 1 << 30,
        "TIB" => 1 << 40,
        other => return Err(format!("`{other}` is not a unit: B, KB, MB, GB, TB, KiB, MiB, GiB, TiB")),
    };
    let number: f64 = number.parse().map_err(|_| "a size such as 5GB is wanted".to_owned())?;
    let bytes = number * factor as f64;
    if !(1.0..=1e18).contains(&bytes) {
        return Err("at least one byte and at most 10^18 are wanted".to_owned());
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [("5GB", 5_000_000_000), ("64MiB", 64 << 20), ("1.5 g", 1_500_000_000), ("700", 700)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "5XB", "-1GB", "0", "1e3", "99999999TB"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
