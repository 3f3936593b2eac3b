//! The tables `[providers.NAME]` of the settings file: programs behind sessions.
//!
//! ```toml
//! [providers.echo]
//! command = ["/usr/local/bin/echo-agent", "--polite"]
//! env = { ECHO_TONE = "warm" }
//! working_dir = "/var/lib/echo"
//! ```
//!
//! They stand in the file alone: a list of arguments and a table of variables make neither a flag nor a
//! variable that anybody would like to write.

use std::{collections::BTreeMap, path::Path};

use super::{ConfigError, Origin, settings::Provider};

/// Takes the section out of the file's table, and checks every provider in it.
pub(super) fn take(file: &mut toml::Table, path: &Path) -> Result<BTreeMap<String, Provider>, ConfigError> {
    let refused = |name: &str, why: String| ConfigError::Provider {
        origin: Origin::File(path.to_owned()),
        name: name.to_owned(),
        why,
    };
    let section = match file.remove("providers") {
        None => return Ok(BTreeMap::new()),
        Some(toml::Value::Table(section)) => section,
        Some(_) => return Err(refused("NAME", "each provider is a table of its own".to_owned())),
    };
    let mut providers = BTreeMap::new();
    for (name, value) in section {
        let provider: Provider =
            value.try_into().map_err(|fault: toml::de::Error| refused(&name, fault.message().to_owned()))?;
        check(&name, &provider).map_err(|why| refused(&name, why.to_owned()))?;
        providers.insert(name, provider);
    }
    Ok(providers)
}

fn check(name: &str, provider: &Provider) -> Result<(), &'static str> {
    if name == "none" {
        return Err("`none` means that there is no program; choose another name");
    }
    if !muster_actors::is_agent_name(name) {
        return Err(
            "its name has to be 1 to 64 of a-z, 0-9, '.', '_', '-', and begin with a letter or digit",
        );
    }
    if provider.command.first().is_none_or(|program| program.trim().is_empty()) {
        return Err("`command` has to name a program");
    }
    if provider.command.iter().any(|word| word.contains('\0')) {
        return Err("`command` holds a zero byte");
    }
    let named = |name: &String| !name.is_empty() && !name.contains(['=', '\0']);
    if !provider.env.iter().all(|(name, value)| named(name) && !value.contains('\0')) {
        return Err("`env` holds what no environment can");
    }
    if provider.env.keys().any(|name| name.starts_with("MUSTER_")) {
        return Err("`env` sets a variable that begins with MUSTER_; those are the node's own");
    }
    Ok(())
}
