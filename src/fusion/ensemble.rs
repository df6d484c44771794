//! Ensembles: every member runs, their outputs are combined element by element.

/// How the members' outputs become one.
#[derive(Debug, Clone, PartialEq)]
pub enum EnsembleRule {
    /// Σ wᵢ·outᵢ over the members' features; one weight a member.
    Weighted(Vec<f32>),
    /// The largest value of any member, element by element: of its logit, class by class.
    Max,
}

impl EnsembleRule {
    /// Combines the members' outputs, all of one shape and flattened alike, into one output of that shape.
    ///
    /// Outputs beyond the shortest member's length, and members beyond the weights, are left out.
    #[must_use]
    pub fn combine(&self, members: &[&[f32]]) -> Vec<f32> {
        let length = members.iter().map(|member| member.len()).min().unwrap_or(0);
        match self {
            Self::Weighted(weights) => {
                let mut out = vec![0.0; length];
                for (member, &weight) in members.iter().zip(weights) {
                    for (sum, &value) in out.iter_mut().zip(*member) {
                        *sum += weight * value;
                    }
                }
                out
            }
            Self::Max => {
                let mut members = members.iter();
                let mut out = members.next().map_or_else(Vec::new, |first| first[..length].to_vec());
                for member in members {
                    for (largest, &value) in out.iter_mut().zip(*member) {
                        // Unlike `f32::max`, a NaN of any member stays visible.
                        if value > *largest || value.is_nan() {
                            *largest = value;
                        }
                    }
                }
                out
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_combined_element_by_element() {
        let (a, b) = ([1.0, -2.0, 0.5], [3.0, -4.0, 0.0]);
        assert_eq!(EnsembleRule::Weighted(vec![0.5, 0.25]).combine(&[&a, &b]), [1.25, -2.0, 0.25]);
        assert_eq!(EnsembleRule::Max.combine(&[&a, &b]), [3.0, -2.0, 0.5]);
        assert!(EnsembleRule::Max.combine(&[&a, &[f32::NAN, 0.0, 0.0]])[0].is_nan());
        assert!(EnsembleRule::Max.combine(&[]).is_empty());
    }
}
