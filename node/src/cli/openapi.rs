//! `muster openapi DOOR`.

use super::CliError;

/// The OpenAPI document of a door, as JSON or YAML.
pub(super) fn document(door: &str, yaml: bool) -> Result<String, CliError> {
    let text = if yaml {
        muster_http_api::openapi_yaml(door)
    } else {
        muster_http_api::openapi(door).and_then(|document| document.to_pretty_json().ok())
    };
    text.ok_or_else(|| {
        let doors: Vec<_> = muster_http_api::Door::ALL.iter().map(|door| door.name()).collect();
        CliError::Usage(format!("there is no door `{door}`; write one of {}", doors.join(", ")))
    })
}
