//! Conditions, measures and limiters that a process registers by name.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::json::Text;

use crate::amount::Amount;
use crate::document::Document;
use crate::json::Json;
use crate::limiter::{Renewal, Verdict};
use crate::time::Timestamp;

/// The error of custom code.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A condition that is registered by name. It may be called more than once for the same document.
pub trait CustomCondition: Send + Sync {
    /// Whether `document` counts.
    ///
    /// # Errors
    /// On any error the tracker is left unchanged and listed in the outcome's `failed`.
    fn check(&self, params: &Json, document: &dyn Document) -> Result<bool, BoxError>;
}

impl<F> CustomCondition for F
where
    F: Fn(&Json, &dyn Document) -> Result<bool, BoxError> + Send + Sync,
{
    fn check(&self, params: &Json, document: &dyn Document) -> Result<bool, BoxError> {
        self(params, document)
    }
}

/// Computes by how much a document changes the progress of a `custom` tracker. It may be called more than once for the same
/// document.
pub trait Measure: Send + Sync {
    /// The amount of `document`; with `None`, the tracker is left unchanged.
    ///
    /// # Errors
    /// On any error the tracker is left unchanged and listed in the outcome's `failed`.
    fn amount(&self, params: &Json, document: &dyn Document) -> Result<Option<Amount>, BoxError>;

    /// The same for a measure that has a state per tracker, such as the values that it has seen. `state` is what it returned
    /// for the last document that counted. It is stored with the tracker, and `reset_tracker` with the policy `progress`
    /// clears it. A measure without a state only needs [`amount`](Self::amount).
    ///
    /// # Errors
    /// As [`amount`](Self::amount).
    fn measure(
        &self,
        params: &Json,
        state: Option<&Json>,
        now: Timestamp,
        document: &dyn Document,
    ) -> Result<Option<Measured>, BoxError> {
        let _ = (state, now);
        Ok(self.amount(params, document)?.map(Measured::from))
    }
}

/// What a [`Measure`] returns for one document.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Measured {
    /// By how much the progress changes.
    pub amount: Amount,
    /// The new state if the document counts; `None` keeps the present one.
    pub state: Option<Json>,
}

impl Measured {
    /// An amount with a new state.
    pub fn new(amount: impl Into<Amount>, state: impl Into<Json>) -> Self {
        Self { amount: amount.into(), state: Some(state.into()) }
    }
}

impl From<Amount> for Measured {
    fn from(amount: Amount) -> Self {
        Self { amount, state: None }
    }
}

impl<F> Measure for F
where
    F: Fn(&Json, &dyn Document) -> Result<Option<Amount>, BoxError> + Send + Sync,
{
    fn amount(&self, params: &Json, document: &dyn Document) -> Result<Option<Amount>, BoxError> {
        self(params, document)
    }
}

/// A limiter that is registered by name. Its state is JSON and stored with the tracker; every call starts from the stored state.
pub trait CustomLimiter: Send + Sync {
    /// The state of a limiter that starts or is renewed at `now`. `state` is its present one, if any, and `renewal` has the
    /// arguments of `reset_tracker`.
    ///
    /// # Errors
    /// On any error the tracker is listed in `failed`.
    fn renewed(&self, params: &Json, state: Option<&Json>, renewal: Renewal, now: Timestamp) -> Result<Json, BoxError>;

    /// Whether a document may count. A refusal may say until when.
    ///
    /// # Errors
    /// On any error the tracker is listed in `failed`.
    fn admits(&self, params: &Json, state: &Json, now: Timestamp, document: &dyn Document)
    -> Result<Verdict, BoxError>;

    /// The state after a document counted.
    ///
    /// # Errors
    /// On any error the tracker is listed in `failed`.
    fn record(&self, params: &Json, state: &Json, now: Timestamp, document: &dyn Document) -> Result<Json, BoxError>;

    /// Whether nothing can count any more until the limiter is renewed.
    ///
    /// # Errors
    /// On any error the tracker is listed in `failed`.
    fn exhausted(&self, params: &Json, state: &Json, now: Timestamp) -> Result<bool, BoxError>;
}

/// Why a custom condition, measure or limiter returned no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CustomError {
    /// The definition names something that this process did not register.
    #[error("no {kind} named `{name}` is registered in this process")]
    Unknown {
        /// `condition`, `measure` or `limiter`.
        kind: &'static str,
        /// The name in the definition.
        name: String,
    },
    /// The custom code failed or panicked.
    #[error("{kind} `{name}` failed: {message}")]
    Failed {
        /// `condition`, `measure` or `limiter`.
        kind: &'static str,
        /// The name in the definition.
        name: String,
        /// Its error message.
        message: String,
    },
}

/// Custom code that is looked up by name when it is needed, such as code in another language.
pub trait CustomCode: Send + Sync {
    /// The condition of this name.
    fn condition(&self, name: &str) -> Option<Arc<dyn CustomCondition>>;

    /// The measure of this name.
    fn measure(&self, name: &str) -> Option<Arc<dyn Measure>>;

    /// The limiter of this name.
    fn limiter(&self, name: &str) -> Option<Arc<dyn CustomLimiter>>;
}

/// The custom code that this process has registered.
#[derive(Clone, Default)]
pub struct Registry {
    conditions: HashMap<Text, Arc<dyn CustomCondition>>,
    measures: HashMap<Text, Arc<dyn Measure>>,
    limiters: HashMap<Text, Arc<dyn CustomLimiter>>,
    others: Option<Arc<dyn CustomCode>>,
}

impl Registry {
    /// Registers a condition; one of the same name is replaced.
    pub fn add_condition(&mut self, name: &str, condition: impl CustomCondition + 'static) {
        self.conditions.insert(name.into(), Arc::new(condition));
    }

    /// Registers a measure; one of the same name is replaced.
    pub fn add_measure(&mut self, name: &str, measure: impl Measure + 'static) {
        self.measures.insert(name.into(), Arc::new(measure));
    }

    /// Registers a limiter; one of the same name is replaced.
    pub fn add_limiter(&mut self, name: &str, limiter: impl CustomLimiter + 'static) {
        self.limiters.insert(name.into(), Arc::new(limiter));
    }

    /// Looks up what is not registered in `others`, which replace any set before.
    pub fn set_others(&mut self, others: impl CustomCode + 'static) {
        self.others = Some(Arc::new(others));
    }

    /// Whether no custom code is registered.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty() && self.measures.is_empty() && self.limiters.is_empty() && self.others.is_none()
    }

    /// What is registered under this name, or what `others` have.
    fn known<T: ?Sized>(
        &self,
        things: &HashMap<Text, Arc<T>>,
        kind: &'static str,
        name: &str,
        others: impl FnOnce(&dyn CustomCode, &str) -> Option<Arc<T>>,
    ) -> Result<Arc<T>, CustomError> {
        let known = things.get(name).cloned();
        let found = known.or_else(|| self.others.as_ref().and_then(|code| others(&**code, name)));
        found.ok_or_else(|| CustomError::Unknown { kind, name: name.to_owned() })
    }

    pub(crate) fn check(&self, name: &str, params: &Json, document: &dyn Document) -> Result<bool, CustomError> {
        let condition = self.known(&self.conditions, "condition", name, |code, name| code.condition(name))?;
        guard("condition", name, || condition.check(params, document))
    }

    /// Calls the measure `name`.
    pub(crate) fn measure<T>(
        &self,
        name: &str,
        ask: impl FnOnce(&dyn Measure) -> Result<T, BoxError>,
    ) -> Result<T, CustomError> {
        let measure = self.known(&self.measures, "measure", name, |code, name| code.measure(name))?;
        guard("measure", name, || ask(&*measure))
    }

    /// Calls the limiter `name`.
    pub(crate) fn limiter<T>(
        &self,
        name: &str,
        ask: impl FnOnce(&dyn CustomLimiter) -> Result<T, BoxError>,
    ) -> Result<T, CustomError> {
        let limiter = self.known(&self.limiters, "limiter", name, |code, name| code.limiter(name))?;
        guard("limiter", name, || ask(&*limiter))
    }
}

/// Runs custom code. A panic is treated as an error, so that the group changes as a whole or not at all.
fn guard<T>(kind: &'static str, name: &str, code: impl FnOnce() -> Result<T, BoxError>) -> Result<T, CustomError> {
    let message = match catch_unwind(AssertUnwindSafe(code)) {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic_message(&*panic),
    };
    Err(CustomError::Failed { kind, name: name.to_owned(), message })
}

/// The message of a panic.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a message"))
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("conditions", &self.conditions.keys())
            .field("measures", &self.measures.keys())
            .field("limiters", &self.limiters.keys())
            .finish()
    }
}
