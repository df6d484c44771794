//! Ensembles of CLIP vision towers: the members' outputs, combined by the rule that evaluation uses.

use crate::case::{Case, Outcome, Result, open};
use crate::compare::activations;
use crate::vision::{RELATIVE, pixels, tower, values};
use fusebench::cancel::Cancel;
use fusebench::fusion::{Context, EnsembleRule, Fused, Pool, find};
use fusebench::params::{ParamSet, Value};
use fusebench::weights::Checkpoint;
use std::path::Path;

pub fn run(root: &Path, case: &Case) -> Result {
    let id = match case.method() {
        "simple_ensemble" => "simple_ensemble",
        "weighted_ensemble" | "weighted_ensemble_raw" => "weighted_ensemble",
        "max_model_predictor" => "max_model",
        other => return Ok(Outcome::Skipped(format!("{other}: not built yet"))),
    };
    let folder = root.join("moe/models");
    let names = case.models();
    let member = |name: &String| {
        let file = folder.join(format!("{name}.safetensors"));
        Ok((name.clone(), open(if file.exists() { &file } else { &folder }.as_path())?))
    };
    let members: Vec<(String, Checkpoint)> = names.iter().map(member).collect::<Result<_>>()?;
    let rule = rule(id, case, &names, &members)?;

    let inputs = open(&root.join("moe/inputs.safetensors"))?;
    let (mut last, mut pooled) = (Vec::new(), Vec::new());
    for (_, weights) in &members {
        let model = tower(&folder.join("pretrained/config.json"), weights)?;
        let hidden = model.hidden_states(pixels(&inputs, "x", &model)?).pop().ok_or("no hidden states")?;
        pooled.push(values(model.pool(hidden.clone()))?);
        last.push(values(hidden)?);
    }
    let output = case.output()?;
    let mut worst = 0.0f64;
    for (name, outputs) in [("last_hidden_state", last), ("pooler_output", pooled)] {
        let theirs = output.require(name).map_err(|error| error.to_string())?;
        let outputs: Vec<&[f32]> = outputs.iter().map(Vec::as_slice).collect();
        worst = worst.max(activations(name, &rule.combine(&outputs), theirs, RELATIVE)?);
    }
    Ok(Outcome::Passed(format!("{} members, {worst:.1e} off at most", members.len())))
}

/// The rule that our method makes of the case's parameters.
fn rule(id: &str, case: &Case, names: &[String], members: &[(String, Checkpoint)]) -> Result<EnsembleRule> {
    let method = find(id).map_err(|error| error.to_string())?;
    let mut given = Vec::new();
    if id == "weighted_ensemble" {
        if let Some(weights) = case.per_model("weights", names)? {
            given.push(("weights", Value::List(weights)));
        }
        let normalize = case.flag("normalize").unwrap_or(case.method() != "weighted_ensemble_raw");
        given.push(("normalize", Value::Bool(normalize)));
    }
    let params = ParamSet::checked(method.specs, given).map_err(|error| error.to_string())?;
    let pool = Pool::new(None, members.to_vec()).map_err(|error| error.to_string())?;
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    match method.run(&params, &pool, &mut Context::new(&cancel, &mut silent)) {
        Ok(Fused::Ensemble(rule)) => Ok(rule),
        Ok(_) => Err("not an ensemble".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
