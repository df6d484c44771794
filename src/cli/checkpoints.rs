//! `fusebench checkpoints`: the base and the experts, their sizes and how far each expert went from the base.

use super::args::{Global, Listing};
use super::error::CliError;
use super::output::{self, Columns};
use super::zoo::open;
use crate::cancel::Cancel;
use crate::fusion::similarity;
use crate::text::printable;
use crate::weights::{Checkpoint, TensorInfo};
use serde_json::json;
use std::collections::BTreeSet;

struct Row {
    name: String,
    role: &'static str,
    parameters: usize,
    tensors: usize,
    bytes: usize,
    dtypes: String,
    /// ‖θ − θ₀‖, for experts.
    norm: Option<f64>,
    fingerprint: String,
}

pub fn run(args: &Listing, global: &Global) -> Result<(), CliError> {
    let zoo = open(global)?;
    let pool = zoo.pool();
    let norms = if pool.base().is_some() { similarity(pool, &Cancel::default())?.norms } else { Vec::new() };
    let mut rows: Vec<Row> = pool.base().map(|base| row("base", "base", base, None)).into_iter().collect();
    for (at, (name, expert)) in pool.experts().iter().enumerate() {
        let role = if at < zoo.own_experts().len() { "expert" } else { "guest" };
        rows.push(row(name, role, expert, norms.get(at).copied()));
    }
    if args.json {
        let rows = rows.iter().map(|row| {
            json!({
                "name": row.name,
                "role": row.role,
                "parameters": row.parameters,
                "tensors": row.tensors,
                "bytes": row.bytes,
                "dtypes": row.dtypes,
                "task_vector_norm": row.norm,
                "fingerprint": row.fingerprint,
            })
        });
        return output::json(&rows.collect::<Vec<_>>());
    }
    let mut columns =
        Columns::with_header(["checkpoint", "role", "parameters", "tensors", "MiB", "dtype", "‖task vector‖"]);
    for row in rows {
        columns.row([
            printable(&row.name).into_owned(),
            row.role.to_owned(),
            row.parameters.to_string(),
            row.tensors.to_string(),
            format!("{:.2}", row.bytes as f64 / f64::from(1 << 20)),
            row.dtypes,
            row.norm.map_or_else(|| "-".to_owned(), |norm| format!("{norm:.3}")),
        ]);
    }
    columns.print()
}

fn row(name: &str, role: &'static str, checkpoint: &Checkpoint, norm: Option<f64>) -> Row {
    let tensors = checkpoint.tensors();
    let dtypes: BTreeSet<String> = tensors.iter().map(|tensor| tensor.dtype.to_string()).collect();
    Row {
        name: name.to_owned(),
        role,
        parameters: tensors.iter().map(TensorInfo::len).sum(),
        tensors: tensors.len(),
        bytes: tensors.iter().map(TensorInfo::bytes).sum(),
        dtypes: dtypes.into_iter().collect::<Vec<_>>().join(" "),
        norm,
        fingerprint: checkpoint.fingerprint().to_owned(),
    }
}
