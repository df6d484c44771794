//! Methods that go on from what another method merges.

use crate::fusion::{Context, Examples, Fused, FusionError, Method, News, Pool, find};
use crate::params::{ParamSet, Value};
use crate::weights::StateDict;

/// What the method that `inner` names makes of the pool: an id and parameters, as in `ties density=0.1 merge=mean`. `given`
/// is a parameter that it gets if it has one called so.
///
/// An inner method that ends early says so as a parameter of the outer one, which must be called `inner`.
///
/// # Errors
/// A text of another form; a method that gives no single model; what the inner method returns.
pub(in crate::fusion) fn merged(
    outer: &Method,
    inner: &str,
    given: (&str, Value),
    pool: &Pool,
    cx: &mut Context<'_>,
) -> Result<StateDict, FusionError> {
    let unusable = |reason: String| FusionError::Unusable { method: outer.name, reason };
    let mut words = inner.split_whitespace();
    let id = words.next().ok_or_else(|| unusable("`inner` names no method".to_owned()))?;
    let method = find(id).map_err(|error| unusable(format!("`inner`: {error}")))?;
    if method.id == outer.id {
        return Err(unusable("it cannot follow itself; `inner` must name another method".to_owned()));
    }
    if method.needs.data != Examples::None && cx.data.is_none() {
        let reason =
            format!("{} looks at data, and {} has none to give it: choose another `inner`", method.name, outer.name);
        return Err(unusable(reason));
    }
    let mut set = ParamSet::defaults(method.specs);
    let (name, value) = given;
    if method.specs.iter().any(|spec| spec.name == name) {
        method.typed(set.set(method.specs, name, value))?;
    }
    for word in words {
        let (name, value) = word.split_once('=').ok_or_else(|| {
            unusable(format!("`{word}` in `inner` is not of the form name=value, as in `ties density=0.1`"))
        })?;
        method.typed(set.set_text(method.specs, name, value))?;
    }
    let mut settled = Vec::new();
    let fused = {
        let (data, enough, lenient) = (cx.data, cx.enough, cx.lenient);
        let mut listen = |news| match (news, &mut cx.listener) {
            (News::Settled { param, value }, _) => settled.push(format!(" {param}={value}")),
            (news, Some(listener)) => listener(news),
            (_, None) => {}
        };
        let mut within = Context::new(cx.cancel, cx.progress).with_listener(&mut listen);
        (within.data, within.enough, within.lenient) = (data, enough, lenient);
        match method.run(&set, pool, &mut within)? {
            Fused::Linear(plan) => plan.materialise(pool, &mut within)?,
            Fused::Weights(weights) => weights,
            Fused::Ensemble(_) | Fused::PerTask(_) | Fused::Mixture(_) => {
                return Err(unusable(format!("{} does not merge weights into one model", method.name)));
            }
        }
    };
    if !settled.is_empty() {
        // Of a parameter that stands twice the last counts.
        let value = Value::Text(format!("{inner}{}", settled.concat()));
        cx.tell(News::Settled { param: "inner", value });
    }
    Ok(fused)
}
