//! Cases of methods that look at data: merging with given statistics, and our own statistics of tiny CLIP towers.

use crate::case::{Case, Outcome, Result, inputs, open, strings};
use crate::compare;
use fusebench::cancel::Cancel;
use fusebench::engine::EngineError;
use fusebench::engine::calibration::{Source, Statistics};
use fusebench::fusion::{
    Adapted, Calibration, Context, Draw, Entropy, Fused, FusionError, Gram, Grams, Layout, Method, News, Pool, Shown,
    Slopes, find,
};
use fusebench::models::clip_vit::ClipVitConfig;
use fusebench::params::ParamSet;
use fusebench::tasks::objective::entropy;
use fusebench::weights::{Checkpoint, DType, Data, Source as Bytes, StateDict, Tensor, TensorInfo};
use fusebench::zoo::Head;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Runs the case, if its method is one of these.
pub fn run(root: &Path, case: &Case) -> Option<Result> {
    Some(match case.method() {
        "regmean" => regmean(root, case),
        "fisher_merging" => fisher(root, case),
        "trust_region" if case.flag("zero_shot") == Some(false) => tatr(root, case),
        "regmean/fisher statistics" => statistics(root, case),
        "entropy_loss" => entropy_loss(case),
        "adamerging_task_wise" | "adamerging_layer_wise" if case.family == "moe" => steps(root, case),
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
        Fused::Ensemble(_) | Fused::PerTask(_) | Fused::Mixture(_) => {
            Err("there is no single set of weights".to_owned())
        }
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
        let gram = |info: &TensorInfo| {
            let module = info.name.strip_prefix(&prefix)?;
            let values = Arc::new(self.result.get(&info.name)?.to_f64_vec());
            Some((format!("{module}.weight"), Gram { size: info.shape[0], values, layout: self.layout }))
        };
        Ok(Arc::new(self.result.tensors().iter().filter_map(gram).collect()))
    }

    fn slopes(
        &self,
        task: &str,
        _: &Checkpoint,
        what: Slopes,
        _: Draw,
        _: &mut Context<'_>,
    ) -> std::result::Result<Arc<StateDict>, FusionError> {
        let prefix = format!("{}.{task}.", if what == Slopes::LabelledMagnitudes { "grad" } else { "fisher" });
        let tensor = |info: &TensorInfo| {
            let name = info.name.strip_prefix(&prefix)?.to_owned();
            let data = Data::Float(self.result.get(&info.name)?.to_vec());
            Some(Tensor { name, shape: info.shape.clone(), dtype: DType::F32, data })
        };
        Ok(Arc::new(StateDict::new(self.result.tensors().iter().filter_map(tensor).collect())))
    }

    fn entropy(
        &self,
        _: &[&str],
        _: Arc<StateDict>,
        _: Draw,
        _: usize,
        _: &mut Context<'_>,
    ) -> std::result::Result<Entropy, FusionError> {
        Ok(Entropy { losses: Vec::new(), information: None, slope: StateDict::default() })
    }

    fn cross_entropy(
        &self,
        _: &[&str],
        _: Option<&[f64]>,
        _: Arc<StateDict>,
        _: Draw,
        _: usize,
        _: &mut Context<'_>,
    ) -> std::result::Result<Entropy, FusionError> {
        Ok(Entropy { losses: Vec::new(), information: None, slope: StateDict::default() })
    }

    fn block_grams(
        &self,
        _: &str,
        _: Arc<StateDict>,
        _: &[&str],
        _: Draw,
        _: &mut Context<'_>,
    ) -> std::result::Result<Grams, FusionError> {
        Ok(Grams::new())
    }

    fn count(&self, _: &str, _: Draw) -> std::result::Result<usize, FusionError> {
        Ok(1)
    }
}

/// The Fisher matrices stand in the result, or in that of the case with the same pool that has them.
fn fisher(root: &Path, case: &Case) -> Result {
    let inputs = inputs(root, case, true)?;
    let result = case.output()?;
    let has = |result: &Checkpoint| result.tensors().iter().any(|info| info.name.starts_with("fisher."));
    let given = if has(&result) { result.clone() } else { neighbour(case, &has)? };
    let given = Given { result: given, layout: Layout::OutIn };
    let normalize = case.flag("normalize_fisher_weight").unwrap_or(true);
    let shares = case.per_model("fisher_scaling_coefficients", &inputs.experts)?;
    let floor = case.number("minimal_fisher_weight").unwrap_or(1e-6);
    let mut params = json!({ "normalize": normalize, "floor": floor });
    // Where matrices are normalised, FusionBench sets these anew.
    if let Some(shares) = shares.filter(|_| !normalize) {
        params["weights"] = json!(shares);
    }
    let fused = weights("fisher", params, &inputs.pool, &given)?;
    compare::models(case, &fused, &result, &|_, _, _, _| None)
}

/// The mean sizes of gradients stand in the result.
fn tatr(root: &Path, case: &Case) -> Result {
    let inputs = inputs(root, case, true)?;
    let result = case.output()?;
    let given = Given { result: result.clone(), layout: Layout::OutIn };
    let params = json!({
        "scaling": case.number("scaling_factor").unwrap_or(0.3),
        "quantile": case.number("threshold_quantile").unwrap_or(0.99),
    });
    let fused = weights("tatr", params, &inputs.pool, &given)?;
    compare::models(case, &fused, &result, &|_, _, _, _| None)
}

/// The result of another case of the same folder and pool that has what is looked for.
fn neighbour(case: &Case, has: &dyn Fn(&Checkpoint) -> bool) -> Result<Checkpoint> {
    let pool = case.json["pool"].as_str().unwrap_or_default();
    let pool = format!("__{}.safetensors", pool.rsplit('/').next().unwrap_or_default());
    let mut files: Vec<_> =
        std::fs::read_dir(&case.folder).map_err(text)?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let named = |path: &std::path::PathBuf| {
        path.file_name().is_some_and(|name| {
            let name = name.to_string_lossy();
            name.starts_with("fisher") && name.ends_with(&pool)
        })
    };
    let found = files.into_iter().filter(named).filter_map(|path| open(&path).ok()).find(|file| has(file));
    found.ok_or_else(|| format!("no case {pool} has what this one needs"))
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

    fn labels(&self, task: &str, _: Shown, _: &[usize]) -> std::result::Result<Vec<usize>, EngineError> {
        let reason = "these images have no labels".to_owned();
        Err(FusionError::Data { task: task.to_owned(), reason }.into())
    }
}

/// A tower that ends in the peer's projection.
pub fn tower(root: &Path, name: &str) -> Result<Checkpoint> {
    let file = root.join(format!("moe/models/{name}.safetensors"));
    let tower = open(if file.exists() { file } else { root.join("moe/models").join(name) }.as_path())?;
    let mut tensors = StateDict::load(&tower).tensors().to_vec();
    let inputs = open(&root.join("moe/inputs.safetensors"))?;
    let projection = inputs.require("visual_projection").map_err(text)?;
    tensors.push(Tensor {
        name: "visual_projection.weight".to_owned(),
        shape: projection.info.shape.clone(),
        dtype: DType::F32,
        data: Data::Float(projection.to_vec()),
    });
    let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
    let bytes = safetensors::serialize(views, None).map_err(text)?;
    Checkpoint::from_source(name, Bytes::Owned(bytes.into())).map_err(text)
}

/// The loss and its slope over logits.
fn entropy_loss(case: &Case) -> Result {
    use burn::tensor::{Device, Tensor, TensorData};
    let theirs = case.output()?;
    let logits = theirs.require("logits").map_err(text)?;
    let data = TensorData::new(logits.to_vec(), logits.info.shape.clone());
    let tracked = Tensor::<2>::from_data(data, &Device::flex().autodiff()).require_grad();
    let loss = entropy(tracked.clone());
    let slope = tracked.grad(&loss.backward()).ok_or("no slope")?;
    let values = |data: TensorData| data.try_into_vec::<f32>().map_err(|error| format!("{error:?}"));
    let loss = values(loss.into_data())?;
    let mut worst = compare::activations("loss", &loss, theirs.require("loss").map_err(text)?, 1e-5)?;
    let expected = theirs.require("grad_logits").map_err(text)?;
    worst = worst.max(compare::activations("grad_logits", &values(slope.into_data())?, expected, 1e-5)?);
    Ok(Outcome::Passed(format!("a loss and its slope, {worst:.1e} off at most")))
}

/// Steps of AdaMerging on fixed batches: losses before each step, coefficients after it.
fn steps(root: &Path, case: &Case) -> Result {
    let names = case.models();
    let (base, experts) = names.split_first().ok_or("the case names no models")?;
    let opened = experts.iter().map(|name| Ok((name.clone(), tower(root, name)?))).collect::<Result<Vec<_>>>()?;
    let pool = Pool::new(Some(tower(root, base)?), opened).map_err(text)?;
    let statistics = Statistics::direct(Arc::new(Tiny::read(root, experts)?)).map_err(text)?;
    let theirs = case.output()?;
    let count = case.param("steps").as_u64().unwrap_or(1) as usize;
    let given = |steps: usize| {
        json!({
            "steps": steps,
            "rate": case.number("lr").unwrap_or(1e-3),
            "init": case.number("init_values").unwrap_or(0.3),
            "clamp": case.flag("clamp_weights").unwrap_or(false),
            "batch": 512,
        })
    };
    let method = find(case.method()).map_err(text)?;
    let order = strings(&case.json["parameter_order"]);
    let (mut worst, mut compared) = (0.0f64, 0);
    for step in 0..count {
        let (cancel, mut silent, mut heard) = (Cancel::default(), |_, _| {}, Vec::<Adapted>::new());
        let mut listener = |news| {
            if let News::Adapted(adapted) = news {
                heard.push(adapted);
            }
        };
        let mut cx = Context::new(&cancel, &mut silent).with_data(&statistics).with_listener(&mut listener);
        let fused = method.run(&params(method, given(step + 1))?, &pool, &mut cx).map_err(text)?;
        let Fused::Linear(plan) = fused else { return Err("not linear".to_owned()) };
        let losses = &heard.last().ok_or("no step was heard of")?.losses;
        for (expert, loss) in experts.iter().zip(losses) {
            let their = theirs.require(&format!("step{step}.loss.{expert}")).map_err(text)?;
            worst = worst.max(compare::activations(&their.info.name, &[*loss as f32], their, 1e-5)?);
            compared += 1;
        }
        let expected = theirs.require(&format!("step{step}.merge_weight_after")).map_err(text)?.to_f64_vec();
        let columns = expected.len() / experts.len();
        for (at, expected) in expected.iter().enumerate() {
            let (expert, column) = (at / columns, at % columns);
            // A key's bias has a slope of exactly zero, and Adam makes a step of its rounding.
            if columns > 1 && order[column].ends_with("k_proj.bias") {
                continue;
            }
            let groups = plan.groups.as_deref().unwrap_or(pool.groups());
            let group = if columns > 1 { groups.index(&order[column]) } else { 0 };
            let ours = f64::from(plan.coefficients[expert][group]);
            let difference = (ours - expected).abs();
            worst = worst.max(difference);
            compared += 1;
            // Where a slope is little more than its rounding, Adam still takes a whole step: 1e-3 of it is allowed.
            if difference > 1e-3 * case.number("lr").unwrap_or(1e-3) * (step + 1) as f64 + 1e-7 {
                let name = order.get(column).map_or("", String::as_str);
                return Err(format!("step {step}: {} {name} is {ours}, the peer's {expected}", experts[expert]));
            }
        }
    }
    Ok(Outcome::Passed(format!("{count} steps, {compared} numbers, {worst:.1e} off at most")))
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
        let what = Slopes::BatchSquares;
        let fisher = statistics.slopes(name, &tower(root, name)?, what, draw, &mut cx).map_err(text)?;
        for their in result.iter() {
            let Some(tensor) = their.info.name.strip_prefix(&format!("fisher.{name}.")) else { continue };
            let ours = fisher.get(tensor).and_then(Tensor::values).ok_or_else(|| format!("no Fisher of {tensor}"))?;
            worst = worst.max(compare::activations(&their.info.name, ours, their, 1e-4)?);
            compared += 1;
        }
    }
    if compared == 0 {
        return Err("nothing was compared".to_owned());
    }
    Ok(Outcome::Passed(format!("{compared} statistics, {worst:.1e} off at most")))
}
