//! Parameters that several methods share: declared once, with what they come to.

pub(super) mod adaptation;
pub(super) mod centre;
pub(super) mod concrete;
pub(super) mod deltas;
pub(super) mod draw;
pub(super) mod drop;
pub(super) mod mergekit;
pub(super) mod routing;
pub(super) mod weights;
