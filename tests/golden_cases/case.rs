//! Finding and reading cases.

use fusebench::fusion::Pool;
use fusebench::weights::Checkpoint;
use serde_json::Value as Json;
use std::io;
use std::path::{Path, PathBuf};

/// What became of a case.
pub enum Outcome {
    Passed(String),
    Failed(String),
    Skipped(String),
}

pub type Result<T = Outcome> = std::result::Result<T, String>;

/// One case: its description, and where it lies.
pub struct Case {
    pub id: String,
    /// The folder under the root: `fusion_bench`, `mergekit`, `models`, `moe` …
    pub family: String,
    pub folder: PathBuf,
    pub json: Json,
}

/// Every case under `root`, in name order.
pub fn find(root: &Path) -> io::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for family in entries(root)?.into_iter().filter(|path| path.is_dir()) {
        let name = file_name(&family);
        for entry in entries(&family)? {
            let stem = file_name(&entry);
            if entry.is_dir() && name == "models" && entry.join("config.json").exists() {
                let meta = entry.join("meta.json");
                let json = if meta.exists() { read(&meta)? } else { Json::Null };
                cases.push(Case { id: format!("{name}/{stem}"), family: name.clone(), folder: entry, json });
            } else if let Some(stem) = stem.strip_suffix(".json").filter(|stem| !stem.starts_with('_')) {
                let json = read(&entry)?;
                // pool.json and the like describe inputs, not cases.
                let is_case = json.get("method").is_some()
                    || !matches!(name.as_str(), "fusion_bench" | "mergekit" | "mergekit_yaml" | "peft" | "moe");
                if is_case && name != "models" {
                    let id = json["id"].as_str().map_or_else(|| format!("{name}/{stem}"), str::to_owned);
                    cases.push(Case { id, family: name.clone(), folder: family.clone(), json });
                }
            }
        }
    }
    Ok(cases)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> io::Result<Json> {
    serde_json::from_slice(&std::fs::read(path)?)
        .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

impl Case {
    pub fn method(&self) -> &str {
        self.json["method"].as_str().unwrap_or_default()
    }

    pub fn param(&self, name: &str) -> &Json {
        &self.json["params"][name]
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.param(name).as_f64()
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        self.param(name).as_bool()
    }

    /// The models that the case combines, in order.
    pub fn models(&self) -> Vec<String> {
        strings(&self.json["models"])
    }

    /// The peer's own rounding noise, where it was measured.
    pub fn noise(&self) -> Option<f64> {
        self.json["peer_f32_vs_f64_max_abs"].as_f64()
    }

    /// What the peer computed.
    pub fn output(&self) -> Result<Checkpoint> {
        let name = self.json["output"].as_str().ok_or("the case names no output")?;
        open(&self.folder.join(name))
    }

    /// One number a model, from a list or a map by name; `None` where the parameter is missing.
    pub fn per_model(&self, name: &str, models: &[String]) -> Result<Option<Vec<f64>>> {
        let number = |value: &Json| value.as_f64().ok_or_else(|| format!("`{name}` holds {value}, not a number"));
        match self.param(name) {
            Json::Null => Ok(None),
            Json::Array(list) if list.len() == models.len() => list.iter().map(number).collect::<Result<_>>().map(Some),
            Json::Object(map) => {
                let of = |model: &String| map.get(model).ok_or_else(|| format!("`{name}` has no entry for {model}"));
                models.iter().map(|model| of(model).and_then(number)).collect::<Result<_>>().map(Some)
            }
            Json::Number(one) => Ok(Some(vec![one.as_f64().unwrap_or_default(); models.len()])),
            other => Err(format!("`{name}` = {other} is neither a list with one per model nor a map")),
        }
    }
}

pub fn strings(json: &Json) -> Vec<String> {
    json.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

pub fn open(path: &Path) -> Result<Checkpoint> {
    Checkpoint::open(path).map_err(|error| error.to_string())
}

/// The input models of a merging case.
pub struct Inputs {
    pub pool: Pool,
    pub experts: Vec<String>,
    /// Trained parameters, in the order of the peer's state dict.
    pub parameters: Vec<String>,
}

/// Opens the models that a case names; the pool's base becomes the base only if `with_base`, and else one of the models.
pub fn inputs(root: &Path, case: &Case, with_base: bool) -> Result<Inputs> {
    let folder = root.join(case.json["pool"].as_str().ok_or("the case names no pool")?);
    let about = read(&folder.join("pool.json")).map_err(|error| error.to_string())?;
    let base_name = case.param("base").as_str().or(about["base"].as_str()).unwrap_or("pretrained").to_owned();
    let model = |name: &str| open(&folder.join(format!("{name}.safetensors")));
    let mut experts = case.models();
    if experts.is_empty() {
        experts = strings(&about["tasks"]);
    }
    if with_base {
        experts.retain(|name| *name != base_name);
    }
    let base = if with_base { Some(model(&base_name)?) } else { None };
    let opened = experts.iter().map(|name| Ok((name.clone(), model(name)?))).collect::<Result<_>>()?;
    let pool = Pool::new(base, opened).map_err(|error| error.to_string())?;
    Ok(Inputs { pool, experts, parameters: strings(&about["parameter_order"]) })
}
