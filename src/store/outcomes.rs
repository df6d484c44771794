//! Per-sample outcomes as bits: a run over eight test splits costs a few hundred bytes instead of several thousand.

/// One bit a sample, the first one lowest; the last byte is filled up with zeros.
pub(super) fn pack(outcomes: &[bool]) -> Vec<u8> {
    outcomes
        .chunks(8)
        .map(|byte| byte.iter().enumerate().fold(0, |packed, (bit, &right)| packed | (u8::from(right) << bit)))
        .collect()
}

/// The first `n` outcomes in `bytes`; nothing when there are not exactly as many bytes as `n` outcomes need.
pub(super) fn unpack(bytes: &[u8], n: usize) -> Option<Vec<bool>> {
    (bytes.len() == n.div_ceil(8)).then(|| (0..n).map(|at| bytes[at / 8] >> (at % 8) & 1 == 1).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nine_samples_take_two_bytes() {
        let outcomes = [true, false, false, true, false, false, false, false, true];
        assert_eq!(pack(&outcomes), [0b0000_1001, 1]);
        assert_eq!(unpack(&[0b0000_1001, 1], 9).unwrap(), outcomes);
    }

    #[test]
    fn a_wrong_number_of_bytes_is_noticed() {
        assert_eq!(unpack(&[1], 9), None);
        assert_eq!(unpack(&[1, 0, 0], 9), None);
        assert_eq!(unpack(&[], 0), Some(vec![]));
    }

    proptest! {
        #[test]
        fn packing_loses_nothing(outcomes in proptest::collection::vec(any::<bool>(), 0..600)) {
            let packed = pack(&outcomes);
            prop_assert_eq!(packed.len(), outcomes.len().div_ceil(8));
            prop_assert_eq!(unpack(&packed, outcomes.len()), Some(outcomes));
        }
    }
}
