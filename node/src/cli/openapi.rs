//! `muster openapi DOOR`.

use super::CliError;

/// The OpenAPI document of a door, as JSON or YAML.
pub(super) fn document(door: &str, _yaml: bool) -> Result<String, CliError> {
    Err(CliError::Usage(format!("there is no door `{door}` in this build")))
}
