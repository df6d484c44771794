//! `fusebench zoo add`: a zoo with further tasks, such as those that nothing merged has seen.

use super::args::{Global, ZooAdd};
use super::error::CliError;
use super::train::train;
use super::zoo::open;
use crate::zoo::{AddOptions, add_tasks};

pub fn run(args: &ZooAdd, global: &Global) -> Result<(), CliError> {
    let zoo = open(global)?;
    let usual = AddOptions::default();
    let options = AddOptions {
        seed: args.seed.unwrap_or(usual.seed),
        steps: args.steps.unwrap_or(usual.steps),
        rate: args.rate.unwrap_or(usual.rate),
        ..usual
    };
    train(&args.data, args.quiet, args.json, |progress, cancel| {
        add_tasks(&zoo, &args.data, &args.out, &options, progress, cancel)
    })
}
