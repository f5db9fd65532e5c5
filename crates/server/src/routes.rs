//! All routes.

use axum::Router;
use axum::routing::{MethodRouter, get, post};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi as Description;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Shared;
use crate::problem::{Code, Problem};
use crate::{batch, documents, groups, health, key_calls, openapi};

/// The routes and their description.
pub(crate) fn described() -> (Router<Shared>, Description) {
    OpenApiRouter::with_openapi(openapi::Base::openapi())
        .routes(routes!(documents::track))
        .routes(routes!(documents::admit))
        .routes(routes!(documents::explain))
        .routes(routes!(batch::documents))
        .routes(routes!(groups::list_groups))
        .routes(routes!(groups::show, groups::delete))
        .routes(routes!(groups::peek))
        .routes(routes!(groups::attributes, groups::set_attributes))
        .routes(routes!(groups::periods))
        .routes(routes!(groups::reset))
        .routes(routes!(key_calls::list_keys, key_calls::create_key))
        .routes(routes!(key_calls::revoke_key))
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(openapi::serve))
        .split_for_parts()
}

/// The routes, also those of the group whose id is empty, which a parameter does not match.
pub(crate) fn all() -> Router<Shared> {
    let (router, _) = described();
    let empty: [(&str, MethodRouter<Shared>); 8] = [
        ("/v1/groups/", get(groups::show).delete(groups::delete)),
        ("/v1/groups//track", post(documents::track)),
        ("/v1/groups//admit", post(documents::admit)),
        ("/v1/groups//explain", post(documents::explain)),
        ("/v1/groups//peek", get(groups::peek)),
        ("/v1/groups//attributes", get(groups::attributes).patch(groups::set_attributes)),
        ("/v1/groups//trackers/{tracker}/periods", get(groups::periods)),
        ("/v1/groups//trackers/{tracker}/reset", post(groups::reset)),
    ];
    let router = empty.into_iter().fold(router, |router, (path, methods)| router.route(path, methods));
    router.fallback(nothing).method_not_allowed_fallback(no_method)
}

async fn nothing() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this path; /openapi.json lists all of them")
}

async fn no_method() -> Problem {
    Problem::new(Code::MethodNotAllowed, "this path does not have this method; /openapi.json lists all of them")
}
