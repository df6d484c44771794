//! Loops compiled twice, for AVX2 and for whatever the target has; defined beside the decoders that use it too.

pub(in crate::fusion) use crate::weights::wide;
