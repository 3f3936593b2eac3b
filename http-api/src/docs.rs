//! The documents of all doors, to read in a browser without a network, and as files.
//!
//! `/docs` is Swagger UI, embedded in the program; `/docs/DOOR.json` and `/docs/DOOR.yaml` are the
//! documents themselves. They hold no secrets, so they need no token.

use axum::{
    Router,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::get,
};
use utoipa_swagger_ui::{SwaggerUi, Url};

use crate::Door;

/// A door's document as YAML.
pub(crate) fn yaml(door: Door) -> String {
    serde_saphyr::to_string(&door.document()).expect("an OpenAPI document has only string keys")
}

/// `/docs` and the documents it shows.
pub(crate) fn routes() -> Router {
    let urls = Door::ALL.map(|door| (Url::new(door.name(), door.json_path()), door.document()));
    let ui = SwaggerUi::new("/docs").urls(urls.into());
    Door::ALL.into_iter().fold(Router::from(ui), |router, door| {
        router.route(door.yaml_path(), get(async move || as_yaml(door)))
    })
}

fn as_yaml(door: Door) -> Response {
    ([(CONTENT_TYPE, "application/yaml")], yaml(door)).into_response()
}
