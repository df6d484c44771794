//! How much memory a piece of work takes at most.

/// Watches the memory of this process, all of it: what is computed on a GPU stays out, and so does what was swapped out.
pub(super) struct Peak {
    /// The file in which the system tells.
    status: &'static str,
}

impl Peak {
    /// From now on; nothing where the system does not keep a high-water mark that can be reset (Linux does).
    pub fn begin() -> Option<Self> {
        // proc(5): 5 sets the mark to what is resident now, and touches nothing else.
        std::fs::write("/proc/self/clear_refs", "5").ok()?;
        Some(Self { status: "/proc/self/status" })
    }

    /// The most bytes that were resident at once since the mark was last reset.
    pub fn bytes(&self) -> Option<u64> {
        high_water(&std::fs::read_to_string(self.status).ok()?)
    }
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_and_its_absence_is_no_error() {
        assert_eq!(high_water("VmPeak:\t 9 kB\nVmHWM:\t    1600 kB\nVmRSS:\t 5 kB\n"), Some(1600 * 1024));
        assert_eq!(high_water("VmRSS:\t 5 kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_held_is_in_it() {
        let Some(peak) = Peak::begin() else { return };
        // Still held when it is asked: other tests of this process reset the mark too.
        let held = std::hint::black_box(vec![1_u8; 256 << 20]);
        assert!(peak.bytes().unwrap() >= held.len() as u64);
    }
}
