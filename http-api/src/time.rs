//! Times as the doors show them.

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type},
};

/// A moment, shown as RFC 3339 in UTC. Milliseconds are shown when there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Timestamp);

impl Time {
    /// From Unix milliseconds. A moment after the year 9999 is shown as its last.
    pub fn from_ms(ms: u64) -> Self {
        Self(
            i64::try_from(ms)
                .ok()
                .and_then(|ms| Timestamp::from_millisecond(ms).ok())
                .unwrap_or(Timestamp::MAX),
        )
    }

    /// From Unix seconds, as envelopes carry them.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339 in UTC."))
            .into()
    }
}

impl ToSchema for Time {}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(time: Time) -> String {
        serde_json::to_value(time).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(shown(Time::from_ms(1_700_000_000_000)), "2023-11-14T22:13:20Z");
        assert_eq!(shown(Time::from_ms(1_700_000_000_250)), "2023-11-14T22:13:20.25Z");
        assert_eq!(shown(Time::from_seconds(1_700_000_000)), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn no_time_is_too_far_away_to_be_shown() {
        assert!(shown(Time::from_ms(u64::MAX)).starts_with("9999-12-3"));
    }
}
