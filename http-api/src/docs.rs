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

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::{Request, StatusCode},
    };
    use tower::ServiceExt;

    use super::*;

    async fn read(path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = routes().oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    #[tokio::test]
    async fn every_doors_document_is_served_and_shown() {
        let (status, script) = read("/docs/swagger-initializer.js").await;
        assert_eq!(status, StatusCode::OK);
        for door in Door::ALL {
            assert!(script.contains(door.json_path()), "{}", door.name());
            let (status, json) = read(door.json_path()).await;
            assert!(status == StatusCode::OK && json.contains("\"paths\""), "{}", door.name());
            let (status, yaml) = read(door.yaml_path()).await;
            assert!(status == StatusCode::OK && yaml.contains("paths:"), "{}", door.name());
        }
    }

    #[tokio::test]
    async fn the_page_loads_nothing_from_elsewhere() {
        let (status, page) = read("/docs/").await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            page.contains("swagger-ui") && !page.contains("http://") && !page.contains("https://"),
            "{page}"
        );
    }
}
