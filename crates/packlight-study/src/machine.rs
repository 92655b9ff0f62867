//! What the system reports about the machine and this process.

use packlight_autograd::allocator;

/// The processor's name, or its architecture if the system does not report the name.
pub(crate) fn processor() -> String {
    let named = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let (_, name) = text.lines().find(|l| l.starts_with("model name"))?.split_once(':')?;
        Some(name.trim().to_owned())
    });
    named.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The largest resident set of this process since a moment.
pub(crate) struct ResidentPeak;

impl ResidentPeak {
    /// Begins at the present resident set, from which the allocator first returns its reserve;
    /// `None` if the system cannot.
    pub(crate) fn begin() -> Option<Self> {
        allocator::release();
        // Linux forgets the peak so far; see proc_pid_clear_refs(5).
        std::fs::write("/proc/self/clear_refs", "5").ok().map(|()| Self)
    }

    /// The peak in bytes; `None` if the system does not report it.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_processor_has_a_name() {
        assert!(!super::processor().is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_resident_peak_covers_what_was_touched_since_it_began() {
        const LARGE: usize = 256 << 20; // beyond what the other tests' threads take meanwhile
        drop(std::hint::black_box(vec![1u8; LARGE]));
        let Some(peak) = super::ResidentPeak::begin() else {
            return eprintln!("skipped: this system cannot forget a resident peak");
        };
        assert!(peak.bytes().unwrap() < LARGE as u64, "it forgets what was freed before");
        let touched = std::hint::black_box(vec![1u8; LARGE]);
        assert!(peak.bytes().unwrap() >= touched.len() as u64);
    }
}
