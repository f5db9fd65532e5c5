//! The programs in `examples/` run, and their assertions hold.

type Ran = Result<(), Box<dyn std::error::Error>>;

macro_rules! examples {
    ($($(#[$attribute:meta])* $name:ident in $path:literal;)*) => {
        $(
            $(#[$attribute])*
            #[path = $path]
            mod $name;
        )*

        mod runs {
            use super::Ran;

            $(
                $(#[$attribute])*
                #[test]
                fn $name() -> Ran {
                    super::$name::main()
                }
            )*
        }
    };
}

examples! {
    user_activity in "../examples/user_activity.rs";
    rate_limiter in "../examples/rate_limiter.rs";
    #[cfg(feature = "sqlite")]
    order_processing in "../examples/order_processing.rs";
    campaign_analytics in "../examples/campaign_analytics.rs";
    session_monitoring in "../examples/session_monitoring.rs";
    custom_condition in "../examples/custom_condition.rs";
    daily_quest in "../examples/daily_quest.rs";
    login_streak in "../examples/login_streak.rs";
    spending_cap in "../examples/spending_cap.rs";
    login_throttle in "../examples/login_throttle.rs";
    #[cfg(feature = "files")]
    summer_campaign in "../examples/summer_campaign.rs";
}
