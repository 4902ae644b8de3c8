//! Users and groups: base-passwd's own, those that packages' scripts ask for, and the one that the image runs as.
//!
//! There are no shadow files: they hold dates, and no account has a password.

use std::fmt::Write as _;

use super::installed::Installed;
use super::{ConfigureError, Configured, Settings, USER, place};
use crate::ecosystem::debian::shell::{self, Line, Variables};
use crate::layer::tree::{Content, Node};

const PACKAGE: &str = "base-passwd";
/// What an image without base-passwd has.
const MINIMAL_USERS: &str =
    "root:*:0:0:root:/root:/bin/sh\nnobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const MINIMAL_GROUPS: &str = "root:*:0:\nnogroup:*:65534:\n";
/// The numbers that policy gives to system accounts.
const SYSTEM_NUMBERS: std::ops::RangeInclusive<u32> = 100..=999;
const NOGROUP: u32 = 65534;
/// The only folder that is there and can be written to in every image, also where the root is read-only.
const HOME: &str = "/tmp";
/// Options of the four programs that are followed by a value.
const WITH_VALUE: [&str; 17] = [
    "--home",
    "--uid",
    "--gid",
    "--ingroup",
    "--gecos",
    "--comment",
    "--shell",
    "--groups",
    "--home-dir",
    "--firstuid",
    "-d",
    "-g",
    "-G",
    "-u",
    "-s",
    "-c",
    "-k",
];

/// A request for an account in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    name: String,
    /// Whether it is for a user, and else for a group alone.
    user: bool,
    /// Whether a group of the same name comes with the user.
    own_group: bool,
    group: Option<String>,
    home: String,
}

/// `passwd` and `group` in the making.
struct Accounts {
    users: String,
    groups: String,
}

/// Writes `/etc/passwd` and `/etc/group`.
pub(super) fn apply(
    installed: &Installed<'_>,
    settings: &Settings,
    configured: &mut Configured,
) -> Result<(), ConfigureError> {
    let master = |name: &str, otherwise: &str| -> Result<String, ConfigureError> {
        let bytes = installed.read(&format!("usr/share/base-passwd/{name}.master"))?;
        Ok(bytes.map_or_else(|| otherwise.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let mut accounts = Accounts { users: master("passwd", MINIMAL_USERS)?, groups: master("group", MINIMAL_GROUPS)? };
    for (package, unpacked) in installed.packages() {
        for script in ["preinst", "postinst"].iter().filter_map(|name| unpacked.scripts.get(*name)) {
            let lines = shell::lines(script);
            let variables = Variables::of(&lines, settings.platform);
            for request in lines.iter().filter_map(|line| parse(line, &variables)) {
                accounts.grant(&request);
                configured.done(package, format!("{} {}", if request.user { "user" } else { "group" }, request.name));
            }
        }
    }
    accounts.add_image_user(settings.user);
    configured.done(PACKAGE, format!("user {USER}"));
    for (path, text) in [("etc/passwd", accounts.users), ("etc/group", accounts.groups)] {
        configured.add(installed, place(PACKAGE, path)?, Node::file(Content::inline(text), 0o644));
    }
    Ok(())
}

impl Accounts {
    /// Adds what the request asks for, with the lowest free number; what is there already stays.
    fn grant(&mut self, request: &Request) {
        let name = &request.name;
        if (!request.user || request.own_group) && find(&self.groups, name).is_none() {
            let number = self.free_number(name);
            add_line(&mut self.groups, &format!("{name}:*:{number}:"));
        }
        if request.user && find(&self.users, name).is_none() {
            let group = request.group.as_deref().unwrap_or(name);
            let gid = find(&self.groups, group).unwrap_or(NOGROUP);
            let number = self.free_number(name);
            add_line(&mut self.users, &format!("{name}:*:{number}:{gid}::{}:/usr/sbin/nologin", request.home));
        }
    }

    /// Returns the number of the group or user of that name, so that both have the same one, or one that neither has.
    fn free_number(&self, name: &str) -> u32 {
        let taken = |number: &u32| has_number(&self.users, *number) || has_number(&self.groups, *number);
        let same = find(&self.groups, name).filter(|number| !has_number(&self.users, *number));
        same.or_else(|| SYSTEM_NUMBERS.into_iter().find(|number| !taken(number))).unwrap_or(NOGROUP)
    }

    /// Adds the account that the image runs as, unless its number belongs to another one already.
    fn add_image_user(&mut self, number: u32) {
        if !has_number(&self.groups, number) {
            add_line(&mut self.groups, &format!("{USER}:*:{number}:"));
        }
        if !has_number(&self.users, number) {
            add_line(&mut self.users, &format!("{USER}:*:{number}:{number}:{USER}:{HOME}:/usr/sbin/nologin"));
        }
    }
}

fn add_line(file: &mut String, line: &str) {
    if !file.is_empty() && !file.ends_with('\n') {
        file.push('\n');
    }
    writeln!(file, "{line}").expect("writing to a String cannot fail");
}

/// Returns the number of an account.
fn find(file: &str, name: &str) -> Option<u32> {
    file.lines().find(|line| line.split(':').next() == Some(name))?.split(':').nth(2)?.parse().ok()
}

fn has_number(file: &str, number: u32) -> bool {
    let number = number.to_string();
    file.lines().any(|line| line.split(':').nth(2) == Some(&*number))
}

/// Whether the line asks for a system account in a way that is understood.
pub(super) fn is_understood(line: &Line, variables: &Variables) -> bool {
    parse(line, variables).is_some()
}

/// Reads a line that creates a system account with `adduser`, `addgroup`, `useradd` or `groupadd`.
fn parse(line: &Line, variables: &Variables) -> Option<Request> {
    let commands = shell::commands(&line.text);
    let mut found = commands.iter().filter_map(|words| {
        let program = words.first()?.rsplit('/').next()?;
        matches!(program, "adduser" | "addgroup" | "useradd" | "groupadd").then_some((program, &words[1..]))
    });
    let (program, words) = found.next()?;
    let mut request = Request {
        name: String::new(),
        user: program.contains("user"),
        own_group: false,
        group: None,
        home: "/nonexistent".to_owned(),
    };
    let mut system = false;
    let mut words = words.iter().map(|word| variables.expand(word)).take_while(|word| !word.starts_with('>'));
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None if WITH_VALUE.contains(&&*word) => (&*word, Some(words.next()?)),
            None => (&*word, None),
        };
        match (option, value) {
            ("--system" | "-r", _) => system = true,
            ("--group" | "--user-group" | "-U", _) if request.user => request.own_group = true,
            ("--group", _) => {}
            ("--home" | "--home-dir" | "-d", Some(home)) => request.home = home,
            ("--ingroup" | "--gid" | "-g", Some(group)) => request.group = Some(group),
            (option, _) if option.starts_with('-') => {}
            // The redirection `2>/dev/null` leaves its number behind.
            ("1" | "2", None) if !request.name.is_empty() => {}
            (name, None) if request.name.is_empty() => name.clone_into(&mut request.name),
            // A second name adds a user to a group.
            _ => return None,
        }
    }
    let fields = [&request.home, request.group.as_ref().unwrap_or(&request.name)];
    let sound = is_account_name(&request.name) && fields.iter().all(|field| !field.contains(['$', ':', '\n']));
    (system && sound).then_some(request)
}

fn is_account_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_') && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Option<Request> {
        let lines = shell::lines(text);
        let variables = Variables::of(&lines, "linux/amd64".parse().unwrap());
        lines.iter().find_map(|line| parse(line, &variables))
    }

    #[test]
    fn requests_for_system_accounts_are_read() {
        let found =
            request("N=_daemon\nif ! adduser --system --quiet --home /var/lib/x --group \"$N\" 2>/dev/null; then")
                .unwrap();
        let expected =
            Request { name: "_daemon".into(), user: true, own_group: true, group: None, home: "/var/lib/x".into() };
        assert_eq!(found, expected);
        let found = request("useradd -r -g games --shell /bin/false play || true").unwrap();
        assert_eq!((found.name.as_str(), found.group.as_deref()), ("play", Some("games")));
        assert!(!request("addgroup --system tape2").unwrap().user);
    }

    #[test]
    fn doubtful_requests_are_left_to_the_report() {
        for text in [
            "adduser --system $UNKNOWN",
            "adduser person",
            "adduser --system a b",
            "adduser --system --home a:b c",
            "groupadd -r Upper",
        ] {
            assert_eq!(request(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_the_lowest_free_ones_and_the_image_user_takes_nobodys_place() {
        let mut accounts = Accounts { users: "root:*:0:0:::".into(), groups: "root:*:0:\nused:*:100:\n".into() };
        accounts.grant(&request("adduser --system --group a").unwrap());
        accounts.grant(&request("adduser --system b").unwrap());
        accounts.grant(&request("adduser --system --group a").unwrap());
        accounts.add_image_user(0);
        accounts.add_image_user(10001);
        let users = "root:*:0:0:::\na:*:101:101::/nonexistent:/usr/sbin/nologin\nb:*:102:65534::/nonexistent:/usr/sbin/nologin\nmlpack:*:10001:10001:mlpack:/tmp:/usr/sbin/nologin\n";
        assert_eq!(accounts.users, users);
        assert_eq!(accounts.groups, "root:*:0:\nused:*:100:\na:*:101:\nmlpack:*:10001:\n");
    }
}
