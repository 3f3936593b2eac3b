//! Kinds of values: how each is read from text and from the file, and what makes it valid.

use std::net::SocketAddr;

use libp2p::{Multiaddr, multiaddr::Protocol};
use toml::Value;
use tracing_subscriber::EnvFilter;

/// What values a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no.
    Bool,
    /// A whole number, both bounds included.
    Number(i64, i64),
    /// A name for people: one line, not blank, at most `TEXT_CHARS_MAX` characters.
    Text,
    /// One line that may be empty, such as a path or an address.
    Optional,
    /// A channel's name, as N-4 has it.
    Channel,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An address to listen on. `localhost` is read as 127.0.0.1.
    Socket,
    /// What `log.level` takes: a level, or a filter of tracing.
    LogFilter,
    /// A list of host names or addresses, as they stand in a `Host` header, without the port.
    Hosts,
    /// A list of multiaddrs.
    Multiaddrs,
    /// A list of multiaddrs that end in the peer id of the node they lead to.
    Peers,
}

/// Longest text a setting takes, in characters: it is shown in tables and sent in presence.
const TEXT_CHARS_MAX: usize = 64;

/// Longest path or address, in characters: what systems take.
const OPTIONAL_CHARS_MAX: usize = 4096;

/// Longest channel name, in characters (N-4).
const CHANNEL_CHARS_MAX: usize = 64;

impl Kind {
    /// Whether values are lists, written with commas outside the file.
    pub fn is_list(self) -> bool {
        matches!(self, Kind::Hosts | Kind::Multiaddrs | Kind::Peers)
    }

    /// One word for tables.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::Number(..) => "number",
            Kind::Text
            | Kind::Optional
            | Kind::Channel
            | Kind::Choice(_)
            | Kind::Socket
            | Kind::LogFilter => "text",
            Kind::Hosts | Kind::Multiaddrs | Kind::Peers => "list",
        }
    }

    /// What to write, for an error that ends in "write …".
    pub fn expected(self) -> String {
        match self {
            Kind::Bool => "true or false".to_owned(),
            Kind::Number(min, max) => format!("a whole number from {min} to {max}"),
            Kind::Text => format!("1 to {TEXT_CHARS_MAX} characters on one line"),
            Kind::Optional => format!("at most {OPTIONAL_CHARS_MAX} characters on one line"),
            Kind::Channel => {
                format!(
                    "1 to {CHANNEL_CHARS_MAX} of a-z, 0-9, _ and -, the first a letter or digit, such as builders"
                )
            }
            Kind::Choice(words) => words.join(" or "),
            Kind::Socket => "an address and a port, such as 127.0.0.1:7117 or [::1]:7117".to_owned(),
            Kind::LogFilter => {
                "error, warn, info, debug or trace, or a filter such as info,muster=debug".to_owned()
            }
            Kind::Hosts => "host names without scheme and port, such as muster.example.org".to_owned(),
            Kind::Multiaddrs => "multiaddrs, such as /ip4/0.0.0.0/udp/7118/quic-v1".to_owned(),
            Kind::Peers => "multiaddrs that end in a peer id, such as \
                            /ip4/192.0.2.1/udp/7118/quic-v1/p2p/12D3KooW…"
                .to_owned(),
        }
    }

    /// Reads a value of a flag, the environment or the table of defaults. The error says what is wrong.
    pub fn from_text(self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        let value = match self {
            Kind::Bool => text.parse().map(Value::Boolean).map_err(|_| "that is neither true nor false")?,
            Kind::Number(..) => {
                text.parse().map(Value::Integer).map_err(|_| "that is not a whole number of 64 bits")?
            }
            list if list.is_list() => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Value::Array(items.map(Value::from).collect())
            }
            _ => Value::from(text),
        };
        self.checked(value)
    }

    /// Reads a value of the file. The error says what is wrong.
    pub fn from_file(self, value: &Value) -> Result<Value, String> {
        let fits = match self {
            Kind::Bool => value.is_bool(),
            Kind::Number(..) => value.is_integer(),
            list if list.is_list() => value.is_array(),
            _ => value.is_str(),
        };
        if fits {
            self.checked(value.clone())
        } else {
            let wanted = if self.word() == "text" { "text in quotes" } else { self.word() };
            Err(format!("that is of type {}, not {wanted}", value.type_str()))
        }
    }

    /// Checks a value of the right type, and brings it into its usual form.
    fn checked(self, value: Value) -> Result<Value, String> {
        match (self, &value) {
            (Kind::Number(min, max), Value::Integer(number)) if !(min..=max).contains(number) => {
                Err("that is out of range".to_owned())
            }
            (Kind::Text, Value::String(text)) => name(text).map(|()| value),
            (Kind::Optional, Value::String(text)) => optional(text).map(|()| value),
            (Kind::Channel, Value::String(text)) => channel(text).map(|()| value),
            (Kind::Choice(words), Value::String(text)) if !words.contains(&text.as_str()) => {
                Err("that is not one of the words it takes".to_owned())
            }
            (Kind::Socket, Value::String(text)) => {
                socket(text).map(|address| Value::from(address.to_string()))
            }
            (Kind::LogFilter, Value::String(text)) => {
                EnvFilter::builder().parse(text).map(|_| value).map_err(|cause| cause.to_string())
            }
            (Kind::Hosts, Value::Array(items)) => each(items, host).map(|()| value),
            (Kind::Multiaddrs, Value::Array(items)) => {
                each(items, |text| multiaddr(text).map(drop)).map(|()| value)
            }
            (Kind::Peers, Value::Array(items)) => each(items, peer).map(|()| value),
            _ => Ok(value),
        }
    }
}

fn each(items: &[Value], check: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    items.iter().try_for_each(|item| {
        let text = item.as_str().ok_or_else(|| format!("{item} in the list is not text in quotes"))?;
        check(text).map_err(|why| format!("in it, `{text}` {why}"))
    })
}

fn name(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        Err("that is blank".to_owned())
    } else if text.chars().count() > TEXT_CHARS_MAX {
        Err("that is too long".to_owned())
    } else if text.chars().any(char::is_control) {
        Err("that holds a control character".to_owned())
    } else {
        Ok(())
    }
}

fn optional(text: &str) -> Result<(), String> {
    if text.chars().count() > OPTIONAL_CHARS_MAX {
        Err("that is too long".to_owned())
    } else if text.chars().any(char::is_control) {
        Err("that holds a control character".to_owned())
    } else {
        Ok(())
    }
}

fn channel(text: &str) -> Result<(), String> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if text.starts_with(letter)
        && text.len() <= CHANNEL_CHARS_MAX
        && text.chars().all(|c| letter(c) || c == '_' || c == '-')
    {
        Ok(())
    } else {
        Err("that is not the name of a channel".to_owned())
    }
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    numeric.as_deref().unwrap_or(text).parse().map_err(|_| "that is not an address with a port".to_owned())
}

fn host(text: &str) -> Result<(), String> {
    let numeric = text.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>().is_ok();
    let named = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    if numeric || named { Ok(()) } else { Err("is not a host name".to_owned()) }
}

fn multiaddr(text: &str) -> Result<Multiaddr, String> {
    text.parse().map_err(|cause| format!("is not a multiaddr ({cause})"))
}

fn peer(text: &str) -> Result<(), String> {
    match multiaddr(text)?.iter().last() {
        Some(Protocol::P2p(_)) => Ok(()),
        _ => Err("does not end in /p2p/ and a peer id, so nobody could tell who answers there".to_owned()),
    }
}
