//! The libraries that the machine that runs an image brings: they are never resolved and never missing.

/// One line each: a soname, `*` for any ending, and the reason.
const LIBRARIES: &str = include_str!("host-libraries.txt");

/// Returns why `soname` is the host's, or `None` where it is not.
pub fn reason(soname: &str) -> Option<&'static str> {
    let lines = LIBRARIES.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).find(|(pattern, _)| fits(pattern, soname)).map(|(_, why)| why.trim())
}

fn fits(pattern: &str, soname: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == soname, |prefix| soname.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_the_hosts_and_toolkits_are_not() {
        for soname in ["libcuda.so.1", "libnvidia-ml.so.1", "libGLX_nvidia.so.0"] {
            assert!(reason(soname).is_some_and(|why| why.starts_with("the NVIDIA driver")), "{soname}");
        }
        for soname in ["libcudart.so.12", "libcublas.so.12", "libGL.so.1", "libnvrtc.so.12", ""] {
            assert_eq!(reason(soname), None, "{soname}");
        }
    }
}
