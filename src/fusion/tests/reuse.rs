//! Incremental re-fusion: as good as computing everything, at the cost of what changed.

use crate::cancel::Cancel;
use crate::fusion::testing::{ELEMENTS, flat, pool};
use crate::fusion::{Changed, Context, FusionError, Incremental, LinearPlan, Origin, Pool};
use proptest::collection::vec;
use proptest::prelude::*;

/// One nudge: expert, block, new coefficient.
type Nudge = (usize, usize, f32);

fn apply(incremental: &mut Incremental, plan: &LinearPlan, pool: &Pool) -> Vec<f32> {
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    flat(incremental.fuse(plan, pool, &mut Context::new(&cancel, &mut silent)).unwrap())
}

fn full(plan: &LinearPlan, pool: &Pool) -> Vec<f32> {
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    flat(&plan.materialise(pool, &mut Context::new(&cancel, &mut silent)).unwrap())
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn some_pool(experts: usize) -> Pool {
    let model =
        |seed: usize| (0..ELEMENTS).map(|at| ((at * 7 + seed * 13) % 31) as f32 / 16.0 - 1.0).collect::<Vec<_>>();
    pool(Some(&model(0)), &(1..=experts).map(model).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn nudges_agree_with_a_full_computation(
        origin in prop_oneof![Just(Origin::Base), Just(Origin::Zero)],
        nudges in vec((0usize..5, 0usize..4, -1.0f32..2.0), 1..30),
    ) {
        let pool = some_pool(5);
        let mut plan = LinearPlan::new(origin, vec![vec![0.3; 4]; 5]);
        let mut incremental = Incremental::new();
        prop_assert_eq!(apply(&mut incremental, &plan, &pool), full(&plan, &pool));
        for (expert, block, lambda) in nudges as Vec<Nudge> {
            plan.coefficients[expert][block] = lambda;
            let ours = apply(&mut incremental, &plan, &pool);
            prop_assert!(distance(&ours, &full(&plan, &pool)) < 1e-5);
        }
    }
}

#[test]
fn drift_stays_within_rounding_over_a_thousand_nudges() {
    let pool = some_pool(8);
    let mut plan = LinearPlan::new(Origin::Base, vec![vec![0.3; 4]; 8]);
    let mut incremental = Incremental::new();
    apply(&mut incremental, &plan, &pool);
    let (mut worst, mut drifted) = (0.0f32, 0);
    for nudge in 0..1000usize {
        plan.coefficients[nudge % 8][nudge / 8 % 4] = (nudge * 37 % 101) as f32 / 70.0 - 0.4;
        let ours = apply(&mut incremental, &plan, &pool);
        worst = worst.max(distance(&ours, &full(&plan, &pool)));
        drifted += usize::from(incremental.is_drifted());
    }
    assert!(worst < 2e-5, "{worst}");
    assert!(drifted > 900, "nudges were not incremental: {drifted}");
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let fresh = incremental.refresh(&plan, &pool, &mut Context::new(&cancel, &mut silent)).unwrap();
    assert_eq!(flat(fresh), full(&plan, &pool));
    assert!(!incremental.is_drifted());
}

#[test]
fn only_what_changed_is_reported() {
    let pool = some_pool(8);
    let mut plan = LinearPlan::new(Origin::Base, vec![vec![0.3; 4]; 8]);
    let mut incremental = Incremental::new();
    let mut changed = |plan: &LinearPlan, pool: &Pool| {
        apply(&mut incremental, plan, pool);
        incremental.changed().clone()
    };
    assert_eq!(changed(&plan, &pool), Changed::All);
    assert_eq!(changed(&plan, &pool), Changed::Some(vec![]));
    plan.coefficients[3][1] = 0.5;
    let names: Vec<String> = pool.reference().unwrap().tensors().iter().map(|info| info.name.clone()).collect();
    let at = |name: &str| names.iter().position(|known| known == name).unwrap();
    assert_eq!(changed(&plan, &pool), Changed::Some(vec![at("encoder.layers.0.mlp.fc.weight")]));
    plan.coefficients[3][3] = 0.5;
    plan.coefficients[4][3] = 0.6;
    assert_eq!(changed(&plan, &pool), Changed::Some(vec![at("post_layernorm.bias")]));
    // The same tensors from other files, and another origin, are another model.
    assert_eq!(changed(&plan, &some_pool(8)), Changed::All);
    plan.origin = Origin::Zero;
    assert_eq!(changed(&plan, &pool), Changed::All);
}

#[test]
fn an_interrupted_nudge_is_made_good() {
    let pool = some_pool(8);
    let mut plan = LinearPlan::new(Origin::Base, vec![vec![0.3; 4]; 8]);
    let mut incremental = Incremental::new();
    apply(&mut incremental, &plan, &pool);
    plan.coefficients[0][1] = 0.9;
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    cancel.cancel();
    let result = incremental.fuse(&plan, &pool, &mut Context::new(&cancel, &mut silent)).map(drop);
    assert!(matches!(result, Err(FusionError::Cancelled(_))));
    assert_eq!(apply(&mut incremental, &plan, &pool), full(&plan, &pool));
    assert_eq!(*incremental.changed(), Changed::All);
}

#[test]
fn a_coefficient_too_large_does_not_spoil_what_follows() {
    let pool = some_pool(8);
    let mut plan = LinearPlan::new(Origin::Base, vec![vec![0.3; 4]; 8]);
    let mut incremental = Incremental::new();
    apply(&mut incremental, &plan, &pool);
    plan.coefficients[0] = vec![f32::MAX; 4];
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let result = incremental.fuse(&plan, &pool, &mut Context::new(&cancel, &mut silent)).map(drop);
    assert!(matches!(result, Err(FusionError::NotFinite { .. })));
    plan.coefficients[0] = vec![0.2; 4];
    assert_eq!(apply(&mut incremental, &plan, &pool), full(&plan, &pool));
}

#[test]
fn a_table_of_the_wrong_size_is_refused() {
    let (cancel, mut silent) = (Cancel::default(), |_, _| {});
    let plan = LinearPlan::new(Origin::Base, vec![vec![0.3; 3]; 8]);
    let error = plan.materialise(&some_pool(8), &mut Context::new(&cancel, &mut silent)).unwrap_err();
    assert_eq!(error.to_string(), "linear plan: the coefficient table is not 8 experts × 4 blocks");
}
