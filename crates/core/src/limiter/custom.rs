//! `{"custom": "name", "params": …}`: a limiter that the process registered by name.

use std::fmt::Write as _;

use crate::json::Text;

use super::{Kind, LimiterView, Renewal, Verdict};
use crate::condition::{check_custom, custom_json, name_of_custom};
use crate::custom::{BoxError, CustomError, CustomLimiter};
use crate::definition::{Fields, Read};
use crate::engine::{Ask, At, Engine, When};
use crate::group::RecordError;
use crate::json::Json;
use crate::source::Node;

/// A limiter that the process registered by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Custom {
    name: Text,
    params: Json,
}

impl Custom {
    pub(super) fn new(name: &str, params: Json) -> Self {
        Self { name: name.into(), params }
    }

    /// The registered name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameters in the definition; `null` if there are none.
    pub fn params(&self) -> &Json {
        &self.params
    }

    /// Calls the registered limiter with its state, or with a new one if it has none yet.
    #[inline(never)]
    fn ask<T>(
        &self,
        state: Option<&Json>,
        at: At<'_>,
        question: impl FnOnce(&dyn CustomLimiter, &Json) -> Result<T, BoxError>,
    ) -> Result<T, CustomError> {
        at.engine.registry.limiter(&self.name, |limiter| match state {
            Some(state) => question(limiter, state),
            None => question(limiter, &limiter.renewed(&self.params, None, Renewal::default(), at.when.now)?),
        })
    }
}

impl Kind for Custom {
    /// `None` if the limiter was not registered or failed when its tracker was added. It then stays `None` until the
    /// limiter records a document or is renewed.
    type State = Option<Box<Json>>;

    const FIELDS: &'static [&'static str] = &["custom", "params"];
    const FORM: &'static str = r#"{"custom": name}"#;

    fn read(fields: &mut Fields<'_>) -> Read<Self> {
        Ok(Self {
            params: fields.take("params", Node::params)?.unwrap_or_default(),
            name: fields.required("custom", Self::FORM, name_of_custom)?,
        })
    }

    fn check(&self) -> Read<()> {
        check_custom(&self.name, &self.params)
    }

    fn to_json(&self) -> Json {
        custom_json(&self.name, &self.params)
    }

    /// An unknown limiter does not make the definition invalid: its tracker will be listed in `failed`.
    fn begin(&self, when: When, engine: Option<&Engine>) -> Self::State {
        let renewed = |limiter: &dyn CustomLimiter| limiter.renewed(&self.params, None, Renewal::default(), when.now);
        engine?.registry.limiter(&self.name, renewed).ok().map(Box::new)
    }

    fn admits(&self, state: &Self::State, ask: &Ask<'_>) -> Result<Verdict, CustomError> {
        self.ask(state.as_deref(), ask.at, |limiter, state| {
            limiter.admits(&self.params, state, ask.at.when.now, ask.document)
        })
    }

    fn record(&self, state: &mut Self::State, ask: &Ask<'_>) -> Result<(), CustomError> {
        let record = |limiter: &dyn CustomLimiter, state: &Json| {
            limiter.record(&self.params, state, ask.at.when.now, ask.document)
        };
        *state = Some(Box::new(self.ask(state.as_deref(), ask.at, record)?));
        Ok(())
    }

    fn exhausted(&self, state: &Self::State, at: At<'_>) -> Result<bool, CustomError> {
        self.ask(state.as_deref(), at, |limiter, state| limiter.exhausted(&self.params, state, at.when.now))
    }

    fn renewed(&self, state: &Self::State, renewal: Renewal, at: At<'_>) -> Result<Self::State, CustomError> {
        let renewed =
            |limiter: &dyn CustomLimiter| limiter.renewed(&self.params, state.as_deref(), renewal, at.when.now);
        at.engine.registry.limiter(&self.name, renewed).map(|state| Some(Box::new(state)))
    }

    /// Only the registered code knows what its state means, and a view must not run custom code.
    fn view(&self, state: &Self::State, _: When) -> LimiterView {
        let state = state.as_deref().cloned().unwrap_or_default();
        LimiterView { state: Some(state), ..LimiterView::default() }
    }

    fn in_words(&self, _: &Self::State, _: When) -> String {
        format!("the custom limiter {}", self.name)
    }

    fn store(state: &Self::State, out: &mut String) {
        let _ = match state {
            Some(state) => write!(out, r#"{{"state":{state}}}"#),
            None => write!(out, "{{}}"),
        };
    }

    fn restore(&self, stored: &Json) -> Result<Self::State, RecordError> {
        let map = stored.as_map().ok_or_else(|| RecordError::new("the limiter state is not a map"))?;
        Ok(map.get("state").cloned().map(Box::new))
    }
}
