//! `/proc/PID/uid_map` and `gid_map` (user_namespaces(7)).

/// One line: `count` ids from `inside` on stand for those from `outside` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id in the user namespace of the process.
    pub inside: u32,
    /// The first id outside: in the reader's user namespace, or in the parent where the reader lives in the very same.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Parses the file; lines that are not of the known form are left out.
pub fn parse(text: &[u8]) -> Vec<IdRange> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let mut fields = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(|field| field.parse().ok());
            Some(IdRange { inside: fields.next()??, outside: fields.next()??, count: fields.next()?? })
        })
        .collect()
}

/// Returns what `id` inside stands for outside.
pub fn outward(map: &[IdRange], id: u32) -> Option<u32> {
    map.iter().find_map(|range| {
        let offset = id.checked_sub(range.inside).filter(|offset| *offset < range.count)?;
        range.outside.checked_add(offset)
    })
}

/// Returns what `id` outside is called inside.
pub fn inward(map: &[IdRange], id: u32) -> Option<u32> {
    map.iter().find_map(|range| {
        let offset = id.checked_sub(range.outside).filter(|offset| *offset < range.count)?;
        range.inside.checked_add(offset)
    })
}

/// Returns how many of the ids of `a` have a name in `b`, both maps leading to the same outside, and the first of them
/// as `a` and `b` call it.
pub fn shared(a: &[IdRange], b: &[IdRange]) -> (u64, Option<(u32, u32)>) {
    let mut count = 0;
    let mut first: Option<(u32, u32)> = None;
    for ours in a {
        for theirs in b {
            let start = ours.outside.max(theirs.outside);
            let end = |range: &IdRange| u64::from(range.outside) + u64::from(range.count);
            let end = end(ours).min(end(theirs));
            if u64::from(start) >= end {
                continue;
            }
            count += end - u64::from(start);
            let pair = (ours.inside + (start - ours.outside), theirs.inside + (start - theirs.outside));
            if first.is_none_or(|known| pair.0 < known.0) {
                first = Some(pair);
            }
        }
    }
    (count, first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: IdRange = IdRange { inside: 0, outside: 0, count: u32::MAX };

    #[test]
    fn ids_are_translated_both_ways() {
        let map = parse(b"         0       1000          1\n         1     100000      65536\nnonsense\n");
        assert_eq!(map.len(), 2);
        assert_eq!((outward(&map, 0), outward(&map, 2), outward(&map, 70000)), (Some(1000), Some(100_001), None));
        assert_eq!((inward(&map, 1000), inward(&map, 100_001), inward(&map, 0)), (Some(0), Some(2), None));
    }

    #[test]
    fn what_two_maps_share_is_counted() {
        let a = [IdRange { inside: 0, outside: 1000, count: 10 }];
        let b = [IdRange { inside: 5, outside: 1005, count: 100 }];
        assert_eq!(shared(&a, &b), (5, Some((5, 5))));
        assert_eq!(shared(&a, &[ALL]), (10, Some((0, 1000))));
        assert_eq!(shared(&a, &[]), (0, None));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_maps_never_panic(text: Vec<u8>, a: Vec<(u32, u32, u32)>, id: u32) {
            let _ = parse(&text);
            // The kernel refuses ranges that wrap around (uid_map: EINVAL).
            let fits = |(inside, outside, count): &(u32, u32, u32)| {
                inside.checked_add(*count).is_some() && outside.checked_add(*count).is_some()
            };
            let ranges = a.iter().filter(|range| fits(range));
            let map: Vec<_> =
                ranges.map(|(inside, outside, count)| IdRange { inside: *inside, outside: *outside, count: *count }).collect();
            let _ = (outward(&map, id), inward(&map, id), shared(&map, &map));
        }
    }
}
