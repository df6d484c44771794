//! fusebench: a terminal explorer for deep model fusion.
//!
//! | room | what it is for | may use |
//! |---|---|---|
//! | [`files`], [`text`], [`cancel`] | atomic writes; strings made safe to show; the cancel flag | – |
//! | `params` | hyper-parameter schema: one declaration drives slider, form, TOML, `--set`, JSON Schema, docs | – |
//! | [`weights`] | checkpoints as named tensors: safetensors, dtypes, atomic writer | params |
//! | [`fusion`] | method contract, registry, kernels, the methods | params, weights |
//! | [`models`] | architectures as burn modules, one file a family | fusion and below |
//! | [`tasks`] | data sets, splits, preprocessing, metrics | fusion, models and below |
//! | [`zoo`] | the embedded checkpoints and data, and how they were trained | tasks and below |
//! | [`store`] | run history (SQLite), state and cache files | – |
//! | [`charts`] | series, decimation, plotters scenes, tables | – |
//! | [`engine`] | a preset becomes a plan, jobs become events; devices; cancellation | zoo, store, charts and below |
//! | [`tui`] | model, messages, update, view | engine and below |
//! | [`cli`] | one file a subcommand | tui and below |
//!
//! Data flows one way along that table; `tests/architecture.rs` holds the code to it.

// Errors are returned, and only the command line prints. Tests are free to do both.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::print_stdout,
        clippy::print_stderr,
        clippy::dbg_macro
    )
)]

pub mod cancel;
pub mod charts;
#[allow(clippy::print_stdout, clippy::print_stderr)]
pub mod cli;
pub mod engine;
pub mod files;
pub mod fusion;
pub mod models;
pub mod params;
pub mod store;
pub mod tasks;
pub mod text;
pub mod tui;
pub mod weights;
pub mod zoo;
