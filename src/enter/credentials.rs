//! Decides which ids and groups the command gets. Pure, as the rest of the plan.

use rustix::process::Gid;

use super::facts::{Facts, Map, Way, capability};
use super::plan::Step;
use super::request::{Id, Request};
use crate::error::{Error, ErrorKind, Result};

/// What becomes of an id that was not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unasked {
    /// It stays as it is.
    Stays,
    /// Root inside if that is mapped, else the target's.
    Root,
    /// The target's: who lives under its restrictions must not own what it does not.
    Targets,
}

/// Tells whether ids are changed without being asked for, since a user namespace is joined.
pub(super) fn by_default(request: &Request, facts: &Facts) -> bool {
    matches!(facts.way, Way::Down(_)) && !request.preserve_credentials
}

fn unasked(request: &Request, facts: &Facts) -> Unasked {
    match by_default(request, facts) {
        _ if request.preserve_credentials => Unasked::Stays,
        _ if request.confined => Unasked::Targets,
        true => Unasked::Root,
        false => Unasked::Stays,
    }
}

/// Adds the steps that change ids and groups.
pub(super) fn decide(request: &Request, facts: &Facts, steps: &mut Vec<Step>, remarks: &mut Vec<String>) -> Result<()> {
    let user = matches!(facts.way, Way::Down(_));
    let unasked = unasked(request, facts);
    let maps = facts.maps.as_ref();
    let (uids, gids) = (maps.map(|maps| &maps.uids), maps.map(|maps| &maps.gids));
    let mut uid = chosen(request.uid, unasked, facts.target_uid, uids, user);
    let mut gid = chosen(request.gid, unasked, facts.target_gid, gids, user);
    for (name, asked, found) in [("user", request.uid, uid), ("group", request.gid, gid)] {
        if unasked != Unasked::Stays && asked.is_none() && found.is_none() {
            remarks.push(match user {
                true => format!("the {name} id stays as it is: neither 0 nor the target's is mapped there"),
                false => format!("the {name} id stays as it is: the target's is not known"),
            });
        }
        if asked == Some(Id::Follow) && found.is_none() {
            let message = format!("the target's {name} id is not known inside the user namespace to join");
            return Err(Error::new(ErrorKind::Unsuitable, message).with_hint(format!("give the {name} id as a number")));
        }
    }
    let mut groups = followed_groups(request, facts, unasked);
    if unasked == Unasked::Targets && !user {
        leave_what_fits(request, facts, &mut uid, &mut gid, &mut groups, remarks);
    }
    if by_default(request, facts) || request.gid.is_some() || groups.is_some() {
        if request.literal || maps.is_none_or(|maps| maps.setgroups) {
            let if_allowed = match request.literal {
                // So it was always.
                true => !user,
                false => maps.is_none() && request.gid.is_none() && user,
            };
            steps.push(match groups.filter(|groups| !groups.is_empty()) {
                Some(groups) => Step::SetGroups(groups.into_iter().map(Gid::from_raw).collect()),
                None => Step::DropGroups { if_allowed },
            });
        } else if !facts.groups.is_empty() {
            let groups = list(&facts.groups);
            remarks.push(format!("supplementary groups stay ({groups}): setgroups is denied in that user namespace"));
        }
    }
    steps.extend(gid.map(Step::SetGid));
    let keep = request.keep_capabilities && user;
    steps.extend(uid.map(|uid| Step::SetUid { uid, keep }));
    if keep {
        steps.push(Step::KeepCapabilities);
    }
    if request.keep_capabilities && !user && !request.literal {
        remarks.push("--keep-caps keeps nothing: no user namespace is joined that would give capabilities".to_owned());
    }
    Ok(())
}

/// Tells whether both the target and the command, which takes these `steps`, are root where the latter will run.
pub(super) fn are_both_root(facts: &Facts, steps: &[Step]) -> bool {
    let inward = |uid| match (&facts.way, &facts.maps) {
        (Way::Down(_), Some(maps)) => maps.uids.inward(uid),
        (Way::Down(_), None) => None,
        _ => Some(uid),
    };
    let taken = steps.iter().find_map(|step| if let Step::SetUid { uid, .. } = step { Some(*uid) } else { None });
    let own = taken.or_else(|| inward(facts.effective_uid));
    own == Some(0) && facts.target_uid.and_then(inward) == Some(0)
}

fn list(groups: &[u32]) -> String {
    groups.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the target's supplementary groups, as they are called where the command runs, if it is to get those.
fn followed_groups(request: &Request, facts: &Facts, unasked: Unasked) -> Option<Vec<u32>> {
    if unasked != Unasked::Targets || request.gid.is_some() {
        return None;
    }
    let theirs = facts.target_groups.iter().copied();
    match (&facts.way, &facts.maps) {
        (Way::Down(_), Some(maps)) => Some(theirs.filter_map(|group| maps.gids.inward(group)).collect()),
        (Way::Down(_), None) => None,
        _ => Some(theirs.collect()),
    }
}

/// In our own user namespace: changes nothing that is the same already, nor what we have no right to change.
fn leave_what_fits(
    request: &Request,
    facts: &Facts,
    uid: &mut Option<u32>,
    gid: &mut Option<u32>,
    groups: &mut Option<Vec<u32>>,
    remarks: &mut Vec<String>,
) {
    let differs = |ours: &[u32], theirs: &[u32]| {
        ours.iter().any(|group| !theirs.contains(group)) || theirs.iter().any(|group| !ours.contains(group))
    };
    if request.uid.is_none() {
        uid.take_if(|uid| *uid == facts.effective_uid);
        if let Some(uid) = uid.take_if(|_| !facts.has(capability::SETUID)) {
            remarks.push(format!("not joined: its user id {uid}, for we lack CAP_SETUID"));
        }
    }
    if request.gid.is_none() {
        gid.take_if(|gid| *gid == facts.effective_gid);
        groups.take_if(|groups| !differs(&facts.groups, groups));
        if (gid.is_some() || groups.is_some()) && !facts.has(capability::SETGID) {
            (*gid, *groups) = (None, None);
            remarks.push("not joined: its groups, for we lack CAP_SETGID".to_owned());
        }
    }
}

/// Picks an id: the one asked for; else what `unasked` says.
fn chosen(asked: Option<Id>, unasked: Unasked, target: Option<u32>, map: Option<&Map>, user: bool) -> Option<u32> {
    let followed = || {
        let target = target?;
        if user { map?.inward(target) } else { Some(target) }
    };
    // Unknown maps: root is what a user namespace usually has, and the failure is worded.
    let root = || (user && map.is_none_or(|map| map.has(0))).then_some(0);
    match (asked, unasked) {
        (Some(Id::Number(id)), _) => Some(id),
        (Some(Id::Follow), _) => followed(),
        (None, Unasked::Stays) => None,
        (None, Unasked::Root) => root().or_else(followed),
        (None, Unasked::Targets) => followed().or_else(root),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Maps, Owner};
    use super::super::plan::{plan, tests::facts};
    use super::*;
    use crate::kind::NamespaceKind::Net;

    fn credential_steps(request: &Request, facts: &Facts) -> (Vec<Step>, Vec<String>) {
        let planned = plan(request, facts, false).unwrap();
        let of_credentials = |step: &Step| match step {
            Step::DropGroups { .. } | Step::SetGroups(_) | Step::SetGid(_) => true,
            step => matches!(step, Step::SetUid { .. } | Step::KeepCapabilities),
        };
        (planned.steps.into_iter().filter(of_credentials).collect(), planned.remarks)
    }

    #[test]
    fn we_become_root_inside_if_it_is_mapped_and_else_the_target() {
        let mut facts = facts(&[50], &[(Net, Owner::Level(1))]);
        let root = [Step::SetGid(0), Step::SetUid { uid: 0, keep: false }];
        assert_eq!(credential_steps(&Request::default(), &facts), (root.to_vec(), vec![]));
        let map = Map::parse(b"5 1000 1");
        facts.maps = Some(Maps { uids: map.clone(), gids: map, setgroups: true });
        let target = [Step::DropGroups { if_allowed: false }, Step::SetGid(5), Step::SetUid { uid: 5, keep: false }];
        assert_eq!(credential_steps(&Request::default(), &facts).0, target);
        facts.target_uid = Some(7);
        facts.target_gid = Some(7);
        let (steps, remarks) = credential_steps(&Request::default(), &facts);
        assert_eq!((steps, remarks.len()), (vec![Step::DropGroups { if_allowed: false }], 2));
        let follow = Request { uid: Some(Id::Follow), ..Request::default() };
        assert!(plan(&follow, &facts, false).unwrap_err().to_string().contains("user id is not known"));
    }

    #[test]
    fn credentials_stay_when_that_is_asked_or_no_user_namespace_is_joined() {
        let below = facts(&[50], &[(Net, Owner::Level(1))]);
        let preserve = Request { preserve_credentials: true, ..Request::default() };
        assert_eq!(credential_steps(&preserve, &below).0, []);
        let same = facts(&[], &[(Net, Owner::Level(0))]);
        assert_eq!(credential_steps(&Request::default(), &same).0, []);
        let follow = Request { uid: Some(Id::Follow), gid: Some(Id::Follow), ..Request::default() };
        let steps =
            [Step::DropGroups { if_allowed: false }, Step::SetGid(1000), Step::SetUid { uid: 1000, keep: false }];
        assert_eq!(credential_steps(&follow, &same).0, steps);
    }

    #[test]
    fn groups_that_stay_are_named() {
        let mut facts = facts(&[50], &[(Net, Owner::Level(1))]);
        facts.groups = vec![4, 27];
        let (_, remarks) = credential_steps(&Request::default(), &facts);
        assert_eq!(remarks, ["supplementary groups stay (4, 27): setgroups is denied in that user namespace"]);
    }

    #[test]
    fn confined_we_become_the_target_unless_an_id_is_chosen() {
        let mut facts = facts(&[], &[(Net, Owner::Level(0))]);
        (facts.capabilities, facts.target_uid, facts.target_gid) = (u64::MAX, Some(7), Some(8));
        facts.target_groups = vec![9];
        let confined = Request { confined: true, ..Request::default() };
        let groups = Step::SetGroups(vec![Gid::from_raw(9)]);
        let theirs = [groups, Step::SetGid(8), Step::SetUid { uid: 7, keep: false }];
        assert_eq!(credential_steps(&confined, &facts), (theirs.to_vec(), vec![]));
        let chosen = Request { uid: Some(Id::Number(5)), gid: Some(Id::Number(6)), ..confined.clone() };
        let expected = [Step::DropGroups { if_allowed: false }, Step::SetGid(6), Step::SetUid { uid: 5, keep: false }];
        assert_eq!(credential_steps(&chosen, &facts).0, expected);
        let preserved = Request { preserve_credentials: true, ..confined.clone() };
        assert_eq!(credential_steps(&preserved, &facts).0, []);
        facts.capabilities = 0;
        let (steps, remarks) = credential_steps(&confined, &facts);
        assert!(steps.is_empty() && remarks[0].contains("CAP_SETUID") && remarks[1].contains("CAP_SETGID"));
        // What is the same already needs no capability.
        (facts.target_uid, facts.target_gid, facts.groups) = (Some(1000), Some(1000), vec![9]);
        assert_eq!(credential_steps(&confined, &facts), (vec![], vec![]));
    }

    #[test]
    fn confined_in_a_user_namespace_ids_and_groups_have_their_names_there() {
        let mut facts = facts(&[50], &[(Net, Owner::Level(1))]);
        let map = Map::parse(b"0 1000 1\n1 2000 10");
        facts.maps = Some(Maps { uids: map.clone(), gids: map, setgroups: true });
        (facts.target_uid, facts.target_gid, facts.target_groups) = (Some(2004), Some(2005), vec![2006, 65534]);
        let confined = Request { confined: true, ..Request::default() };
        let groups = Step::SetGroups(vec![Gid::from_raw(7)]);
        let expected = [groups, Step::SetGid(6), Step::SetUid { uid: 5, keep: false }];
        assert_eq!(credential_steps(&confined, &facts).0, expected);
    }

    #[test]
    fn capabilities_that_no_user_namespace_gives_are_said_not_to_be_kept() {
        let request = Request { keep_capabilities: true, ..Request::default() };
        let (steps, remarks) = credential_steps(&request, &facts(&[], &[(Net, Owner::Level(0))]));
        assert!(steps.is_empty() && remarks[0].contains("--keep-caps keeps nothing"));
    }
}
