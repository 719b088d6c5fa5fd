//! Rows that hang below one another, put in the order a tree is printed.

/// A row of a forest in printing order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Which row it is.
    pub row: usize,
    /// How deep it stands; 0 at the top.
    pub depth: usize,
    /// The lines that lead to it, such as `│ ├─`; empty at the top.
    pub lines: String,
}

/// Orders rows so that each stands below its parent; rows keep their order among siblings. `parents` has the parent's
/// index for each row. A row whose parents lead round in a circle stands at the top, so none is lost.
pub fn arrange(parents: &[Option<usize>]) -> Vec<Branch> {
    let mut children = vec![Vec::new(); parents.len()];
    let mut roots = Vec::new();
    for (row, parent) in parents.iter().enumerate() {
        match parent {
            Some(parent) if *parent < parents.len() && !leads_back(parents, row) => children[*parent].push(row),
            _ => roots.push(row),
        }
    }
    let mut branches = Vec::with_capacity(parents.len());
    // Depth first without recursion: the depth is the target's choice. What is pushed last is printed next.
    let mut waiting: Vec<Branch> =
        roots.into_iter().rev().map(|row| Branch { row, depth: 0, lines: String::new() }).collect();
    while let Some(branch) = waiting.pop() {
        // Below a last child nothing goes on; below another one its line does.
        let before = match branch.lines.strip_suffix("└─") {
            Some(before) => format!("{before}  "),
            None => branch.lines.strip_suffix("├─").map(|before| format!("{before}│ ")).unwrap_or_default(),
        };
        for (place, row) in children[branch.row].iter().rev().enumerate() {
            let joint = if place == 0 { "└─" } else { "├─" };
            waiting.push(Branch { row: *row, depth: branch.depth + 1, lines: format!("{before}{joint}") });
        }
        branches.push(branch);
    }
    branches
}

/// Climbs from `start` with `above` and returns the first place that `shown` gives; `None` at the top, or after more
/// than `limit` steps (data read at different moments could lead round in a circle).
pub fn nearest<T>(
    start: T,
    limit: usize,
    above: impl Fn(&T) -> Option<T>,
    shown: impl Fn(&T) -> Option<usize>,
) -> Option<usize> {
    std::iter::successors(Some(start), above).skip(1).take(limit).find_map(|one| shown(&one))
}

/// Tells whether `row` is among its own ancestors.
fn leads_back(parents: &[Option<usize>], row: usize) -> bool {
    let mut above = row;
    for _ in 0..parents.len() {
        match parents.get(above).copied().flatten() {
            Some(parent) if parent == row => return true,
            Some(parent) => above = parent,
            None => return false,
        }
    }
    // It runs into a circle that it is not part of, so it hangs below whichever row of that circle became a root.
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(parents: &[Option<usize>]) -> Vec<String> {
        arrange(parents).into_iter().map(|branch| format!("{}{}", branch.lines, branch.row)).collect()
    }

    #[test]
    fn children_stand_below_their_parent() {
        let parents = [None, Some(0), Some(1), Some(0), None, Some(4)];
        assert_eq!(drawn(&parents), ["0", "├─1", "│ └─2", "└─3", "4", "└─5"]);
        assert_eq!(drawn(&[Some(2), Some(0), None]), ["2", "└─0", "  └─1"]);
    }

    #[test]
    fn what_is_not_shown_is_climbed_over() {
        let above = |row: &usize| row.checked_sub(1);
        assert_eq!(nearest(5, 9, above, |row| (row % 3 == 0).then_some(*row)), Some(3));
        assert_eq!(nearest(5, 9, above, |_| None), None);
        assert_eq!(nearest(5, 9, |row| Some(*row), |_| None), None);
    }

    #[test]
    fn a_circle_loses_no_row() {
        assert_eq!(drawn(&[Some(1), Some(0), Some(2), Some(0)]).len(), 4);
    }

    proptest::proptest! {
        #[test]
        fn every_row_is_printed_once(parents in proptest::collection::vec(proptest::option::of(0usize..20), 0..20)) {
            let mut rows: Vec<_> = arrange(&parents).into_iter().map(|branch| branch.row).collect();
            rows.sort_unstable();
            proptest::prop_assert_eq!(rows, (0..parents.len()).collect::<Vec<_>>());
        }
    }
}
