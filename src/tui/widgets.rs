//! Drawing shared by the screens.

pub mod pane;
