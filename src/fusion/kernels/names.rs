//! Patterns that choose tensors by name.

/// Tensor names, separated by commas or blanks, where `*` stands for any characters: `head.weight, *.q_proj.*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    #[must_use]
    pub fn new(text: &str) -> Self {
        let separators = |c: char| c == ',' || c.is_whitespace();
        Self(text.split(separators).filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect())
    }

    /// Whether there is none, so that nothing matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, name))
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    // Each part at its first place leaves the most for those that follow; the last one must be the end.
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        let all = |pattern: &str, name: &str| Patterns::new(pattern).matches(name);
        assert!(all("head.weight", "head.weight") && !all("head.weight", "my.head.weight"));
        assert!(all("*encoder*weight*", "encoder.layers.0.fc1.weight"));
        assert!(all("a, *.bias", "fc.bias") && all("a *.bias", "a") && !all("a,*.bias", "fc.weight"));
        assert!(all("*", "") && all("a*a", "aa") && !all("a*a", "a"));
        assert!(!all("", "a") && Patterns::new(" , ").is_empty());
    }
}
