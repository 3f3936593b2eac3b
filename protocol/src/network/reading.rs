//! Reading foreign JSON: exactly one value per member name, blank counts as absent, null counts as empty.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Characters of a foreign text that an error message repeats; the rest is cut, so that a large envelope does not
/// make a large error.
const MAX_QUOTED_CHARS: usize = 120;

/// Parses one JSON value and refuses objects that name a member twice. Two readers of such an object could see
/// different values under one signature, which is why RFC 8785 forbids it.
pub(super) fn parse_strict(json: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = Strict.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// The error's text, cut to a bounded length.
pub(super) fn brief(error: &serde_json::Error) -> String {
    cut(&error.to_string(), MAX_QUOTED_CHARS)
}

/// At most `max` characters of `text`, the last of them an ellipsis when something was cut. `max` is at least 1.
pub(super) fn cut(text: &str, max: usize) -> String {
    if text.char_indices().nth(max).is_none() {
        return text.to_owned();
    }
    let end = text.char_indices().nth(max - 1).map_or(text.len(), |(at, _)| at);
    format!("{}…", text[..end].trim_end())
}

/// Trimmed text; null and blank count as absent (N-6).
pub(super) fn optional_text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = Option::deserialize(input)?;
    Ok(text.as_deref().and_then(not_blank).map(str::to_owned))
}

/// Trimmed text; absent and null read as empty, for the caller to refuse or not.
pub(super) fn trimmed<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(input)?.unwrap_or_default().trim().to_owned())
}

/// A list of trimmed texts without blank ones (N-19). Null is not a list.
pub(super) fn text_list<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    Ok(without_blanks(Vec::<String>::deserialize(input)?))
}

/// As [`text_list`], but null counts as the empty list (N-66).
pub(super) fn optional_text_list<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    Ok(without_blanks(Option::<Vec<String>>::deserialize(input)?.unwrap_or_default()))
}

/// A list of any values; null counts as the empty list.
pub(super) fn optional_list<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Value>, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// The trimmed text, or `None` when nothing is left (N-6).
pub(super) fn not_blank(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn without_blanks(items: Vec<String>) -> Vec<String> {
    items.iter().filter_map(|item| not_blank(item)).map(str::to_owned).collect()
}

/// Builds a [`Value`] as serde_json does, except that a repeated member name is an error.
#[derive(Clone, Copy)]
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Strict)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("member `{name}` stands twice in one object")));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_named_twice_is_refused_at_any_depth() {
        assert!(parse_strict(br#"{"a":1,"a":1}"#).is_err());
        assert!(parse_strict(br#"{"x":[{"a":1,"a":2}]}"#).is_err());
        assert!(parse_strict(br#"{"a":1,"b":{"a":2}}"#).is_ok());
    }

    #[test]
    fn strict_reading_makes_the_same_values_as_serde_json() {
        let json =
            r#"{"n":null,"b":true,"i":-3,"u":18446744073709551615,"f":1.5,"s":"é\u0000","l":[1,[]],"o":{}}"#;
        assert_eq!(parse_strict(json.as_bytes()).unwrap(), serde_json::from_str::<Value>(json).unwrap());
        assert!(parse_strict(b"{} {}").is_err());
        assert!(parse_strict("[".repeat(100_000).as_bytes()).is_err(), "depth is bounded");
    }

    #[test]
    fn cut_counts_characters_and_marks_the_cut() {
        assert_eq!(cut("ééé", 3), "ééé");
        assert_eq!(cut("éééé", 3), "éé…");
    }
}
