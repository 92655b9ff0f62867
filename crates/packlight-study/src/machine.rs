//! What the system reports about the machine and this process.

/// The processor's name, or its architecture if the system does not report the name.
pub(crate) fn processor() -> String {
    let named = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let (_, name) = text.lines().find(|l| l.starts_with("model name"))?.split_once(':')?;
        Some(name.trim().to_owned())
    });
    named.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The peak resident memory of this process so far, in bytes; `None` if the system does not report
/// it.
pub(crate) fn resident_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_processor_has_a_name() {
        assert!(!super::processor().is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_resident_peak_covers_what_was_touched() {
        let touched = std::hint::black_box(vec![1u8; 8 << 20]);
        assert!(super::resident_peak().unwrap() >= touched.len() as u64);
    }
}
