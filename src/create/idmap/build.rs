//! From what is asked for to the lines of a map.

use super::{IdKind, IdRange, MapSpec, SubidBlock, text};
use crate::error::{Error, ErrorKind, Result};

/// How many lines the kernel takes (`UID_GID_MAP_MAX_EXTENTS`, since Linux 4.15).
const MAX_LINES: usize = 340;
/// A map is written with one write(2) of less than a page; 4096 is the smallest page there is.
const MAX_BYTES: usize = 4095;

/// What a map is made from.
#[derive(Clone, Debug)]
pub struct MapSources<'a> {
    /// Users or groups.
    pub kind: IdKind,
    /// The id inside that our own effective id gets, if any.
    pub own_as: Option<u32>,
    /// Our own effective id.
    pub own: u32,
    /// What else to map, in the order given.
    pub specs: &'a [MapSpec],
    /// Our blocks of subordinate ids, for `auto` and `subids`.
    pub subids: &'a [SubidBlock],
    /// The map of our own user namespace, for `all`.
    pub ours: &'a [IdRange],
}

/// Makes the map.
///
/// A block mapped by `auto` is laid around what is mapped already, and no id of it is lost: with `-r`, 0 is our own id
/// and 1 the first subordinate one.
///
/// # Errors
/// An id would be mapped twice, inside or outside; there are no subordinate ids; the map is longer than the kernel
/// takes.
pub fn build(sources: &MapSources<'_>) -> Result<Vec<IdRange>> {
    let mut map: Vec<IdRange> = Vec::new();
    if let Some(inner) = sources.own_as {
        map.push(IdRange { inner, outer: sources.own, count: 1 });
    }
    let mut auto = false;
    for spec in sources.specs {
        match spec {
            MapSpec::Range(range) => add(&mut map, *range, sources.kind)?,
            MapSpec::Auto => auto = true,
            MapSpec::Subids => {
                if sources.subids.is_empty() {
                    return Err(no_subids(sources.kind));
                }
                for block in sources.subids {
                    let range = IdRange { inner: block.start, outer: block.start, count: block.count };
                    add(&mut map, range, sources.kind)?;
                }
            }
            MapSpec::All => {
                for line in sources.ours {
                    // Ids outside are those of our own namespace: what is inside for us.
                    add(&mut map, IdRange { outer: line.inner, ..*line }, sources.kind)?;
                }
            }
        }
    }
    // Last, so that it finds what is free.
    if auto {
        let block = sources.subids.first().ok_or_else(|| no_subids(sources.kind))?;
        lay_around(&mut map, *block);
    }
    map.sort_by_key(|range| range.inner);
    if map.len() > MAX_LINES || text(&map).len() > MAX_BYTES {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("the {} id map has {} lines, more than the kernel takes", sources.kind.noun(), map.len()),
        )
        .with_hint("at most 340 lines and 4095 bytes: map larger ranges"));
    }
    Ok(map)
}

fn add(map: &mut Vec<IdRange>, new: IdRange, kind: IdKind) -> Result<()> {
    let overlap =
        |start: u32, end: u64, other: u32, other_end: u64| u64::from(start) < other_end && u64::from(other) < end;
    for old in map.iter() {
        let inside = overlap(new.inner, new.inner_end(), old.inner, old.inner_end());
        let outside = overlap(new.outer, new.outer_end(), old.outer, old.outer_end());
        if inside || outside {
            let place = if inside { "inside" } else { "outside" };
            let noun = kind.noun();
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("the {noun} id maps {old} and {new} overlap {place} the namespace"),
            )
            .because(format!("an id has one meaning; a line says: first id inside, first outside, count; {noun} ids"))
            .with_hint(match (inside, old.count) {
                (true, 1) => {
                    format!("start the range behind it: {}:{}:{}", old.inner_end(), new.outer, new.count)
                }
                _ => "choose ranges that do not meet, or `auto`, which keeps clear of the others".to_owned(),
            }));
        }
    }
    map.push(new);
    Ok(())
}

/// Maps a block onto the lowest ids inside that are free, leaving out the ids outside that are taken.
fn lay_around(map: &mut Vec<IdRange>, block: SubidBlock) {
    let limit = u64::from(u32::MAX);
    let mut outer = u64::from(block.start);
    let block_end = outer + u64::from(block.count);
    let mut inner = 0;
    let taken = map.clone();
    // Each turn either passes over a taken range or maps a run up to the next one, so there are few turns.
    while outer < block_end && inner < limit {
        if let Some(range) = taken.iter().find(|range| contains(range.inner, range.inner_end(), inner)) {
            inner = range.inner_end();
            continue;
        }
        if let Some(range) = taken.iter().find(|range| contains(range.outer, range.outer_end(), outer)) {
            outer = range.outer_end();
            continue;
        }
        let next = |start: u64, starts: &mut dyn Iterator<Item = u32>, end: u64| {
            starts.map(u64::from).filter(|other| *other > start).min().unwrap_or(end).min(end) - start
        };
        let free_inside = next(inner, &mut taken.iter().map(|range| range.inner), limit);
        let free_outside = next(outer, &mut taken.iter().map(|range| range.outer), block_end);
        let count = free_inside.min(free_outside);
        map.push(IdRange { inner: inner as u32, outer: outer as u32, count: count as u32 });
        inner += count;
        outer += count;
    }
}

fn contains(start: u32, end: u64, id: u64) -> bool {
    u64::from(start) <= id && id < end
}

fn no_subids(kind: IdKind) -> Error {
    let file = kind.subid_file();
    let option = match kind {
        IdKind::User => "--add-subuids",
        IdKind::Group => "--add-subgids",
    };
    Error::new(ErrorKind::NotFound, format!("we have no subordinate {} ids", kind.noun()))
        .because(format!("{file} gives us none"))
        .with_hint(format!("as root: `usermod {option} 100000-165535 USER`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(inner: u32, outer: u32, count: u32) -> IdRange {
        IdRange { inner, outer, count }
    }

    const BLOCK: [SubidBlock; 1] = [SubidBlock { start: 100_000, count: 65_536 }];
    const WHOLE: [IdRange; 1] = [IdRange { inner: 0, outer: 0, count: u32::MAX }];

    fn made(own_as: Option<u32>, specs: &[MapSpec]) -> Result<Vec<IdRange>> {
        build(&MapSources { kind: IdKind::User, own_as, own: 1000, specs, subids: &BLOCK, ours: &WHOLE })
    }

    #[test]
    fn auto_is_laid_around_our_own_id_and_loses_none() {
        for (own_as, expected) in [
            (None, vec![range(0, 100_000, 65_536)]),
            (Some(0), vec![range(0, 1000, 1), range(1, 100_000, 65_536)]),
            (Some(7), vec![range(0, 100_000, 7), range(7, 1000, 1), range(8, 100_007, 65_529)]),
            (Some(65_536), vec![range(0, 100_000, 65_536), range(65_536, 1000, 1)]),
        ] {
            let map = made(own_as, &[MapSpec::Auto]).unwrap();
            assert_eq!(map, expected);
            let count = map.iter().map(|range| range.count).sum::<u32>();
            assert_eq!(count, 65_536 + u32::from(own_as.is_some()));
        }
    }

    #[test]
    fn our_own_id_within_the_block_is_not_mapped_twice() {
        let sources = MapSources {
            kind: IdKind::User,
            own_as: Some(0),
            own: 100_005,
            specs: &[MapSpec::Auto],
            subids: &BLOCK,
            ours: &WHOLE,
        };
        let expected = [range(0, 100_005, 1), range(1, 100_000, 5), range(6, 100_006, 65_530)];
        assert_eq!(build(&sources).unwrap(), expected);
    }

    #[test]
    fn subids_and_all_are_identities() {
        assert_eq!(made(None, &[MapSpec::Subids]).unwrap(), [range(100_000, 100_000, 65_536)]);
        assert_eq!(made(None, &[MapSpec::All]).unwrap(), WHOLE);
        let nested = [range(0, 1000, 1), range(1, 100_000, 10)];
        let sources = MapSources {
            kind: IdKind::Group,
            own_as: None,
            own: 0,
            specs: &[MapSpec::All],
            subids: &[],
            ours: &nested,
        };
        assert_eq!(build(&sources).unwrap(), [range(0, 0, 1), range(1, 1, 10)]);
    }

    #[test]
    fn overlaps_are_refused_with_a_range_that_would_do() {
        let wasteful = made(Some(0), &[MapSpec::Range(range(0, 100_000, 65_536))]).unwrap_err();
        assert_eq!(wasteful.kind(), ErrorKind::Invalid);
        assert_eq!(wasteful.hint().unwrap(), "start the range behind it: 1:100000:65536");
        for specs in [
            &[MapSpec::Range(range(0, 5, 10)), MapSpec::Range(range(9, 50, 1))][..],
            &[MapSpec::Range(range(0, 5, 10)), MapSpec::Range(range(10, 14, 1))],
            &[MapSpec::All, MapSpec::Subids],
        ] {
            assert_eq!(made(None, specs).unwrap_err().kind(), ErrorKind::Invalid);
        }
        assert!(made(None, &[MapSpec::Range(range(0, 5, 10)), MapSpec::Range(range(10, 15, 1))]).is_ok());
    }

    #[test]
    fn a_map_longer_than_the_kernel_takes_is_refused() {
        let specs = (0..341).map(|id| MapSpec::Range(range(id * 2, id * 2, 1))).collect::<Vec<_>>();
        assert!(made(None, &specs[..340]).is_ok());
        assert!(made(None, &specs).unwrap_err().to_string().contains("341 lines"));
    }

    #[test]
    fn without_subordinate_ids_the_file_is_named() {
        let sources =
            MapSources { kind: IdKind::Group, own_as: None, own: 0, specs: &[MapSpec::Auto], subids: &[], ours: &[] };
        let error = build(&sources).unwrap_err();
        assert!(error.hint().unwrap().contains("--add-subgids"));
    }

    proptest::proptest! {
        #[test]
        fn auto_maps_every_id_of_the_block_once(
            own_as in proptest::option::of(0u32..200),
            own in 0u32..300,
            start in 0u32..250,
            count in 1u32..100,
        ) {
            let subids = [SubidBlock { start, count }];
            let sources = MapSources {
                kind: IdKind::User, own_as, own, specs: &[MapSpec::Auto], subids: &subids, ours: &[],
            };
            let map = build(&sources).unwrap();
            let ids = |first: fn(&IdRange) -> u32| {
                let mut ids = map.iter().flat_map(|range| first(range)..first(range) + range.count).collect::<Vec<_>>();
                let all = ids.len();
                ids.sort_unstable();
                ids.dedup();
                assert_eq!(ids.len(), all, "an id is mapped twice");
                ids
            };
            let (inner, outer) = (ids(|range| range.inner), ids(|range| range.outer));
            assert_eq!(inner.len(), outer.len());
            let mut expected = (start..start + count).chain(own_as.map(|_| own)).collect::<Vec<_>>();
            expected.sort_unstable();
            expected.dedup();
            assert_eq!(outer, expected);
        }
    }
}
