//! The script that answers for the image's interpreter when uv asks what it is.
//!
//! uv runs `PYTHON -I -B -c …` and reads one JSON object. The answer here is computed from the target alone: no path or
//! processor of this machine is in it.

use serde_json::json;

use super::Target;

/// Returns the script's text.
pub(super) fn script(target: &Target) -> String {
    // The words of the answer are versions and fixed texts: none has a quote in it.
    format!("#!/bin/sh\nprintf '%s\\n' '{}'\n", answer(target))
}

fn answer(target: &Target) -> serde_json::Value {
    let python = &target.python;
    let machine = target.platform.machine();
    let full = if python.full() == python.version() { format!("{python}.0") } else { python.to_string() };
    let site = format!("/{}", python.site());
    let include = format!("/usr/include/python{}", python.version());
    let paths = |site: &str, include: &str, scripts: &str, data: &str| json!({"purelib": site, "platlib": site, "include": include, "scripts": scripts, "data": data});
    json!({
        "result": "success",
        "markers": {
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": full,
            "python_version": python.version(),
            "sys_platform": "linux",
        },
        "sys_base_prefix": "/usr",
        "sys_base_exec_prefix": "/usr",
        "sys_prefix": "/usr",
        "sys_base_executable": python.interpreter(),
        "sys_executable": python.interpreter(),
        "sys_path": [],
        "site_packages": [site],
        "stdlib": format!("/usr/lib/python{}", python.version()),
        "extension_suffixes": [],
        "standalone": false,
        "scheme": paths(&site, &include, "/usr/local/bin", "/usr/local"),
        "virtualenv": paths("lib", "include", "bin", ""),
        "os": {"name": "manylinux", "major": 2, "minor": target.glibc},
        "arch": machine,
        "cpu_info": {"detected": {"kind": "flags", "flags": ""}},
        "manylinux_compatible": true,
        "gil_disabled": false,
        "debug_enabled": false,
        "pointer_size": "64",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_prints_the_answer() {
        let target = Target { python: "3.13".parse().unwrap(), platform: "linux/arm64".parse().unwrap(), glibc: 41 };
        let output = std::process::Command::new("sh").arg("-c").arg(script(&target)).output().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["markers"]["python_full_version"], "3.13.0");
        assert_eq!(answer["arch"], "aarch64");
    }
}
