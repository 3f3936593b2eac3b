//! Reading the fields of a request, so that all that do not fit are told at once (W-6, W-7, W-12).

use std::collections::BTreeMap;

use axum::extract::RawQuery;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::errors::Failure;
use crate::input::{BadBody, JsonBody};

/// The fields of a body or a query, and what is wrong with them so far. Unknown ones are left alone (W-5).
pub(super) struct Fields {
    members: Map<String, Value>,
    faults: BTreeMap<String, Vec<String>>,
}

/// Bounds of `limit` (W-43).
pub(super) struct Limit {
    pub(super) max: u64,
    pub(super) default: u64,
}

impl Fields {
    /// Those of a body; none at all is an error.
    pub(super) fn of_body(body: &JsonBody) -> Result<Self, Failure> {
        Ok(Self { members: body.read().map_err(whole)?, faults: BTreeMap::new() })
    }

    /// Those of a body that may be left out.
    pub(super) fn of_optional_body(body: &JsonBody) -> Result<Self, Failure> {
        Ok(Self { members: body.read_optional().map_err(whole)?, faults: BTreeMap::new() })
    }

    /// Those of a query. A parameter that is repeated becomes a list.
    pub(super) fn of_query(RawQuery(query): &RawQuery) -> Self {
        let mut members: Map<String, Value> = Map::new();
        for (name, value) in form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes()) {
            let value = Value::String(value.into_owned());
            match members.get_mut(name.as_ref()) {
                Some(Value::Array(values)) => values.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
                None => drop(members.insert(name.into_owned(), value)),
            }
        }
        Self { members, faults: BTreeMap::new() }
    }

    /// Says that a field does not fit.
    pub(super) fn fault(&mut self, field: &str, reason: impl Into<String>) {
        self.faults.entry(field.to_owned()).or_default().push(reason.into());
    }

    /// Ends reading: every field fits, or all faults are told.
    pub(super) fn done(self) -> Result<(), Failure> {
        if self.faults.is_empty() { Ok(()) } else { Err(Failure::invalid(&self.faults)) }
    }

    /// A field that is there and not null.
    pub(super) fn given(&self, field: &str) -> Option<&Value> {
        self.members.get(field).filter(|value| !value.is_null())
    }

    /// Text of `min` to `max` characters. A fault when it is missing.
    pub(super) fn text(&mut self, field: &str, min: usize, max: usize) -> String {
        match self.optional_text(field, min, max) {
            Some(text) => text,
            None => {
                if self.given(field).is_none() {
                    self.fault(field, "is required");
                }
                String::new()
            }
        }
    }

    /// Text of `min` to `max` characters, if it is there.
    pub(super) fn optional_text(&mut self, field: &str, min: usize, max: usize) -> Option<String> {
        let text = match self.given(field)? {
            Value::String(text) => text.clone(),
            _ => {
                self.fault(field, "must be a string");
                return None;
            }
        };
        let length = text.chars().count();
        if length < min {
            self.fault(field, format!("must have at least {min} characters"));
        } else if length > max {
            self.fault(field, format!("must have at most {max} characters"));
        } else {
            return Some(text);
        }
        None
    }

    /// A whole number that may be written as text (W-7).
    pub(super) fn limit(&mut self, bounds: &Limit) -> usize {
        let number = match self.given("limit") {
            None => return bounds.default as usize,
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        match number {
            Some(number) if (1..=bounds.max).contains(&number) => number as usize,
            Some(0) => {
                self.fault("limit", "must be at least 1");
                1
            }
            Some(_) => {
                self.fault("limit", format!("must be at most {}", bounds.max));
                1
            }
            None => {
                self.fault("limit", "must be a whole number");
                1
            }
        }
    }

    /// A whole number that may not be written as text.
    pub(super) fn number(&mut self, field: &str, min: u64, max: u64, default: u64) -> u64 {
        match self.given(field) {
            None => default,
            Some(Value::Number(number)) => match number.as_u64() {
                Some(number) if (min..=max).contains(&number) => number,
                _ => {
                    self.fault(field, format!("must be a whole number from {min} to {max}"));
                    default
                }
            },
            Some(_) => {
                self.fault(field, "must be a number");
                default
            }
        }
    }

    /// True or false.
    pub(super) fn flag(&mut self, field: &str) -> Option<bool> {
        match self.given(field)? {
            Value::Bool(flag) => Some(*flag),
            _ => {
                self.fault(field, "must be true or false");
                None
            }
        }
    }

    /// A field that has to be there, however it is read.
    pub(super) fn needed<T>(&mut self, field: &str, read: impl Fn(&mut Self) -> Option<T>) -> Option<T> {
        if self.given(field).is_none() {
            self.fault(field, "is required");
        }
        read(self)
    }

    /// A list of texts; none when it is absent.
    pub(super) fn texts(&mut self, field: &str) -> Vec<String> {
        let Some(value) = self.given(field) else { return Vec::new() };
        let texts = value.as_array().map(|values| {
            values.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        match texts {
            Some(Some(texts)) => texts,
            Some(None) => {
                self.fault(field, "must hold only strings");
                Vec::new()
            }
            None => {
                self.fault(field, "must be an array");
                Vec::new()
            }
        }
    }

    /// One or several words of a query, each of a known set.
    pub(super) fn words_of_query<T>(&mut self, field: &str, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let texts = match self.given(field) {
            None => return Vec::new(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(_) => self.texts(field),
        };
        self.known(field, &texts, read)
    }

    /// A list of words, each of a known set.
    pub(super) fn words<T>(&mut self, field: &str, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let texts = self.texts(field);
        self.known(field, &texts, read)
    }

    /// One word of a known set, if it is there.
    pub(super) fn word<T>(&mut self, field: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.optional_text(field, 0, usize::MAX)?;
        self.known(field, &[text], read).pop()
    }

    fn known<T>(&mut self, field: &str, texts: &[String], read: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let found: Option<Vec<T>> = texts.iter().map(|text| read(text)).collect();
        found.unwrap_or_else(|| {
            self.fault(field, "is not one of the known values");
            Vec::new()
        })
    }

    /// A moment in the `Z` form, in Unix milliseconds (W-4).
    pub(super) fn instant(&mut self, field: &str) -> Option<u64> {
        let text = self.optional_text(field, 0, usize::MAX)?;
        let read = Some(text.as_str()).filter(|text| text.ends_with('Z') && text.contains('T'));
        let read = read.and_then(|text| text.parse::<Timestamp>().ok());
        match read.map(|at| u64::try_from(at.as_millisecond()).unwrap_or(0)) {
            Some(at_ms) => Some(at_ms),
            None => {
                self.fault(field, "must be an instant like 2026-06-12T09:00:00.000Z");
                None
            }
        }
    }

    /// An object whose values are texts.
    pub(super) fn pairs(&mut self, field: &str) -> Option<BTreeMap<String, String>> {
        let value = self.given(field)?;
        let pairs = value.as_object().map(|members| {
            let pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
            members.iter().map(pair).collect::<Option<BTreeMap<_, _>>>()
        });
        match pairs {
            Some(Some(pairs)) => Some(pairs),
            Some(None) => {
                self.fault(field, "values must be strings");
                None
            }
            None => {
                self.fault(field, "must be an object");
                None
            }
        }
    }
}

/// A body that cannot be read at all (W-6).
fn whole(fault: BadBody) -> Failure {
    Failure::invalid_whole(fault.to_string())
}
