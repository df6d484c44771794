//! What answers for a fused model: one network, the members of an ensemble, or a network for each task.

use super::device::OpenDevice;
use super::{EngineError, MixtureReport, Plan, score};
use crate::cancel::Cancel;
use crate::fusion::{
    Adapter, Changed, Context, EnsembleRule, Fused, Incremental, LinearPlan, Mixture, PerTask, Storage,
};
use crate::models::clip_vit::{ClipVit, HostMixture, HostRouted, MixedClipVit};
use crate::tasks::preprocess::InputShape;
use crate::weights::StateDict;
use crate::zoo::{Head, Zoo};
use burn::tensor::{Tensor, TensorData};
use std::sync::Arc;

/// Networks kept between jobs, so that a nudge costs neither a rebuild nor a full fusion.
#[derive(Default)]
pub(super) struct Predictor {
    incremental: Incremental,
    /// The linear plan that `network` holds; nothing when it holds other weights.
    linear: Option<LinearPlan>,
    network: Option<ClipVit>,
    members: Vec<(String, Arc<ClipVit>)>,
    /// Networks of single tasks' models, by expert; the base answers for tasks that have none.
    per_task: Vec<(Option<String>, ClipVit)>,
    /// A network with experts behind routers.
    mixed: Option<Mixed>,
    /// Who answers.
    answers: Answers,
}

/// On the CPU by hand, on other devices by burn.
enum Mixed {
    Host(Box<HostMixture>),
    Device(Box<MixedClipVit>),
}

impl Mixed {
    fn new(zoo: &Zoo, mixture: &Mixture, device: &OpenDevice) -> Result<Self, EngineError> {
        Ok(if device.is_gpu {
            Self::Device(Box::new(MixedClipVit::new(zoo.config(), mixture, &device.tensor)?))
        } else {
            Self::Host(Box::new(HostMixture::new(zoo.config(), mixture)?))
        })
    }

    /// Of images `[n, channels, height, width]`.
    fn answer(
        &self,
        pixels: Vec<f32>,
        [n, channels, height, width]: [usize; 4],
        head: &Head,
        device: &OpenDevice,
    ) -> Result<Answered, EngineError> {
        let (features, routed, experts) = match self {
            Self::Host(tower) => {
                let HostRouted { features, weights } = tower.features(&pixels, [channels, height, width]);
                (features, weights, tower.experts())
            }
            Self::Device(tower) => {
                let pixels = TensorData::new(pixels, [n, channels, height, width]);
                let routed = tower.features(Tensor::from_data(pixels, &device.tensor));
                (read(routed.features)?, read(routed.weights)?, tower.experts())
            }
        };
        let width = routed.len() / n.max(1);
        Ok(Answered { logits: score::logits(head, &features), routed, width, experts })
    }
}

/// Which of the networks answer, and how.
#[derive(Default)]
enum Answers {
    /// `network`, whatever the task.
    #[default]
    One,
    /// All `members`.
    Ensemble(EnsembleRule),
    /// One of `per_task`: by task, its place, and what corrects its features.
    PerTask(Vec<(String, usize, Option<Adapter>)>),
    /// `mixed`, whatever the task.
    Mixture,
}

/// What there is to say of a result that is not one model.
#[derive(Debug, Clone)]
pub(super) enum Beside {
    /// What the models take, where every task has one.
    PerTask(Storage),
    Mixture(Arc<MixtureReport>),
}

/// Answers to a few images.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// `[n, classes]`
    pub logits: Vec<f32>,
    /// What routers gave each expert, `[n, place · expert]`; empty where there are none.
    pub routed: Vec<f32>,
    /// Numbers an image, and how many experts they are about.
    pub width: usize,
    pub experts: usize,
}

impl Predictor {
    /// Fuses the plan's pool and makes the result ready to answer for the tasks in the `wanted` places of the plan. Gives
    /// what there is to say of it where it is not one model.
    ///
    /// # Errors
    /// Whatever the method or the model reports; cancellation.
    pub fn prepare(
        &mut self,
        zoo: &Zoo,
        plan: &Plan,
        wanted: &[usize],
        device: &OpenDevice,
        context: &mut Context<'_>,
    ) -> Result<Option<Beside>, EngineError> {
        let fused = plan.method.run(&plan.params, &plan.pool, context)?;
        self.hold(zoo, plan, wanted, device, &fused, context)
    }

    /// Makes what the plan's method returned ready to answer, as [`prepare`](Self::prepare) does.
    ///
    /// # Errors
    /// Whatever fusion or the model reports; cancellation.
    pub fn hold(
        &mut self,
        zoo: &Zoo,
        plan: &Plan,
        wanted: &[usize],
        device: &OpenDevice,
        fused: &Fused,
        context: &mut Context<'_>,
    ) -> Result<Option<Beside>, EngineError> {
        // Until everything below has worked, the network holds nothing that a nudge could start from.
        let held = self.linear.take();
        self.answers = Answers::One;
        let mut beside = None;
        match fused {
            Fused::Linear(linear) => {
                self.incremental.fuse(linear, &plan.pool, context)?;
                let weights = self.incremental.weights();
                match (self.incremental.changed(), &mut self.network) {
                    (Changed::Some(tensors), Some(network)) if held.is_some() => {
                        for tensor in tensors.iter().filter_map(|&at| weights?.tensors().get(at)) {
                            network.load_tensor(&tensor.name, tensor.values().unwrap_or_default())?;
                        }
                    }
                    (_, network) => load(network, zoo, device, weights.ok_or_else(nothing)?)?,
                }
                self.linear = Some(linear.clone());
            }
            Fused::Weights(weights) => load(&mut self.network, zoo, device, weights)?,
            Fused::Mixture(mixture) => {
                // The old one first: each may be as large as all experts together.
                self.mixed = None;
                self.mixed = Some(Mixed::new(zoo, mixture, device)?);
                beside = Some(Beside::Mixture(Arc::new(MixtureReport::new(mixture, &plan.pool))));
                self.answers = Answers::Mixture;
            }
            Fused::Ensemble(rule) => {
                self.gather_members(zoo, plan, device, context.cancel)?;
                self.answers = Answers::Ensemble(rule.clone());
            }
            Fused::PerTask(models) => {
                beside = Some(Beside::PerTask(models.storage(&plan.pool)));
                self.answers = Answers::PerTask(self.build_models(models, zoo, plan, wanted, device, context)?);
            }
        }
        Ok(beside)
    }

    /// Builds the model of every wanted task, one set of weights at a time, and gives each task's place in `per_task`.
    fn build_models(
        &mut self,
        models: &PerTask,
        zoo: &Zoo,
        plan: &Plan,
        wanted: &[usize],
        device: &OpenDevice,
        context: &mut Context<'_>,
    ) -> Result<Vec<(String, usize, Option<Adapter>)>, EngineError> {
        let mut places = Vec::with_capacity(wanted.len());
        let mut built: Vec<Option<String>> = Vec::new();
        let mut kept = std::mem::take(&mut self.per_task);
        for (task, _) in wanted.iter().filter_map(|&at| plan.tasks.get(at)) {
            let expert = plan.expert_of(task);
            let adapter = expert.and_then(|expert| models.adapter(expert)).cloned();
            // With corrections all experts' tasks have the same model.
            let name = expert.map(|_| if adapter.is_some() { CORRECTED.to_owned() } else { task.clone() });
            if let Some(at) = built.iter().position(|known| *known == name) {
                places.push((task.clone(), at, adapter));
                continue;
            }
            let known = kept.iter().position(|(known, _)| *known == name).map(|at| kept.swap_remove(at).1);
            let network = match (expert, known) {
                // The base never changes.
                (None, Some(base)) => base,
                (expert, mut network) => {
                    let weights = match expert {
                        Some(expert) => models.model(expert, &plan.pool, context)?,
                        None => StateDict::load(plan.pool.base().ok_or_else(nothing)?),
                    };
                    load(&mut network, zoo, device, &weights)?;
                    network.ok_or_else(nothing)?
                }
            };
            places.push((task.clone(), self.per_task.len(), adapter));
            self.per_task.push((name.clone(), network));
            built.push(name);
        }
        // What was not asked for this time may be the next.
        self.per_task.extend(kept);
        Ok(places)
    }

    fn gather_members(
        &mut self,
        zoo: &Zoo,
        plan: &Plan,
        device: &OpenDevice,
        cancel: &Cancel,
    ) -> Result<(), EngineError> {
        let mut kept = std::mem::take(&mut self.members);
        for (name, checkpoint) in plan.pool.experts() {
            cancel.check()?;
            let network = match kept.iter().position(|(known, _)| known == name) {
                Some(at) => kept.swap_remove(at).1,
                None => {
                    let mut network = None;
                    load(&mut network, zoo, device, &StateDict::load(checkpoint))?;
                    Arc::new(network.ok_or_else(nothing)?)
                }
            };
            self.members.push((name.clone(), network));
        }
        Ok(())
    }

    /// Brings incrementally fused weights back to what a full fusion gives; for idle moments.
    ///
    /// # Errors
    /// Whatever fusion or the model reports.
    pub fn refresh(&mut self, zoo: &Zoo, device: &OpenDevice, plan: &Plan) -> Result<(), EngineError> {
        if !self.incremental.is_drifted() {
            return Ok(());
        }
        let Some(linear) = self.linear.take() else { return Ok(()) };
        let mut progress = |_, _| {};
        let cancel = Cancel::default();
        let weights = self.incremental.refresh(&linear, &plan.pool, &mut Context::new(&cancel, &mut progress))?;
        load(&mut self.network, zoo, device, weights)?;
        self.linear = Some(linear.clone());
        Ok(())
    }

    /// Answers to `task` for pixels `[n, channels, side, side]`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn logits(
        &self,
        task: &str,
        pixels: Vec<f32>,
        n: usize,
        input: InputShape,
        head: &Head,
        device: &OpenDevice,
    ) -> Result<Answered, EngineError> {
        let plain = |logits| Answered { logits, ..Answered::default() };
        let shape = [n, input.channels, input.side, input.side];
        let tensor = |pixels| Tensor::<4>::from_data(TensorData::new(pixels, shape), &device.tensor);
        let (rule, pixels) = match &self.answers {
            Answers::Mixture => return self.mixed.as_ref().ok_or_else(nothing)?.answer(pixels, shape, head, device),
            Answers::One => {
                let network = self.network.as_ref().ok_or_else(nothing)?;
                return Ok(plain(score::logits(head, &features(network, tensor(pixels))?)));
            }
            Answers::PerTask(places) => {
                let (_, place, adapter) = places.iter().find(|(known, ..)| known == task).ok_or_else(nothing)?;
                let (_, network) = self.per_task.get(*place).ok_or_else(nothing)?;
                let features = features(network, tensor(pixels))?;
                return Ok(plain(match adapter {
                    Some(adapter) => score::corrected_logits(head, adapter, features),
                    None => score::logits(head, &features),
                }));
            }
            Answers::Ensemble(rule) => (rule, tensor(pixels)),
        };
        let outputs: Vec<Vec<f32>> =
            self.members.iter().map(|(_, member)| features(member, pixels.clone())).collect::<Result<_, _>>()?;
        // Averages are taken of features, as FusionBench does; a maximum only makes sense over logits of classes.
        Ok(plain(match rule {
            EnsembleRule::Weighted(_) => score::logits(head, &combine(rule, &outputs)),
            EnsembleRule::Max => {
                let logits: Vec<Vec<f32>> = outputs.iter().map(|output| score::logits(head, output)).collect();
                combine(rule, &logits)
            }
        }))
    }
}

/// Stands for all experts' tasks where they share a model.
const CORRECTED: &str = "";

fn nothing() -> EngineError {
    EngineError::Panic("nothing was fused".to_owned())
}

fn combine(rule: &EnsembleRule, outputs: &[Vec<f32>]) -> Vec<f32> {
    rule.combine(&outputs.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn features(network: &ClipVit, pixels: Tensor<4>) -> Result<Vec<f32>, EngineError> {
    read(network.features(pixels))
}

fn read(tensor: Tensor<2>) -> Result<Vec<f32>, EngineError> {
    let data = tensor.try_into_data().map_err(|error| EngineError::Device(format!("{error:?}")))?;
    data.try_into_vec::<f32>().map_err(|error| EngineError::Device(format!("{error:?}")))
}

fn load(network: &mut Option<ClipVit>, zoo: &Zoo, device: &OpenDevice, weights: &StateDict) -> Result<(), EngineError> {
    if network.is_none() {
        *network = Some(ClipVit::new(zoo.config(), &device.tensor)?);
    }
    if let Some(network) = network {
        network.load(weights)?;
    }
    Ok(())
}
