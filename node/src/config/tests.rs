//! Settings come from where they should, and mistakes are told.

use super::*;

fn flags(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// A settings file that lives as long as the returned folder.
fn file(text: &str) -> (tempfile::TempDir, Option<(PathBuf, Named)>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("muster.toml");
    std::fs::write(&path, text).unwrap();
    (folder, Some((path, Named::ByRule)))
}

fn origin(config: &Config, key: &str) -> &'static str {
    config.rows.iter().find(|row| row.key.name == key).unwrap().origin.word()
}

#[test]
fn the_defaults_are_valid_and_fill_every_field() {
    let config = load(&Sources::default()).unwrap();
    assert_eq!(config.rows.len(), KEYS.len());
    assert!(config.rows.iter().all(|row| row.origin == Origin::Default));
    assert_eq!(config.settings.http.listen, "127.0.0.1:7117".parse().unwrap());
    assert_eq!(config.settings.mesh.listen.len(), 2);
    // N-136
    assert_eq!(config.settings.network.queue_depth, 100);
    assert_eq!(config.settings.network.greet_interval_seconds, 30);
    assert_eq!(config.settings.network.max_replay_age_seconds, 300);
    assert_eq!(config.settings.network.default_channel, "default");
    assert!(!config.settings.node.name.is_empty());
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let (_folder, file) = file("[network]\nqueue_depth = 2\ngreet_interval_seconds = 2\nenabled = false\n");
    let config = load(&Sources {
        file,
        environment: environment(&[
            ("MUSTER_NETWORK_QUEUE_DEPTH", "3"),
            ("MUSTER_NETWORK_GREET_INTERVAL_SECONDS", "3"),
        ]),
        flags: flags(&[("network.queue_depth", "4")]),
    })
    .unwrap();
    let network = &config.settings.network;
    assert_eq!((network.queue_depth, origin(&config, "network.queue_depth")), (4, "flag"));
    assert_eq!(
        (network.greet_interval_seconds, origin(&config, "network.greet_interval_seconds")),
        (3, "env")
    );
    assert_eq!((network.enabled, origin(&config, "network.enabled")), (false, "file"));
    assert_eq!((network.require_token, origin(&config, "network.require_token")), (false, "default"));
}

#[test]
fn the_variable_of_a_key_follows_one_rule_and_no_two_keys_share_one() {
    let mut variables: Vec<String> = KEYS.iter().map(Key::variable).collect();
    assert!(variables.contains(&"MUSTER_NETWORK_QUEUE_DEPTH".to_owned()));
    variables.extend(OTHER_VARIABLES.map(str::to_owned));
    let count = variables.len();
    variables.sort();
    variables.dedup();
    assert_eq!(variables.len(), count);
}

#[test]
fn no_key_is_also_the_section_of_another() {
    for key in KEYS {
        let section = format!("{}.", key.name);
        assert!(!KEYS.iter().any(|other| other.name.starts_with(&section)), "{}", key.name);
    }
}

#[test]
fn an_unknown_key_in_the_file_is_refused_with_the_key_that_was_meant() {
    for (text, meant) in [
        ("[network]\nqueue_dept = 1", "did you mean `network.queue_depth`?"),
        ("[netwrok]\nqueue_depth = 1", "did you mean `network.queue_depth`?"),
        ("http.lisen = '127.0.0.1:1'", "did you mean `http.listen`?"),
    ] {
        let (_folder, file) = file(text);
        let error = load(&Sources { file, ..Default::default() }).unwrap_err().to_string();
        assert!(error.contains(meant), "{error}");
    }
    let error = load(&Sources { flags: flags(&[("colour", "red")]), ..Default::default() }).unwrap_err();
    assert!(error.to_string().contains("`muster config show` lists all"), "{error}");
}

#[test]
fn an_unknown_variable_that_looks_like_a_key_is_told_and_ignored() {
    let config = load(&Sources {
        environment: environment(&[
            ("MUSTER_NETWORK_QUEUE_DEPHT", "1"),
            ("MUSTER_DATA", "/tmp/ada"),
            ("MUSTER_HOME", "/x"),
            ("PATH_OF_MUSTER", "/x"),
        ]),
        ..Default::default()
    })
    .unwrap();
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].contains("did you mean MUSTER_NETWORK_QUEUE_DEPTH?"), "{:?}", config.warnings);
}

#[test]
fn a_bad_value_is_refused_with_what_to_write_instead() {
    for (key, value, part) in [
        ("network.queue_depth", "0", "whole number from 1"),
        ("network.queue_depth", "many", "whole number from 1"),
        ("network.enabled", "yes", "true or false"),
        ("network.default_channel", "The Lobby", "such as builders"),
        ("http.listen", "7117", "such as 127.0.0.1:7117"),
        ("http.allowed_hosts", "ok.example,https://x", "without scheme"),
        ("mesh.listen", "0.0.0.0:7118", "such as /ip4/0.0.0.0/udp/7118/quic-v1"),
        ("mesh.relays", "/ip4/192.0.2.1/tcp/1", "end in a peer id"),
        ("log.format", "xml", "human or json or auto"),
        ("log.level", "muster=loud", "or a filter"),
        ("node.name", " ", "1 to 64 characters"),
    ] {
        let error = load(&Sources { flags: flags(&[(key, value)]), ..Default::default() }).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(part) && error.contains(key) && error.contains("command line"), "{error}");
    }
}

#[test]
fn a_value_of_the_wrong_type_in_the_file_is_refused() {
    let (_folder, file) = file("[network]\nqueue_depth = '12'");
    let error = load(&Sources { file, ..Default::default() }).unwrap_err().to_string();
    assert!(error.contains("is of type string, not number"), "{error}");
}

#[test]
fn lists_are_arrays_in_the_file_commas_elsewhere_and_repeated_flags_add_up() {
    let (_folder, file) = file("[mesh]\nlisten = ['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2']");
    let config = load(&Sources {
        file,
        environment: environment(&[("MUSTER_HTTP_ALLOWED_HOSTS", "a.example, b.example,::1")]),
        flags: flags(&[
            ("mesh.external_addresses", "/ip4/192.0.2.1/tcp/1"),
            ("mesh.external_addresses", "/ip4/192.0.2.2/tcp/1"),
        ]),
    })
    .unwrap();
    assert_eq!(config.settings.mesh.listen.len(), 2);
    assert_eq!(config.settings.http.allowed_hosts, ["a.example", "b.example", "::1"]);
    assert_eq!(config.settings.mesh.external_addresses.len(), 2);
}

#[test]
fn a_file_may_be_absent_only_when_nobody_named_it() {
    let absent = |named| Sources { file: Some(("/no/such/file.toml".into(), named)), ..Default::default() };
    assert!(load(&absent(Named::ByRule)).is_ok());
    assert!(matches!(load(&absent(Named::ByOwner)), Err(ConfigError::Read { .. })));
}

#[test]
fn http_beyond_loopback_needs_an_explicit_word() {
    let with = |pairs| load(&Sources { flags: flags(pairs), ..Default::default() }).unwrap().settings;
    assert!(with(&[("http.listen", "localhost:0")]).refuse_exposure().is_ok());
    assert!(with(&[("http.listen", "[::1]:0")]).refuse_exposure().is_ok());
    let open = with(&[("http.listen", "0.0.0.0:7117")]).refuse_exposure().unwrap_err().to_string();
    assert!(open.contains("--set http.insecure_expose=true"), "{open}");
    assert!(
        with(&[("http.listen", "0.0.0.0:7117"), ("http.insecure_expose", "true")]).refuse_exposure().is_ok()
    );
}

#[test]
fn a_provider_is_a_command_an_environment_and_a_folder() {
    let (_folder, file) = file(
        "[network]\nqueue_depth = 2\n[providers.echo]\ncommand = [\"/bin/echo-agent\", \"--polite\"]\n\
         env = { TONE = \"warm\" }\nworking_dir = \"/tmp\"\n[providers.\"v1.2\"]\ncommand = [\"x\"]\n",
    );
    let config = load(&Sources { file, ..Sources::default() }).unwrap();
    assert_eq!(config.settings.network.queue_depth, 2);
    let echo = &config.settings.providers["echo"];
    assert_eq!(echo.command, ["/bin/echo-agent", "--polite"]);
    assert_eq!(echo.env["TONE"], "warm");
    assert_eq!(echo.working_dir.as_deref(), Some(Path::new("/tmp")));
    assert_eq!(config.settings.providers["v1.2"].command, ["x"]);
}

#[test]
fn a_provider_that_cannot_be_used_is_told_with_what_to_write() {
    for (text, why) in [
        ("[providers.none]\ncommand = [\"x\"]", "no program"),
        ("[providers.Big]\ncommand = [\"x\"]", "1 to 64"),
        ("[providers.echo]", "missing field `command`"),
        ("[providers.echo]\ncommand = []", "name a program"),
        ("[providers.echo]\ncommand = [\" \"]", "name a program"),
        ("[providers.echo]\ncommand = \"echo hi\"", "expected a sequence"),
        ("[providers.echo]\ncommand = [\"x\"]\nshell = true", "unknown field `shell`"),
        ("[providers.echo]\ncommand = [\"x\"]\nenv = { MUSTER_SESSION_ID = \"x\" }", "MUSTER_"),
        ("[providers.echo]\ncommand = [\"x\"]\nenv = { \"A=B\" = \"x\" }", "no environment"),
        ("[providers]\necho = 5", "expected struct"),
        ("providers = 5", "a table of its own"),
    ] {
        let (_folder, file) = file(text);
        let error = load(&Sources { file, ..Sources::default() }).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("command = ["), "{text}: {error}");
    }
    // Only the file names providers.
    let flags = flags(&[("providers.echo.command", "x")]);
    assert!(matches!(load(&Sources { flags, ..Sources::default() }), Err(ConfigError::Unknown { .. })));
}
