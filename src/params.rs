//! Hyper-parameter schema: declared once per fusion method, used by sliders, forms, TOML, `--set`, JSON Schema and docs.
//!
//! [`params!`](crate::params!) turns one declaration into a typed struct and a `&'static [Spec]`; everything that
//! shows, reads or checks a parameter works on the specs and never on a method's own struct.

mod bounds;
mod error;
mod macros;
mod schema;
mod set;
mod spec;
mod suggest;
mod value;

pub use bounds::Bounds;
pub use error::ParamError;
pub use schema::json_schema;
pub use set::ParamSet;
pub use spec::{Cost, Kind, Scale, Spec, choice, flag, float, int, join, per_group, per_model, seed, text};
pub use suggest::closest;
pub use value::{FromValue, PerGroup, PerModel, Value};
