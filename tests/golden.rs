//! Parity with results that the peers' own code computed (FusionBench, mergekit, transformers).
//!
//! Walks every case in `tests/golden`, or in the folder named by `FUSEBENCH_GOLDEN` of the same layout, and prints one
//! line a case and the counts. An argument that is not an option is a filter on case ids. Exit status 1 on any failure.

#[path = "golden_cases/case.rs"]
mod case;
#[path = "golden_cases/compare.rs"]
mod compare;
#[path = "golden_cases/documents.rs"]
mod documents;
#[path = "golden_cases/ensembles.rs"]
mod ensembles;
#[path = "golden_cases/learned.rs"]
mod learned;
#[path = "golden_cases/merging.rs"]
mod merging;
#[path = "golden_cases/mixtures.rs"]
mod mixtures;
#[path = "golden_cases/near_tie.rs"]
mod near_tie;
#[path = "golden_cases/per_task.rs"]
mod per_task;
#[path = "golden_cases/plain.rs"]
mod plain;
#[path = "golden_cases/recipes.rs"]
mod recipes;
#[path = "golden_cases/spectral.rs"]
mod spectral;
#[path = "golden_cases/vision.rs"]
mod vision;

use case::{Case, Outcome};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = std::env::var_os("FUSEBENCH_GOLDEN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"), PathBuf::from);
    let filter: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let cases = match case::find(&root) {
        Ok(cases) if cases.is_empty() => {
            println!("no cases in {}", root.display());
            return ExitCode::FAILURE;
        }
        Ok(cases) => cases,
        Err(error) => {
            println!("cannot read {}: {error}", root.display());
            return ExitCode::FAILURE;
        }
    };
    // A failed case must not bury its line under a panic's backtrace.
    std::panic::set_hook(Box::new(|_| {}));
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for case in cases.iter().filter(|case| filter.is_empty() || filter.iter().any(|part| case.id.contains(part))) {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&root, case))).unwrap_or_else(|panic| {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Outcome::Failed(format!("panicked: {}", text.unwrap_or("?")))
        });
        match outcome {
            Outcome::Passed(detail) => {
                passed += 1;
                println!("ok    {}  {detail}", case.id);
            }
            Outcome::Failed(reason) => {
                failed += 1;
                println!("FAIL  {}  {reason}", case.id);
            }
            Outcome::Skipped(reason) => {
                skipped += 1;
                println!("skip  {}  {reason}", case.id);
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(root: &Path, case: &Case) -> Outcome {
    let ours = learned::run(root, case).or_else(|| spectral::run(root, case)).or_else(|| per_task::run(root, case));
    let ours = ours.or_else(|| mixtures::run(root, case));
    if let Some(result) = ours {
        return result.unwrap_or_else(Outcome::Failed);
    }
    let result = match case.family.as_str() {
        _ if recipes::knows(case) => recipes::run(root, case),
        "fusion_bench" | "mergekit" => merging::run(root, case),
        "mergekit_yaml" => documents::run(root, case),
        "models" => vision::run(case),
        "moe" if case.method() == "depth_upscaling" => documents::depth(root, case),
        "moe" => ensembles::run(root, case),
        other => Ok(Outcome::Skipped(format!("{other}: not part of this test"))),
    };
    result.unwrap_or_else(Outcome::Failed)
}
