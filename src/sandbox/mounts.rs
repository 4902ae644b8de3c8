//! Puts the root together from its layers and binds, and enters it.
//!
//! The layers become one read-only tree by overlayfs, which the kernel lets user namespaces mount since 5.11; where it
//! does not, they are copied into memory. The program's own binds are mounted after the root was entered, so
//! that a symbolic link of the image never leads to a path of this machine.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::pivot_root;

use super::error::Failure;
use super::spec::{Bind, Root, Spec};

type Result<T = ()> = std::result::Result<T, Failure>;

/// Where this machine's files are seen until everything is mounted.
const HOST: &str = "run/host";
/// Folders that the sandbox mounts file systems on. In the image each must be a folder, or missing.
const SYSTEM: [&str; 4] = ["dev", "proc", "run", "tmp"];
const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];
/// What a program may look at but, being the same user as the caller outside, root perhaps, must not change.
const KERNEL_SETTINGS: [&str; 6] = ["acpi", "bus", "fs", "irq", "sys", "sysrq-trigger"];
/// What numeric libraries read to count processors.
const PROCESSORS: &str = "sys/devices/system";
/// How names are looked up on this machine.
const NAME_LOOKUP: [&str; 2] = ["etc/hosts", "etc/resolv.conf"];

const NONE: Option<&str> = None;
const SAFE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// Keeps every mount of this namespace from reaching another one.
pub(super) fn make_private() -> nix::Result<()> {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
}

/// Makes the root below the empty folder `scratch`, and makes it this process's root.
pub(super) fn enter_root(spec: &Spec, scratch: &Path) -> Result {
    mount_tmpfs(scratch, "0755")?;
    std::env::set_current_dir(scratch).map_err(Failure::step("enter the scratch folder"))?;
    let layers = bind_layers(&spec.root)?;
    create_mount_points(spec, Path::new("skeleton"))?;
    merge(&layers)?;
    let root = scratch.join("root");
    check_system_folders(&root)?;
    mount_tmpfs(&root.join("run"), "0755")?;
    create_folder(&root.join(HOST))?;
    pivot_root(&root, &root.join(HOST)).map_err(Failure::step("enter the root"))?;
    std::env::set_current_dir("/").map_err(Failure::step("enter the root"))?;
    mount_system(spec.network)?;
    for bind in &spec.root.binds {
        mount_bind(bind)?;
    }
    umount2("/run/host", MntFlags::MNT_DETACH).map_err(Failure::step("leave this machine's files"))?;
    fs::remove_dir("/run/host").map_err(Failure::step("remove `/run/host`"))
}

/// Gives each layer a short name, and returns those names, lowest first: a mount's options hold one page at most, and
/// in them colons and commas mean something else.
fn bind_layers(root: &Root) -> Result<Vec<String>> {
    let mut names = vec!["skeleton".to_owned()];
    create_folder(Path::new("skeleton"))?;
    for (index, layer) in root.layers.iter().enumerate() {
        let name = index.to_string();
        create_folder(Path::new(&name))?;
        bind(layer, Path::new(&name), MsFlags::MS_REC)?;
        names.push(name);
    }
    Ok(names)
}

/// Creates what is mounted on, in a layer below all others: it shows only where the image has nothing.
fn create_mount_points(spec: &Spec, skeleton: &Path) -> Result {
    for folder in SYSTEM.iter().chain([&PROCESSORS]) {
        create_folder(&skeleton.join(folder))?;
    }
    if spec.network {
        for file in NAME_LOOKUP {
            create_file(&skeleton.join(file))?;
        }
    }
    for Bind { host, target, .. } in &spec.root.binds {
        create_like(host, &skeleton.join(target.as_str()))?;
    }
    Ok(())
}

/// Shows the layers as one read-only tree at `root`.
fn merge(layers: &[String]) -> Result {
    create_folder(Path::new("root"))?;
    let order: Vec<_> = layers.iter().rev().map(String::as_str).collect();
    let options = format!("lowerdir={}", order.join(":"));
    let flags = SAFE | MsFlags::MS_RDONLY;
    if mount(Some("overlay"), "root", Some("overlay"), flags, Some(options.as_str())).is_ok() {
        return Ok(());
    }
    create_folder(Path::new("merged"))?;
    for layer in layers {
        copy_over(Path::new(layer), Path::new("merged")).map_err(Failure::step("copy the layers together"))?;
    }
    bind(Path::new("merged"), Path::new("root"), MsFlags::empty())?;
    make_read_only(Path::new("root"))
}

/// Copies `source` into `target`, replacing what differs in kind.
fn copy_over(source: &Path, target: &Path) -> io::Result<()> {
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, target.join(entry.file_name()));
        match fs::symlink_metadata(&to) {
            Ok(present) if present.is_dir() && kind.is_dir() => {}
            Ok(present) if present.is_dir() => fs::remove_dir_all(&to)?,
            Ok(_) => fs::remove_file(&to)?,
            Err(_) => {}
        }
        if kind.is_dir() {
            if !to.exists() {
                DirBuilder::new().mode(0o755).create(&to)?;
            }
            copy_over(&entry.path(), &to)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

/// A link in place of one of these folders would send a mount elsewhere while the root is not yet entered.
fn check_system_folders(root: &Path) -> Result {
    for name in SYSTEM {
        let is_folder = fs::symlink_metadata(root.join(name)).is_ok_and(|found| found.is_dir());
        if !is_folder {
            return Err(Failure::step(format!("use the image's `/{name}`, which is not a folder,"))(Errno::ENOTDIR));
        }
    }
    Ok(())
}

fn mount_system(network: bool) -> Result {
    mount_proc()?;
    mount_devices()?;
    mount_tmpfs(Path::new("/tmp"), "1777")?;
    // What follows helps some programs, and others do without.
    let _ = mount_from_host(PROCESSORS);
    if network {
        for file in NAME_LOOKUP {
            let _ = mount_from_host(file);
        }
    }
    Ok(())
}

fn mount_proc() -> Result {
    let flags = SAFE | MsFlags::MS_NOEXEC;
    // Inside many containers the kernel refuses a new one, because that would show what theirs hides.
    if mount(Some("proc"), "/proc", Some("proc"), flags, NONE).is_err() {
        bind(&Path::new("/").join(HOST).join("proc"), Path::new("/proc"), MsFlags::MS_REC)?;
    }
    for name in KERNEL_SETTINGS {
        let path = Path::new("/proc").join(name);
        if path.exists() {
            bind(&path, &path, MsFlags::empty())?;
            make_read_only(&path)?;
        }
    }
    Ok(())
}

fn mount_devices() -> Result {
    mount_tmpfs(Path::new("/dev"), "0755")?;
    for name in DEVICES {
        let (host, target) = (Path::new("/").join(HOST).join("dev").join(name), Path::new("/dev").join(name));
        if host.exists() {
            create_file(&target)?;
            bind(&host, &target, MsFlags::empty())?;
        }
    }
    for (name, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        symlink(format!("/proc/self/{target}"), Path::new("/dev").join(name))
            .map_err(Failure::step(format!("create `/dev/{name}`")))?;
    }
    create_folder(Path::new("/dev/shm"))?;
    mount_tmpfs(Path::new("/dev/shm"), "1777")
}

/// Shows a path of this machine, read-only, at the same path.
fn mount_from_host(path: &str) -> Result {
    let host = resolve_on_host(&Path::new("/").join(path))?;
    let target = Path::new("/").join(path);
    bind(&host, &target, MsFlags::empty())?;
    make_read_only(&target)
}

fn mount_bind(entry: &Bind) -> Result {
    let host = Path::new("/").join(HOST).join(entry.host.strip_prefix("/").unwrap_or(&entry.host));
    let target = Path::new("/").join(entry.target.as_str());
    // In the image's own folders the mount point is there; in those that were just mounted it is not.
    if !target.exists() {
        create_like(&host, &target)?;
    }
    bind(&host, &target, MsFlags::empty())?;
    if entry.writable { Ok(()) } else { make_read_only(&target) }
}

/// Follows the links of a path of this machine, which mean this machine's paths, one by one.
fn resolve_on_host(path: &Path) -> Result<PathBuf> {
    let step = || Failure::step(format!("find `{}` on this machine", path.display()));
    let mut path = path.to_owned();
    for _ in 0..8 {
        let host = Path::new("/").join(HOST).join(path.strip_prefix("/").unwrap_or(&path));
        match fs::read_link(&host) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => return Ok(host),
        }
    }
    Err(step()(Errno::ELOOP))
}

fn bind(source: &Path, target: &Path, extra: MsFlags) -> Result {
    mount(Some(source), target, NONE, MsFlags::MS_BIND | extra, NONE).map_err(Failure::step(format!(
        "show `{}` as `{}`",
        source.display(),
        target.display()
    )))
}

/// Makes a bind mount read-only. The flags that the mount has already are locked, so they are given again.
fn make_read_only(target: &Path) -> Result {
    let step = || Failure::step(format!("make `{}` read-only", target.display()));
    let present = statvfs(target).map_err(step())?.flags();
    let mut flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    for (found, flag) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        flags.set(flag, present.contains(found));
    }
    mount(NONE, target, NONE, flags, NONE).map_err(step())
}

fn mount_tmpfs(target: &Path, mode: &str) -> Result {
    let options = format!("mode={mode}");
    mount(Some("tmpfs"), target, Some("tmpfs"), SAFE, Some(options.as_str()))
        .map_err(Failure::step(format!("mount a temporary file system on `{}`", target.display())))
}

fn create_like(host: &Path, target: &Path) -> Result {
    let found = fs::metadata(host).map_err(Failure::step(format!("show `{}`", host.display())))?;
    if found.is_dir() { create_folder(target) } else { create_file(target) }
}

fn create_folder(path: &Path) -> Result {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(Failure::step(format!("create `{}`", path.display())))
}

fn create_file(path: &Path) -> Result {
    path.parent().map_or(Ok(()), create_folder)?;
    File::create(path).map(drop).map_err(Failure::step(format!("create `{}`", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_layers_hide_each_other_as_overlaid_ones_do() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["low/both", "low/folder/deep", "high/both", "high/link", "into"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        for path in ["low/both/low", "low/link", "low/both/same", "high/both/same", "high/folder"] {
            fs::write(at(path), path).unwrap();
        }
        fs::remove_dir(at("high/link")).unwrap();
        symlink("/elsewhere", at("high/link")).unwrap();
        copy_over(&at("low"), &at("into")).unwrap();
        copy_over(&at("high"), &at("into")).unwrap();
        let read = |path: &str| fs::read_to_string(at(path)).unwrap();
        assert_eq!(read("into/both/low"), "low/both/low");
        assert_eq!(read("into/both/same"), "high/both/same");
        assert_eq!(read("into/folder"), "high/folder");
        assert_eq!(fs::read_link(at("into/link")).unwrap(), Path::new("/elsewhere"));
    }
}
