//! The two processes between mlpack and the program: one that makes the namespaces and waits, one that becomes the
//! program. Both are mlpack itself, started again with a hidden first argument.
//!
//! User numbers are mapped twice. In the first user namespace the caller is root, which it takes to mount the tree.
//! The program runs in a second one, where it has the number it asked for; nothing belongs to that namespace, and every
//! mount is locked in it, so even as number 0 the program has no right over the sandbox.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getegid, geteuid, getppid, sethostname};

use super::error::{Failure, Stage};
use super::mounts;
use super::spec::{Limits, Spec};

/// The hidden argument of the process that makes the namespaces; the scratch folder and mlpack's process id follow.
pub(super) const OUTSIDE: &str = "__enter";
/// The hidden argument of the process that becomes the program; the scratch folder follows.
const INSIDE: &str = "__enter-init";

/// The files of the scratch folder.
pub(super) const SPEC: &str = "spec.json";
pub(super) const FAILURE: &str = "failure.json";
pub(super) const MOUNTS: &str = "mounts";

/// What the program is told by: everything that a terminal or an operator sends.
const FORWARDED: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// Takes part in setting a sandbox up, where the process's arguments (with its own name first) ask for that.
///
/// To be called first in `main`, before any thread is started: a process with threads cannot enter a user namespace.
/// Returns the exit code to end with, or `None` when the arguments are not for the sandbox.
pub fn enter(arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.skip(1);
    let stage = arguments.next()?;
    let result = match stage.to_str()? {
        OUTSIDE => {
            let (scratch, parent) = (arguments.next()?, arguments.next()?);
            outside(Path::new(&scratch), Pid::from_raw(parent.to_str()?.parse().ok()?))
        }
        INSIDE => inside(Path::new(&arguments.next()?)),
        _ => return None,
    };
    // 125 is what `env` and container engines end with when they fail themselves; the failure file says why.
    Some(ExitCode::from(result.unwrap_or(125)))
}

fn outside(scratch: &Path, parent: Pid) -> io::Result<u8> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(Errno::ESRCH.into());
    }
    close_inherited_files()?;
    let file = File::open(scratch.join(SPEC))?;
    // Held for as long as this process lives, which is how the next one knows that it does.
    file.lock()?;
    let spec: Spec = serde_json::from_reader(&file)?;
    let started = make_namespaces(&spec).and_then(|()| start_inside(scratch));
    match started {
        Ok(child) => forward_signals(child).map(exit_code),
        Err(failure) => record(&mut File::create(scratch.join(FAILURE))?, &failure),
    }
}

/// Closes all but the standard streams: a folder that the user's shell left open would be a way out of the root.
fn close_inherited_files() -> io::Result<()> {
    let names =
        std::fs::read_dir("/proc/self/fd")?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    for descriptor in names.iter().filter_map(|name| name.to_str()?.parse::<i32>().ok()).filter(|number| *number > 2) {
        // The one of the list itself is closed already.
        let _ = nix::unistd::close(descriptor);
    }
    Ok(())
}

fn make_namespaces(spec: &Spec) -> Result<(), Failure> {
    let mut flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if !spec.network {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    unshare(flags).map_err(|error| Failure::new(Stage::Namespaces, error))?;
    // Some rules let the namespace be made and then refuse its use, so these count as refused namespaces too.
    map_ids((0, uid), (0, gid)).map_err(|error| Failure::new(Stage::Namespaces, error))?;
    mounts::make_private().map_err(|error| Failure::new(Stage::Namespaces, error))
}

/// Maps one user and one group number of the current user namespace, inner first, to one outside.
fn map_ids(user: (u32, u32), group: (u32, u32)) -> io::Result<()> {
    // The kernel asks for this before it lets an ordinary user map a group.
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/gid_map", format!("{} {} 1", group.0, group.1))?;
    std::fs::write("/proc/self/uid_map", format!("{} {} 1", user.0, user.1))
}

fn start_inside(scratch: &Path) -> Result<Child, Failure> {
    forwarded_signals().thread_block().map_err(Failure::step("block signals"))?;
    Command::new("/proc/self/exe")
        .arg(INSIDE)
        .arg(scratch)
        .env_clear()
        .spawn()
        .map_err(Failure::step("start the first process"))
}

fn forwarded_signals() -> SigSet {
    let mut signals: SigSet = FORWARDED.into_iter().collect();
    signals.add(Signal::SIGCHLD);
    signals
}

/// Hands signals on to the program until it ends.
fn forward_signals(mut child: Child) -> io::Result<ExitStatus> {
    let pid = Pid::from_raw(child.id() as i32);
    let signals = forwarded_signals();
    loop {
        let signal = signals.wait()?;
        if signal != Signal::SIGCHLD {
            // Not waited for yet, so the number is still the program's.
            kill(pid, signal)?;
        } else if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
    }
}

/// Returns the exit code; for a death by signal, 128 and the signal's number, as shells do.
pub(super) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn inside(scratch: &Path) -> io::Result<u8> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let file = File::open(scratch.join(SPEC))?;
    if file.try_lock().is_ok() {
        // The process that waits for this one has died before it could take this one along.
        return Err(Errno::ESRCH.into());
    }
    let spec: Spec = serde_json::from_reader(&file)?;
    // Nobody reads it again, and its environment may hold secrets that a killed mlpack would leave behind.
    std::fs::remove_file(scratch.join(SPEC))?;
    // Opened now: inside the root there is no way to it.
    let mut report = File::create(scratch.join(FAILURE))?;
    let failure = match become_program(&spec, &scratch.join(MOUNTS)) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    record(&mut report, &failure)
}

fn record(file: &mut File, failure: &Failure) -> io::Result<u8> {
    file.write_all(&serde_json::to_vec(failure)?)?;
    Ok(125)
}

fn become_program(spec: &Spec, mounts: &Path) -> Result<std::convert::Infallible, Failure> {
    mounts::enter_root(spec, mounts)?;
    sethostname(&spec.hostname).map_err(Failure::step("set the host name"))?;
    set_limits(spec.limits).map_err(Failure::step("set the resource limits"))?;
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .map_err(Failure::step("enter the program's user namespace"))?;
    map_ids((spec.uid, 0), (spec.gid, 0)).map_err(Failure::step("map user and group"))?;
    prctl::set_no_new_privs().map_err(Failure::step("give up privileges"))?;
    // Asked for again: the kernel forgets it when credentials change.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(Failure::step("tie the program to mlpack"))?;
    SigSet::all().thread_unblock().map_err(Failure::step("unblock signals"))?;
    std::env::set_current_dir(&spec.directory).map_err(Failure::step(format!("enter `{}`", spec.directory)))?;
    check_program(&spec.program)?;
    let error = Command::new(&spec.program).args(&spec.arguments).env_clear().envs(&spec.environment).exec();
    Err(Failure::new(Stage::Program, error))
}

fn set_limits(limits: Limits) -> nix::Result<()> {
    let values = [
        (Resource::RLIMIT_AS, limits.memory),
        (Resource::RLIMIT_CPU, limits.cpu_seconds),
        (Resource::RLIMIT_NOFILE, limits.open_files),
    ];
    for (resource, value) in values {
        if let Some(value) = value {
            setrlimit(resource, value, value)?;
        }
    }
    Ok(())
}

/// Refuses what the kernel would refuse: the C library then takes it for a shell script.
fn check_program(program: &str) -> Result<(), Failure> {
    let mut header = Vec::new();
    // One that cannot be read, or is not there, is for the start to tell of.
    let Ok(file) = File::open(program) else { return Ok(()) };
    file.take(20).read_to_end(&mut header).map_err(|error| Failure::new(Stage::Program, error))?;
    let machine = match (header.get(..4), header.get(18..20)) {
        (Some(b"\x7fELF"), Some(machine)) => u16::from_le_bytes([machine[0], machine[1]]),
        (Some([b'#', b'!', ..]), _) => return Ok(()),
        _ => return Err(Failure::new(Stage::Program, Errno::ENOEXEC)),
    };
    let found = match machine {
        62 => "x86_64".to_owned(),
        183 => "aarch64".to_owned(),
        other => format!("ELF machine {other}"),
    };
    if found == std::env::consts::ARCH {
        return Ok(());
    }
    Err(Failure::new(Stage::Architecture(found), Errno::ENOEXEC))
}
