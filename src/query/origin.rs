//! Which service, session or container a process belongs to, as the path of its cgroup tells.
//!
//! The names are those that systemd and the container engines give to cgroups. Whoever may make cgroups can take such a
//! name too, so this is a hint for people and nothing to rely on.

/// What the path tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who made the cgroup: `systemd`, `docker`, `podman` and so on.
    pub manager: &'static str,
    /// The unit, or the id or name of the container. Hostile bytes.
    pub name: Vec<u8>,
}

/// How container engines with systemd call their scopes: prefix, engine.
const SCOPES: [(&[u8], &str); 6] = [
    (b"docker-", "docker"),
    (b"libpod-", "podman"),
    (b"crio-", "cri-o"),
    (b"cri-containerd-", "containerd"),
    (b"machine-", "machine"),
    (b"crun-", "crun"),
];

/// How they call directories without systemd: the name before the container's.
const PARENTS: [(&[u8], &str); 3] = [(b"docker", "docker"), (b"lxc", "lxc"), (b"libpod_parent", "podman")];

/// Reads the path of a cgroup; the innermost name that is known decides. `None`: none is.
pub fn origin(path: &[u8]) -> Option<Origin> {
    let components: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|component| !component.is_empty()).collect();
    (0..components.len()).rev().find_map(|place| {
        let before = place.checked_sub(1).map(|before| components[before]);
        of_component(components[place], before)
    })
}

fn of_component(component: &[u8], parent: Option<&[u8]>) -> Option<Origin> {
    let some = |manager, name: &[u8]| (!name.is_empty()).then(|| Origin { manager, name: name.to_vec() });
    if let Some(scope) = component.strip_suffix(b".scope") {
        let engine = SCOPES.iter().find_map(|(prefix, engine)| some(engine, scope.strip_prefix(*prefix)?));
        return engine.or_else(|| some("systemd", component));
    }
    if component.ends_with(b".service") {
        return some("systemd", component);
    }
    if let Some(name) = component.strip_prefix(b"lxc.payload.") {
        return some("lxc", name);
    }
    if let Some(id) = component.strip_prefix(b"libpod-") {
        return some("podman", id);
    }
    let engine = PARENTS.iter().find(|(name, _)| Some(*name) == parent);
    if let Some((_, engine)) = engine {
        return some(engine, component);
    }
    // Kubernetes' own directories hold containers that are named by their bare id.
    let is_id = component.len() == 64 && component.iter().all(u8::is_ascii_hexdigit);
    if is_id && parent.is_some_and(|parent| parent.starts_with(b"pod") || parent.starts_with(b"kubepods")) {
        return some("kubernetes", component);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_told() {
        let id = "a".repeat(64);
        for (path, manager, name) in [
            ("/system.slice/nginx.service", "systemd", "nginx.service"),
            ("/user.slice/user-1000.slice/session-3.scope", "systemd", "session-3.scope"),
            (&format!("/system.slice/docker-{id}.scope"), "docker", &id),
            (&format!("/docker/{id}"), "docker", &id),
            (&format!("/machine.slice/libpod-{id}.scope/container"), "podman", &id),
            ("/libpod_parent/libpod-12ab", "podman", "12ab"),
            ("/lxc.payload.web/init.scope", "systemd", "init.scope"),
            ("/lxc.payload.web", "lxc", "web"),
            ("/lxc/web", "lxc", "web"),
            ("/machine.slice/machine-web.scope", "machine", "web"),
            (&format!("/kubepods/burstable/pod12-34/{id}"), "kubernetes", &id),
        ] {
            let found = origin(path.as_bytes());
            assert_eq!(found, Some(Origin { manager, name: name.as_bytes().to_vec() }), "{path}");
        }
        assert_eq!(origin(b"/"), None);
        assert_eq!(origin(b"/my group/x"), None);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_paths_never_panic(path: Vec<u8>) {
            let _ = origin(&path);
        }
    }
}
