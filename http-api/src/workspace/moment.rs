//! Times as this door shows them: UTC with milliseconds and a trailing `Z` (W-4).

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type},
};

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) u64);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = i64::try_from(self.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        serializer.collect_str(&format_args!("{:.3}", at.unwrap_or(Timestamp::MAX)))
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339 in UTC with milliseconds and a trailing Z."))
            .into()
    }
}

impl ToSchema for Moment {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_always_shown_w4() {
        let shown = |ms| serde_json::to_value(Moment(ms)).unwrap();
        assert_eq!(shown(1_700_000_000_000), "2023-11-14T22:13:20.000Z");
        assert_eq!(shown(1_700_000_000_250), "2023-11-14T22:13:20.250Z");
    }
}
