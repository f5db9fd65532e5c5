//! `{"sum": 500}`: a sum, until a reset.

use std::sync::Arc;

use super::quota::Quota;
use super::{Kind, LimiterView, Renewal, Verdict};
use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::{Fields, Read};
use crate::document::Document;
use crate::engine::{Ask, At, Engine, When};
use crate::group::RecordError;
use crate::json::{Json, Map};

/// Admits documents up to a sum of their amounts.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    quota: Quota,
}

impl Sum {
    pub(super) fn new(quota: Quota) -> Self {
        Self { quota }
    }

    /// The sum.
    pub fn limit(&self) -> Amount {
        self.quota.limit()
    }
}

impl Kind for Sum {
    /// What was used.
    type State = Arc<Amount>;

    const FIELDS: &'static [&'static str] = &["sum", "key"];
    const FORM: &'static str = r#"{"sum": x}"#;

    fn read(fields: &mut Fields<'_>) -> Read<Self> {
        Ok(Self { quota: Quota::read(fields, Self::FORM)? })
    }

    fn check(&self) -> Read<()> {
        self.quota.check()
    }

    fn to_json(&self) -> Json {
        let mut map = Map::default();
        self.quota.write(&mut map);
        map.into()
    }

    fn begin(&self, _: When, _: Option<&Engine>) -> Self::State {
        Arc::default()
    }

    fn check_number(&self, document: &dyn Document) -> Result<(), String> {
        self.quota.own_amount(document).map(drop)
    }

    fn admits(&self, state: &Self::State, ask: &Ask<'_>) -> Result<Verdict, CustomError> {
        let fits = self.quota.amount(ask) <= self.quota.left(**state);
        Ok(if fits { Verdict::Admitted } else { Verdict::Refused { until: None } })
    }

    fn record(&self, state: &mut Self::State, ask: &Ask<'_>) -> Result<(), CustomError> {
        *state = Arc::new(self.quota.used(**state, self.quota.amount(ask)));
        Ok(())
    }

    fn exhausted(&self, state: &Self::State, _: At<'_>) -> Result<bool, CustomError> {
        Ok(!self.quota.left(**state).is_positive())
    }

    fn renewed(&self, _: &Self::State, _: Renewal, _: At<'_>) -> Result<Self::State, CustomError> {
        Ok(Arc::default())
    }

    fn with_used(&self, before: &Self, state: &Self::State, _: When) -> Option<Self::State> {
        self.quota.differs_in_number_only(&before.quota).then(|| Arc::clone(state))
    }

    fn view(&self, state: &Self::State, when: When) -> LimiterView {
        let left = self.quota.left(**state);
        LimiterView {
            limit: Some(self.limit()),
            remaining: Some(left),
            retry_at: left.is_positive().then_some(when.now),
            ..LimiterView::default()
        }
    }

    fn in_words(&self, _: &Self::State, _: When) -> String {
        format!("{}, which is used up, until it is reset", self.quota)
    }

    fn store(state: &Self::State, out: &mut String) {
        out.push_str(&format!(r#"{{"used":{state}}}"#));
    }

    fn heap_bytes(_: &Self::State) -> usize {
        size_of::<Amount>()
    }

    fn restore(&self, stored: &Json) -> Result<Self::State, RecordError> {
        let used = stored.as_map().and_then(|map| crate::group::stored::exact(map.get("used")?));
        used.map(Arc::new).ok_or_else(|| RecordError::new("`used` is not an exact number"))
    }
}
