//! Which lines of the scripts nothing stands for.
//!
//! A script of a package in the table is known as a whole. In others each simple command must be harmless by the table,
//! emulated from the line itself, or it is reported: better one warning too many than an effect lost in silence.

use std::collections::BTreeSet;

use super::installed::Installed;
use super::table::TABLE;
use super::{Configured, Warning, accounts, alternatives, odbc};
use crate::ecosystem::debian::shell::{self, Line, Token, Variables};
use crate::platform::Platform;

/// The scripts that run on a first installation. What `config` asks is answered with the defaults.
const SCRIPTS: [&str; 2] = ["preinst", "postinst"];

/// The programs whose calls are emulated from the line, where they are understood.
const EMULATED: [&str; 6] = ["update-alternatives", "adduser", "addgroup", "useradd", "groupadd", "odbcinst"];

/// Adds a warning for each script with lines that nothing stands for.
pub(super) fn check(installed: &Installed<'_>, platform: Platform, configured: &mut Configured) {
    for (package, unpacked) in installed.packages() {
        if TABLE.script(package).is_some() {
            continue;
        }
        let scripts = SCRIPTS.iter().filter_map(|name| Some((*name, unpacked.scripts.get(*name)?)));
        for (name, text) in scripts {
            let lines = unknown_lines(text, platform);
            if !lines.is_empty() {
                configured.warnings.push(Warning { package: package.to_owned(), script: name.to_owned(), lines });
            }
        }
    }
}

fn unknown_lines(script: &str, platform: Platform) -> Vec<(usize, String)> {
    if script.starts_with("#!") && !script.lines().next().is_some_and(|line| line.contains("sh")) {
        return vec![(1, script.lines().next().unwrap_or_default().to_owned())];
    }
    let mut lines = shell::lines(script);
    remove_upgrades(&mut lines);
    let variables = Variables::of(&lines, platform);
    let functions: BTreeSet<&str> = lines.iter().filter_map(|line| Some(function(&line.text)?.0)).collect();
    let unknown = lines.iter().filter(|line| !is_known(line, &variables, &functions));
    unknown.map(|line| (line.number, line.text.clone())).collect()
}

/// Removes the bodies of conditions that hold only when an older version is replaced.
fn remove_upgrades(lines: &mut Vec<Line>) {
    let mut depth = 0;
    lines.retain(|line| {
        let words = shell::tokens(&line.text);
        let is =
            |keyword: &str| words.iter().filter(|token| matches!(token, Token::Word(word) if word == keyword)).count();
        if depth == 0 && !is_upgrade(line, &words) {
            return true;
        }
        if depth == 1 && (is("else") > 0 || is("elif") > 0) {
            depth = 0;
            return true;
        }
        depth = (depth + is("if")).saturating_sub(is("fi"));
        false
    });
}

/// Whether a line begins a condition that needs a previous version, which scripts get as their second argument.
///
/// `dpkg --compare-versions "$2" lt` is none: an absent version is older than any other.
fn is_upgrade(line: &Line, words: &[Token]) -> bool {
    let begins = matches!(words.first(), Some(Token::Word(word)) if word == "if");
    let doubtful = words.iter().any(|token| match token {
        Token::Operator(operator) => operator == "||",
        Token::Word(word) => word == "!" || word == "else",
    });
    begins && !doubtful && shell::commands(&line.text).iter().any(|command| needs_version(command))
}

fn needs_version(command: &[String]) -> bool {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let test = match words[..] {
        ["[", "$2", "]"]
        | ["test", "$2"]
        | ["[" | "test", "x$2", "!=", "x", ..]
        | ["[" | "test", "-n", "$2", ..]
        | ["[" | "test", "$1", "=", "upgrade", ..] => true,
        ["dpkg", "--compare-versions", "$2", relation, _] => matches!(relation, "lt-nl" | "le-nl" | "ge" | "gt" | "eq"),
        _ => false,
    };
    // `-o` makes an either-or of the test; a condition with `-a x$2 != x` is the same the other way round.
    let also = words.windows(4).any(|part| part == ["-a", "x$2", "!=", "x"] || part[..3] == ["-a", "-n", "$2"]);
    (test || also) && !words.contains(&"-o")
}

/// Returns the name of the function that a line begins to define, and what follows.
fn function(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once("()")?;
    let name = name.trim();
    let sound =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    sound.then_some((name, rest))
}

fn is_known(line: &Line, variables: &Variables, functions: &BTreeSet<&str>) -> bool {
    if line.helper.as_deref().is_some_and(|helper| TABLE.knows_section(helper)) {
        return true;
    }
    let is_understood = alternatives::is_understood(line, variables)
        || accounts::is_understood(line, variables)
        || odbc::is_understood(line);
    let text = function(&line.text).map_or(&*line.text, |(_, body)| body);
    let is_emulated = |command: &[String]| is_understood && EMULATED.contains(&program(command).unwrap_or_default());
    shell::commands(text).iter().all(|command| is_emulated(command) || is_harmless(command, functions))
}

fn is_harmless(command: &[String], functions: &BTreeSet<&str>) -> bool {
    if writes(command) {
        return false;
    }
    if TABLE.knows_fragment(&command.join(" ")) {
        return true;
    }
    // `a=$(…)` reads.
    let Some(name) = program(command) else { return true };
    let arguments = command.iter().skip_while(|word| is_assignment(word)).skip(1).map(String::as_str);
    functions.contains(name) || TABLE.knows_command(name) && !changes_files(name, &arguments.collect::<Vec<_>>())
}

/// Returns the name of the program that a command runs, after the assignments that come first.
fn program(command: &[String]) -> Option<&str> {
    command.iter().find(|word| !is_assignment(word))?.rsplit('/').next()
}

/// Whether a command that only reads changes files when it is called like this.
fn changes_files(name: &str, arguments: &[&str]) -> bool {
    let has = |options: &[&str]| arguments.iter().any(|argument| options.contains(argument));
    match name {
        "sed" => arguments.iter().any(|argument| argument.starts_with("-i") || argument.starts_with("--in-place")),
        "find" => has(&["-exec", "-execdir", "-ok", "-okdir", "-delete"]),
        "dpkg-statoverride" => has(&["--add"]),
        "xargs" => {
            let command = arguments.iter().find(|argument| !argument.starts_with('-'));
            command.is_some_and(|command| !TABLE.knows_command(command))
        }
        _ => false,
    }
}

/// Whether the command's output goes to a file.
fn writes(command: &[String]) -> bool {
    let redirected = |pair: &[String]| pair[0].starts_with('>') && !matches!(pair[1].as_str(), "/dev/null" | "1" | "2");
    command.windows(2).any(redirected)
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !name.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(script: &str) -> Vec<String> {
        unknown_lines(script, "linux/amd64".parse().unwrap()).into_iter().map(|(_, line)| line).collect()
    }

    #[test]
    fn boilerplate_and_known_helpers_are_silent() {
        let script = "#!/bin/sh\nset -e\ncase \"$1\" in\n  configure|abort-upgrade)\n    if [ -d /x ] && [ -n \"$2\" ]; then\n      rm -f /x/y || true\n    fi\n  ;;\n  *)\n    echo \"unknown \\`$1'\" >&2\n    exit 1\n  ;;\nesac\nhelp_me() {\n  true\n}\nhelp_me a\n# Automatically added by dh_installsystemd/13\nanything --here > /etc/x\n# End automatically added section\nldconfig\nexit 0\n";
        assert_eq!(unknown(script), Vec::<String>::new());
    }

    #[test]
    fn what_only_an_upgrade_does_is_silent() {
        let body = "then\n  if true; then\n    touch /x\n  fi\n  touch /y\nelse\n  touch /z\nfi\n";
        for condition in [
            "if [ \"$1\" = configure ] && [ -n \"$2\" ]; ",
            "if [ configure = \"$1\" -a \"x$2\" != x ]; ",
            "if dpkg --compare-versions \"$2\" lt-nl 2; ",
            "if [ \"$1\" = upgrade ]; ",
        ] {
            assert_eq!(unknown(&format!("#!/bin/sh\n{condition}{body}")), ["touch /z"], "{condition}");
        }
        for condition in [
            "if dpkg --compare-versions \"$2\" lt 2; ",
            "if [ -n \"$2\" ] || [ -d /x ]; ",
            "if [ -z \"$2\" ]; ",
            "if ! [ -n \"$2\" ]; ",
        ] {
            assert_eq!(unknown(&format!("#!/bin/sh\n{condition}{body}")).len(), 3, "{condition}");
        }
    }

    #[test]
    fn effects_are_reported_wherever_they_hide() {
        for line in [
            "chown root /x",
            "true && chmod 4755 /x",
            "echo x > /etc/y",
            "cat <<EOF >> /etc/y",
            "if ! mkdir /x; then",
            "configure) ln -s a b ;;",
            "f() { touch /x; }",
            "LC_ALL=C touch /x",
            "update-alternatives --install $x y /z 1",
            "/usr/sbin/unknown-tool",
            "sed -i s/a/b/ /etc/nsswitch.conf",
            "find /var/lib/x -exec chmod 4755 {} +",
            "echo /etc/x | xargs -0 chown root",
            "dpkg-statoverride --update --add root games 2755 /usr/games/x",
            "adduser --system --quiet x && chown x /var/lib/x",
        ] {
            assert_eq!(unknown(&format!("#!/bin/sh\n{line}\nEOF\n")).first().map(String::as_str), Some(line));
        }
        assert_eq!(unknown("#!/usr/bin/perl\nuse strict;\n"), ["#!/usr/bin/perl"]);
    }
}
