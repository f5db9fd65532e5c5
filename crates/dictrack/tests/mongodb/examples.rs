//! The programs in `examples/` do the same on MongoDB, alone and behind Redis.

use dictrack::{Blocking, Manager, ManagerBuilder, RedisCache};
use dictrack_testkit::shared_redis;

use crate::common::{fresh, open, shared, store};

type Ran = Result<(), Box<dyn std::error::Error>>;

macro_rules! programs {
    ($($name:ident in $path:literal;)*) => {
        $(
            #[path = $path]
            #[allow(dead_code, reason = "its `main` is for a store of its own")]
            mod $name;
        )*
    };
}

programs! {
    user_activity in "../../examples/user_activity.rs";
    rate_limiter in "../../examples/rate_limiter.rs";
    order_processing in "../../examples/order_processing.rs";
    campaign_analytics in "../../examples/campaign_analytics.rs";
    session_monitoring in "../../examples/session_monitoring.rs";
    custom_condition in "../../examples/custom_condition.rs";
}

/// Where a program keeps its groups: a collection, and the keys of a cache in front of it.
struct Place {
    collection: String,
    cache: Option<String>,
}

impl Place {
    /// The builder that a program uses.
    fn builder(&self) -> ManagerBuilder {
        let builder = Manager::builder().store(store(shared(), &self.collection));
        match &self.cache {
            Some(url) => builder.cache(RedisCache::new(url).unwrap()),
            None => builder,
        }
    }

    fn manager(&self) -> Blocking {
        pollster::block_on(self.builder().open()).unwrap().blocking()
    }
}

/// Runs a program on MongoDB alone, then behind Redis. Afterwards a group's trackers are where the program kept them,
/// and also in the store alone.
fn on_both(run: impl Fn(&Place) -> Ran, group: &str, trackers: &[(&str, &str)]) -> Ran {
    for cached in [false, true] {
        let collection = fresh();
        let cache = cached.then(|| format!("{}?prefix={collection}", shared_redis()));
        let place = Place { collection, cache };
        run(&place)?;
        let found = |manager: Blocking| -> Result<Vec<_>, dictrack::Error> {
            let trackers = manager.trackers(group)?;
            Ok(trackers.iter().map(|found| (found.name().to_owned(), found.progress.to_string())).collect())
        };
        let trackers: Vec<_> = trackers.iter().map(|(name, count)| ((*name).to_owned(), (*count).to_owned())).collect();
        assert_eq!(found(place.manager())?, trackers, "what a second run sees");
        assert_eq!(found(open(shared(), &place.collection))?, trackers, "what is stored");
    }
    Ok(())
}

#[test]
fn user_activity_runs() -> Ran {
    on_both(|place| user_activity::run(place.manager()), "user_001", &[("activity_milestone", "10")])
}

#[test]
fn rate_limiter_runs() -> Ran {
    on_both(|place| rate_limiter::run(place.builder()), "api_client_001", &[("api_quota", "101")])
}

#[test]
fn order_processing_runs() -> Ran {
    let run = |place: &Place| order_processing::run(|| Ok(place.manager()));
    on_both(run, "orders", &[("order_count", "3"), ("order_amount", "545.5")])
}

#[test]
fn campaign_analytics_runs() -> Ran {
    let trackers = [("campaign_clicks", "5"), ("campaign_conversions", "2"), ("campaign_revenue", "250")];
    on_both(|place| campaign_analytics::run(place.manager()), "campaign_summer_2024", &trackers)
}

#[test]
fn session_monitoring_runs() -> Ran {
    on_both(|place| session_monitoring::run(place.builder()), "user_session_001", &[("session_actions", "60")])
}

#[test]
fn custom_condition_runs() -> Ran {
    on_both(|place| custom_condition::run(place.builder()), "orders", &[("high_value_orders", "3")])
}
