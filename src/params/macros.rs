//! `params!`: one declaration per parameter.

/// Declares a method's parameters: a typed struct, its specs, and the way from a [`ParamSet`](crate::params::ParamSet).
///
/// ```
/// use fusebench::params::{ParamSet, float};
///
/// fusebench::params! {
///     /// Coefficient of the summed task vectors.
///     scaling: f32 = float(0.3, 0.0, 2.0, 0.05).symbol("λ");
/// }
///
/// let set = ParamSet::defaults(Params::SPECS);
/// assert_eq!(Params::from_set(&set).unwrap().scaling, 0.3);
/// ```
#[macro_export]
macro_rules! params {
    ($( #[doc = $help:literal] $name:ident : $type:ty = $spec:expr; )*) => {
        /// The method's parameters, typed.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Params { $( #[doc = $help] pub $name: $type, )* }

        impl Params {
            /// The declarations, in the order they are shown.
            pub const SPECS: &'static [$crate::params::Spec] =
                &[ $( $spec.named(stringify!($name), $help), )* ];

            /// Reads the typed values out of a checked set.
            ///
            /// # Errors
            /// When a value is missing or of the wrong type.
            #[allow(unused_variables)]
            pub fn from_set(set: &$crate::params::ParamSet) -> Result<Self, $crate::params::ParamError> {
                Ok(Self { $( $name: set.read(stringify!($name))?, )* })
            }
        }
    };
}
