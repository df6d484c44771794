//! Loops compiled twice: for AVX2, chosen at run time, and for whatever the target has.
//!
//! Only the width of the registers differs. No operation is fused or reordered, so results are the same bit by bit.

/// Defines a function whose body, an `#[inline(always)]` function, is compiled for AVX2 and for the plain target.
macro_rules! wide {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? = $body:ident) => {
        $(#[$meta])*
        $visibility fn $name($($arg: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) $(-> $result)? {
                    $body($($arg),*)
                }
                if std::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has just been found to have the feature.
                    #[allow(unsafe_code)]
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

pub(crate) use wide;
