//! Small files of procfs: `/proc/PID/cgroup`, `timens_offsets` and `limits`.

use crate::model::{CgroupEntry, ClockOffset, ClockOffsets};

/// Parses `/proc/PID/cgroup` (cgroups(7)); a path may hold any byte but a line break.
pub(crate) fn cgroups(text: &[u8]) -> Vec<CgroupEntry> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let mut fields = line.splitn(3, |byte| *byte == b':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            Some(CgroupEntry { controllers: controllers.to_vec(), path: path.to_vec() })
        })
        .collect()
}

/// Parses `/proc/PID/timens_offsets` (time_namespaces(7)).
pub(crate) fn clock_offsets(text: &[u8]) -> Option<ClockOffsets> {
    let mut offsets = ClockOffsets::default();
    for line in std::str::from_utf8(text).ok()?.lines() {
        let mut fields = line.split_ascii_whitespace();
        let clock = fields.next()?;
        let offset = ClockOffset { seconds: fields.next()?.parse().ok()?, nanoseconds: fields.next()?.parse().ok()? };
        match clock {
            "monotonic" => offsets.monotonic = offset,
            "boottime" => offsets.boottime = offset,
            _ => {}
        }
    }
    Some(offsets)
}

/// Parses `/proc/PID/limits`: name, soft limit, hard limit, unit.
pub(crate) fn limits(text: &[u8]) -> Vec<[String; 4]> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines();
    // The columns stand where the header's words do.
    let Some(header) = lines.next() else { return Vec::new() };
    let Some(places) = ["Soft Limit", "Hard Limit", "Units"]
        .iter()
        .map(|word| header.find(word))
        .collect::<Option<Vec<usize>>>()
        .filter(|places| places.is_sorted())
    else {
        return Vec::new();
    };
    let cut =
        |line: &str, from: usize, to: usize| line.get(from..to.min(line.len())).unwrap_or_default().trim().to_owned();
    lines
        .map(|line| {
            [
                cut(line, 0, places[0]),
                cut(line, places[0], places[1]),
                cut(line, places[1], places[2]),
                cut(line, places[2], line.len()),
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_files_are_read() {
        let read = |name: &str| std::fs::read(format!("/proc/self/{name}"));
        let limits = limits(&read("limits").unwrap());
        assert!(
            limits.iter().any(|[name, soft, _, unit]| name == "Max open files" && !soft.is_empty() && unit == "files")
        );
        assert!(!cgroups(&read("cgroup").unwrap()).is_empty());
        if let Ok(text) = read("timens_offsets") {
            assert!(clock_offsets(&text).is_some());
        }
    }

    #[test]
    fn a_cgroup_may_be_called_anything() {
        let entries = cgroups(b"4:cpu,cpuacct:/a:b\n0::/\xff c\n");
        assert_eq!((&entries[0].controllers[..], &entries[0].path[..]), (&b"cpu,cpuacct"[..], &b"/a:b"[..]));
        assert_eq!((&entries[1].controllers[..], &entries[1].path[..]), (&b""[..], &b"/\xff c"[..]));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>, units in "[ a-zäLimtUns\n]{0,60}") {
            let _ = (cgroups(&text), clock_offsets(&text), limits(&text));
            let _ = limits(format!("Limit  Soft Limit  Hard Limit  Units\n{units}").as_bytes());
        }
    }
}
