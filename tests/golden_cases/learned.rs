//! Cases of methods that look at data: merging with given statistics, and our own statistics of tiny CLIP towers.

use crate::case::{Case, Outcome, Result, inputs, open, strings};
use crate::compare;
use fusebench::cancel::Cancel;
use fusebench::engine::EngineError;
use fusebench::engine::calibration::{Source, Statistics};
use fusebench::fusion::{
    Calibration, Context, Draw, Fused, FusionError, Gram, Grams, Layout, Method, Pool, Shown, find,
};
use fusebench::models::clip_vit::ClipVitConfig;
use fusebench::params::ParamSet;
use fusebench::weights::{Checkpoint, StateDict};
use fusebench::zoo::Head;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Runs the case, if its method is one of these.
pub fn run(root: &Path, case: &Case) -> Option<Result> {
    Some(match case.method() {
        "regmean" => regmean(root, case),
        "regmean/fisher statistics" => statistics(root, case),
        _ => return None,
    })
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// A method's defaults and some other values, in or out of the sliders' ranges.
fn params(method: &Method, given: Json) -> Result<ParamSet> {
    let mut values = serde_json::to_value(ParamSet::defaults(method.specs)).map_err(text)?;
    for (name, value) in given.as_object().into_iter().flatten() {
        if values.get(name).is_none() {
            return Err(format!("{} has no parameter `{name}`", method.id));
        }
        values[name] = value.clone();
    }
    serde_json::from_value(values).map_err(text)
}

fn weights(id: &str, given: Json, pool: &Pool, data: &dyn Calibration) -> Result<StateDict> {
    let method = find(id).map_err(text)?;
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut cx = Context::new(&cancel, &mut silent).with_data(data);
    match method.run(&params(method, given)?, pool, &mut cx).map_err(text)? {
        Fused::Linear(plan) => plan.materialise(pool, &mut cx).map_err(text),
        Fused::Weights(weights) => Ok(weights),
        Fused::Ensemble(_) | Fused::PerTask(_) => Err("there is no single set of weights".to_owned()),
    }
}

/// Statistics that stand in the peer's result.
struct Given {
    result: Checkpoint,
    layout: Layout,
}

impl Calibration for Given {
    fn grams(
        &self,
        task: &str,
        _: &Checkpoint,
        _: Draw,
        _: &mut Context<'_>,
    ) -> std::result::Result<Arc<Grams>, FusionError> {
        let prefix = format!("gram.{task}.");
        let gram = |info: &fusebench::weights::TensorInfo| {
            let module = info.name.strip_prefix(&prefix)?;
            let values = Arc::new(self.result.get(&info.name)?.to_f64_vec());
            Some((format!("{module}.weight"), Gram { size: info.shape[0], values, layout: self.layout }))
        };
        Ok(Arc::new(self.result.tensors().iter().filter_map(gram).collect()))
    }

    fn count(&self, _: &str, _: Draw) -> std::result::Result<usize, FusionError> {
        Ok(1)
    }
}

fn regmean(root: &Path, case: &Case) -> Result {
    let inputs = inputs(root, case, true)?;
    let result = case.output()?;
    let transpose = case.flag("weight_transpose").unwrap_or(true);
    let given = Given { result: result.clone(), layout: if transpose { Layout::OutIn } else { Layout::InOut } };
    let exclude = strings(case.param("exclude_param_names_regex"));
    let excluded = inputs.parameters.iter().filter(|name| exclude.iter().any(|part| name.starts_with(part.as_str())));
    let excluded: Vec<&str> = excluded.map(String::as_str).collect();
    let alpha = case.number("reduce_non_diagonal_ratio").unwrap_or(1.0);
    let fused = weights("regmean", json!({ "alpha": alpha, "exclude": excluded.join(", ") }), &inputs.pool, &given)?;
    compare::models(case, &fused, &result, &|_, _, _, _| None)
}

/// The towers and inputs of `moe`: a head and a few images a task.
pub struct Tiny {
    config: ClipVitConfig,
    heads: HashMap<String, Head>,
    images: HashMap<String, Vec<Vec<f32>>>,
}

impl Tiny {
    pub fn read(root: &Path, tasks: &[String]) -> Result<Self> {
        let config = std::fs::read_to_string(root.join("moe/models/pretrained/config.json")).map_err(text)?;
        let config = ClipVitConfig::from_json(&config).map_err(text)?;
        let inputs = open(&root.join("moe/inputs.safetensors"))?;
        let scale = inputs.require("logit_scale_exp").map_err(text)?.to_vec()[0];
        let (mut heads, mut images) = (HashMap::new(), HashMap::new());
        for task in tasks {
            let rows = inputs.require(&format!("head.{task}")).map_err(text)?;
            let [classes, dim] = rows.info.shape[..] else { return Err(format!("head.{task} is no matrix")) };
            heads.insert(task.clone(), Head { classes, dim, rows: rows.to_vec(), scale });
            let pixels = inputs.require(&format!("images.{task}")).map_err(text)?;
            let each = pixels.info.len() / pixels.info.shape[0];
            images.insert(task.clone(), pixels.to_vec().chunks(each).map(<[f32]>::to_vec).collect());
        }
        Ok(Self { config, heads, images })
    }

    fn images(&self, task: &str) -> std::result::Result<&Vec<Vec<f32>>, EngineError> {
        let missing = || FusionError::Data { task: task.to_owned(), reason: "no images".to_owned() };
        Ok(self.images.get(task).ok_or_else(missing)?)
    }
}

impl Source for Tiny {
    fn config(&self) -> &ClipVitConfig {
        &self.config
    }

    fn head(&self, task: &str) -> std::result::Result<&Head, EngineError> {
        let missing = || FusionError::Data { task: task.to_owned(), reason: "no head".to_owned() };
        Ok(self.heads.get(task).ok_or_else(missing)?)
    }

    fn count(&self, task: &str, _: Shown) -> std::result::Result<usize, EngineError> {
        Ok(self.images(task)?.len())
    }

    fn pixels(&self, task: &str, _: Shown, indices: &[usize]) -> std::result::Result<Vec<f32>, EngineError> {
        let images = self.images(task)?;
        Ok(indices.iter().flat_map(|&at| images[at].iter().copied()).collect())
    }
}

fn tower(root: &Path, name: &str) -> Result<Checkpoint> {
    let file = root.join(format!("moe/models/{name}.safetensors"));
    open(if file.exists() { file } else { root.join("moe/models").join(name) }.as_path())
}

fn statistics(root: &Path, case: &Case) -> Result {
    let names = case.models();
    let result = case.output()?;
    let statistics = Statistics::direct(Arc::new(Tiny::read(root, &names)?)).map_err(text)?;
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let mut cx = Context::new(&cancel, &mut silent);
    let draw = Draw { shown: Shown::Validation, samples: usize::MAX, batch: usize::MAX, seed: 0 };
    let (mut worst, mut compared) = (0.0f64, 0);
    for name in &names {
        let grams = statistics.grams(name, &tower(root, name)?, draw, &mut cx).map_err(text)?;
        for their in result.iter() {
            let Some(module) = their.info.name.strip_prefix(&format!("gram.{name}.")) else { continue };
            let gram = grams.get(&format!("{module}.weight")).ok_or_else(|| format!("no Gram matrix of {module}"))?;
            let ours: Vec<f32> = gram.values.iter().map(|x| *x as f32).collect();
            worst = worst.max(compare::activations(&their.info.name, &ours, their, 1e-5)?);
            compared += 1;
        }
    }
    if compared == 0 {
        return Err("nothing was compared".to_owned());
    }
    Ok(Outcome::Passed(format!("{compared} statistics, {worst:.1e} off at most")))
}
