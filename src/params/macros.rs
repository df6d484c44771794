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
///
/// A group of parameters that several methods share is written `..field: Group;`, before or after the method's own:
/// `Group` is the `Params` of another `params!`, and becomes a field.
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
    ($( #[doc = $help:literal] $name:ident : $type:ty = $spec:expr; )* ..$shared:ident : $group:ty;) => {
        $crate::params!(@with OWN, GROUP; $shared: $group; $( #[doc = $help] $name: $type = $spec; )*);
    };
    (..$shared:ident : $group:ty; $( #[doc = $help:literal] $name:ident : $type:ty = $spec:expr; )*) => {
        $crate::params!(@with GROUP, OWN; $shared: $group; $( #[doc = $help] $name: $type = $spec; )*);
    };
    (
        @with $first:ident, $second:ident; $shared:ident : $group:ty;
        $( #[doc = $help:literal] $name:ident : $type:ty = $spec:expr; )*
    ) => {
        /// The method's parameters, typed.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Params {
            $( #[doc = $help] pub $name: $type, )*
            /// Shared with other methods.
            pub $shared: $group,
        }

        impl Params {
            const OWN: &'static [$crate::params::Spec] = &[ $( $spec.named(stringify!($name), $help), )* ];
            const GROUP: &'static [$crate::params::Spec] = <$group>::SPECS;

            /// The declarations, in the order they are shown.
            pub const SPECS: &'static [$crate::params::Spec] =
                &$crate::params::join::<{ Params::OWN.len() + Params::GROUP.len() }>(Self::$first, Self::$second);

            /// Reads the typed values out of a checked set.
            ///
            /// # Errors
            /// When a value is missing or of the wrong type.
            pub fn from_set(set: &$crate::params::ParamSet) -> Result<Self, $crate::params::ParamError> {
                Ok(Self { $( $name: set.read(stringify!($name))?, )* $shared: <$group>::from_set(set)? })
            }
        }
    };
}
