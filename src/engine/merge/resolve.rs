//! A document and the models that it names: which tensors are made of which, by what parameters.

use super::Part;
use super::layers::{Place, module_of, place, stacks};
use crate::engine::EngineError;
use crate::engine::document::{Document, Of, Scopes, Settings, Slice, Source};
use crate::fusion::{FusionError, Method, Pool, find};
use crate::params::ParamSet;
use crate::weights::{Checkpoint, TensorInfo};
use std::collections::{HashMap, HashSet};

/// What a document comes to.
pub(super) struct Resolved {
    pub parts: Vec<Part>,
    pub stacks: Vec<Stack>,
    pub notes: Vec<String>,
}

/// Layers of the result that are not those of one model, one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stack {
    /// What stands before the layers' numbers.
    pub name: String,
    /// Layers of the model that the configuration comes from.
    pub before: usize,
    /// For every layer of the result, the layer of its first source.
    pub layers: Vec<usize>,
}

/// Works out the parts of `document`; `references` are the models that it names, in the order of `models` and `names`.
/// Tensors in `kept` are taken from the base, or else the first source, as they are.
///
/// # Errors
/// A document that does not fit the models; tensors that do not fit each other.
pub(super) fn resolve(
    document: &Document,
    references: &[&str],
    names: &[String],
    models: &[Checkpoint],
    kept: &[String],
) -> Result<Resolved, EngineError> {
    let method = find(&document.method)?;
    let kept = kept.iter().map(String::as_str).collect();
    let mut work = Work {
        document,
        method,
        references,
        models,
        kept,
        groups: Vec::new(),
        of: HashMap::new(),
        place: 0,
        notes: Vec::new(),
    };
    let none = Settings::new();
    let mut all = Vec::new();
    if document.modules.is_empty() {
        let slices =
            if document.slices.is_empty() { vec![work.whole(&document.models)] } else { document.slices.clone() };
        all.extend(work.module(None, &none, &slices)?);
    } else {
        for module in &document.modules {
            let slices =
                if module.slices.is_empty() { vec![work.whole(&module.models)] } else { module.slices.clone() };
            all.extend(work.module(Some(&module.name), &module.parameters, &slices)?);
        }
        work.check_modules()?;
    }
    let notes = std::mem::take(&mut work.notes);
    Ok(Resolved { parts: work.parts(names)?, stacks: all, notes })
}

fn misfit(reason: impl Into<String>, hint: &'static str) -> EngineError {
    EngineError::Recipe { reason: reason.into(), hint }
}

/// Tensors with one method and one set of parameters, of the same models.
struct Group {
    method: &'static Method,
    params: ParamSet,
    base: Option<usize>,
    experts: Vec<usize>,
    tensors: Vec<Tensor>,
}

/// A tensor of the result, and what it is called in each of the group's models, base first.
struct Tensor {
    place: usize,
    name: String,
    existing: Vec<String>,
}

struct Work<'a> {
    document: &'a Document,
    method: &'static Method,
    references: &'a [&'a str],
    models: &'a [Checkpoint],
    kept: HashSet<&'a str>,
    groups: Vec<Group>,
    /// Groups by what makes them one.
    of: HashMap<String, usize>,
    place: usize,
    notes: Vec<String>,
}

impl<'a> Work<'a> {
    fn model(&self, reference: &str) -> Result<usize, EngineError> {
        self.references
            .iter()
            .position(|known| *known == reference)
            .ok_or_else(|| misfit(format!("{reference} has not been opened"), "this is a bug in fusebench"))
    }

    /// All layers of all models, as one slice; with the base, which need not be among them.
    fn whole(&self, models: &[Source]) -> Slice {
        let base = self.document.base_model.iter().filter(|base| models.iter().all(|source| source.model != **base));
        let base = base.map(|base| Source { model: base.clone(), ..Source::default() });
        Slice { sources: models.iter().cloned().chain(base).collect(), ..Slice::default() }
    }

    /// Tensors of one module.
    fn module(
        &mut self,
        module: Option<&str>,
        parameters: &Settings,
        slices: &[Slice],
    ) -> Result<Vec<Stack>, EngineError> {
        let names: Vec<&str> = self.document.modules.iter().map(|module| module.name.as_str()).collect();
        let mut done: Vec<Stack> = Vec::new();
        let mut offset = 0;
        for (at, slice) in slices.iter().enumerate() {
            let first = slice.sources.first().map(|source| self.model(&source.model)).transpose()?;
            let Some(first) = first else { continue };
            let own = |info: &&TensorInfo| {
                module.is_none_or(|module| module_of(&info.name, &names).is_ok_and(|of| names[of] == module))
            };
            let tensors: Vec<&'a TensorInfo> = self.models[first].tensors().iter().filter(own).collect();
            if tensors.is_empty() {
                let module = module.unwrap_or("default");
                let reason = format!("{} has no tensors of the module `{module}`", self.models[first].label());
                return Err(misfit(
                    reason,
                    "modules are found by how the names of tensors begin: `fusebench inspect` shows them",
                ));
            }
            let counts = stacks(tensors.iter().copied());
            let of_slice = SliceOf { slice, parameters, ends: (at == 0, at + 1 == slices.len()), offset };
            match slice.sources[0].layer_range {
                None => self.all_layers(&of_slice, &tensors, &counts)?,
                Some(range) => {
                    let stack = self.only_stack(&counts, first)?;
                    self.some_layers(&of_slice, &tensors, &stack)?;
                    if done.is_empty() {
                        let donor = self.document.donor().map(|donor| self.model(donor)).transpose()?.unwrap_or(first);
                        let before = stacks(self.models[donor].tensors()).get(&stack).copied().unwrap_or(0);
                        done.push(Stack { name: stack, before, layers: Vec::new() });
                    }
                    done[0].layers.extend(range.0..range.1);
                    offset += range.1 - range.0;
                }
            }
        }
        Ok(done)
    }

    /// The one stack of layers that slices can be about.
    fn only_stack(
        &self,
        counts: &std::collections::BTreeMap<String, usize>,
        model: usize,
    ) -> Result<String, EngineError> {
        match &counts.keys().collect::<Vec<_>>()[..] {
            [one] => Ok((*one).clone()),
            [] => Err(misfit(
                format!("{} has no layers to slice", self.models[model].label()),
                "name the models under `models`",
            )),
            many => {
                let list = many.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
                Err(misfit(
                    format!("{} has several stacks of layers: {list}", self.models[model].label()),
                    "slice each under `modules`, such as `text_decoder` and `vision_tower`",
                ))
            }
        }
    }

    fn all_layers(
        &mut self,
        of: &SliceOf<'_>,
        tensors: &[&TensorInfo],
        counts: &std::collections::BTreeMap<String, usize>,
    ) -> Result<(), EngineError> {
        for info in tensors {
            let t = match place(&info.name) {
                Place::Before => 0.0,
                Place::After => 1.0,
                Place::Layer { stack, index, .. } => along(index, counts.get(&stack).copied().unwrap_or(1)),
            };
            let existing = vec![info.name.clone(); of.slice.sources.len()];
            self.add(of, info.name.clone(), &existing, t)?;
        }
        Ok(())
    }

    fn some_layers(&mut self, of: &SliceOf<'_>, tensors: &[&TensorInfo], stack: &str) -> Result<(), EngineError> {
        let ranges: Vec<(usize, usize)> = of.slice.sources.iter().filter_map(|source| source.layer_range).collect();
        let Some(&(start, end)) = ranges.first() else { return Ok(()) };
        // Read from a file this is so; a record in a checkpoint may say anything.
        let alike = |range: &(usize, usize)| range.0 < range.1 && range.1 - range.0 == end.saturating_sub(start);
        if ranges.len() != of.slice.sources.len() || !ranges.iter().all(alike) {
            return Err(misfit("the sources of a slice have different numbers of layers", "give all the same number"));
        }
        for (source, range) in of.slice.sources.iter().zip(&ranges) {
            let model = &self.models[self.model(&source.model)?];
            let layers = stacks(model.tensors()).get(stack).copied().unwrap_or(0);
            if range.1 > layers {
                let reason = format!(
                    "layer_range [{}, {}] goes beyond the {layers} layers of {}",
                    range.0, range.1, source.model
                );
                return Err(misfit(reason, "the second number is the first layer that is not wanted any more"));
            }
        }
        for info in tensors {
            match place(&info.name) {
                Place::Before if of.ends.0 => {
                    self.add(of, info.name.clone(), &vec![info.name.clone(); ranges.len()], 0.0)?;
                }
                // Where the last layers' parameters are; mergekit 0.1.5 takes the first of a gradient.
                Place::After if of.ends.1 => {
                    self.add(of, info.name.clone(), &vec![info.name.clone(); ranges.len()], 1.0)?;
                }
                Place::Layer { stack, index, rest } if (start..end).contains(&index) => {
                    let name = |number: usize| {
                        if rest.is_empty() { format!("{stack}.{number}") } else { format!("{stack}.{number}.{rest}") }
                    };
                    let existing: Vec<String> = ranges.iter().map(|range| name(range.0 + index - start)).collect();
                    self.add(of, name(of.offset + index - start), &existing, along(index - start, end - start))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts a tensor of the result into its group.
    fn add(&mut self, of: &SliceOf<'_>, name: String, existing: &[String], t: f64) -> Result<(), EngineError> {
        let slice = of.slice;
        let place = self.place;
        self.place += 1;
        let base = slice.base_model.as_ref().or(self.document.base_model.as_ref());
        let is_base = |source: &Source| Some(&source.model) == base;
        let base = slice.sources.iter().position(is_base);
        if existing.first().is_some_and(|name| self.kept.contains(name.as_str())) {
            let from = base.unwrap_or(0);
            let method = find("passthrough")?;
            let tensor = Tensor { place, name, existing: vec![existing[from].clone()] };
            let expert = self.model(&slice.sources[from].model)?;
            return self.group(method, ParamSet::defaults(method.specs), None, vec![expert], tensor);
        }
        let pairs = slice.sources.iter().zip(existing);
        let experts: Vec<Of<'_>> =
            pairs.filter(|(source, _)| !is_base(source)).map(|(source, tensor)| Of { source, tensor }).collect();
        let scopes = Scopes {
            outer: vec![&slice.parameters, of.parameters, &self.document.parameters],
            required: &self.document.required,
        };
        let params = scopes
            .params(self.method, &name, t, &experts)
            .map_err(|error| misfit(format!("`{name}`: {error}"), "set it for the tensors that no filter fits too"))?;
        if t == 1.0
            && matches!(self::place(&name), Place::After)
            && scopes.params(self.method, &name, 0.0, &experts).is_ok_and(|first| first != params)
        {
            self.note("what comes after the layers (final norm, head) has the last values of gradients; mergekit 0.1.5 gives it the first");
        }
        let mut names: Vec<String> = base.iter().map(|&at| existing[at].clone()).collect();
        names.extend(experts.iter().map(|of| of.tensor.to_owned()));
        let experts = experts.iter().map(|of| self.model(&of.source.model)).collect::<Result<Vec<_>, _>>()?;
        let base = base.map(|at| self.model(&slice.sources[at].model)).transpose()?;
        self.group(self.method, params, base, experts, Tensor { place, name, existing: names })
    }

    fn group(
        &mut self,
        method: &'static Method,
        params: ParamSet,
        base: Option<usize>,
        experts: Vec<usize>,
        tensor: Tensor,
    ) -> Result<(), EngineError> {
        let values = serde_json::to_string(&params).map_err(|error| misfit(error.to_string(), ""))?;
        let key = format!("{} {base:?} {experts:?} {values}", method.id);
        let at = *self.of.entry(key).or_insert(self.groups.len());
        if at == self.groups.len() {
            self.groups.push(Group { method, params, base, experts, tensors: Vec::new() });
        }
        self.groups[at].tensors.push(tensor);
        Ok(())
    }

    fn note(&mut self, note: &str) {
        if self.notes.iter().all(|known| known != note) {
            self.notes.push(note.to_owned());
        }
    }

    /// That every tensor belongs to a module that is named: mergekit leaves the others out, and a broken model behind.
    fn check_modules(&self) -> Result<(), EngineError> {
        let names: Vec<&str> = self.document.modules.iter().map(|module| module.name.as_str()).collect();
        let first = self.document.sources().next().map(|source| self.model(&source.model)).transpose()?.unwrap_or(0);
        for info in self.models[first].tensors() {
            if let Err(module) = module_of(&info.name, &names) {
                let reason = format!("the tensor `{}` belongs to the module `{module}`, which is not named", info.name);
                return Err(misfit(
                    reason,
                    "name all modules; for one that is not to be merged: a single model under its `models`",
                ));
            }
        }
        Ok(())
    }

    fn parts(self, names: &[String]) -> Result<Vec<Part>, EngineError> {
        let mut seen = HashSet::new();
        for tensor in self.groups.iter().flat_map(|group| &group.tensors) {
            if !seen.insert(tensor.name.as_str()) {
                return Err(misfit(
                    format!("the tensor `{}` is made twice", tensor.name),
                    "this is a bug in fusebench",
                ));
            }
        }
        let part = |group: &Group| -> Result<Part, FusionError> {
            let view = |slot: usize, model: usize| {
                self.models[model]
                    .mapped(group.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.existing[slot].as_str())))
            };
            let shift = usize::from(group.base.is_some());
            let base = group.base.map(|model| view(0, model));
            let experts =
                group.experts.iter().enumerate().map(|(at, &model)| (names[model].clone(), view(at + shift, model)));
            Ok(Part {
                method: group.method,
                params: group.params.clone(),
                pool: Pool::new(base, experts.collect())?,
                inputs: group.base.into_iter().chain(group.experts.iter().copied()).collect(),
                places: group.tensors.iter().map(|tensor| tensor.place).collect(),
            })
        };
        Ok(self.groups.iter().map(part).collect::<Result<_, _>>()?)
    }
}

/// A slice and where it stands.
struct SliceOf<'a> {
    slice: &'a Slice,
    /// Those of its module.
    parameters: &'a Settings,
    /// Whether it is the first, which brings what comes before the layers, and the last.
    ends: (bool, bool),
    /// Layers before it.
    offset: usize,
}

/// How far a layer is on the way from the first to the last; the only one is the last, as in mergekit.
fn along(index: usize, layers: usize) -> f64 {
    if layers > 1 { index as f64 / (layers - 1) as f64 } else { 1.0 }
}
