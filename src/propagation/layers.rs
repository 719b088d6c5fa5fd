//! The directories that overlay mounts are made of. They keep the filesystems they lie on in use, also where nothing of
//! these is mounted any more: the overlay has mounts of its own of them that no table shows.

use std::collections::HashMap;

use super::forest::{Forest, MountRef};
use crate::model::Device;

/// What a directory is to an overlay.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It is read.
    Lower,
    /// It holds the changes.
    Upper,
    /// What is about to be changed is prepared there.
    Work,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::Work => "work",
        })
    }
}

/// A directory of an overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it is to the overlay.
    pub role: Role,
    /// Its path, as whoever mounted the overlay called it.
    pub path: Vec<u8>,
}

/// Returns the layers in the options of an overlay filesystem (the kernel's `Documentation/filesystems/overlayfs.rst`).
pub fn layers(options: &[u8]) -> Vec<Layer> {
    let mut layers = Vec::new();
    for option in options.split(|byte| *byte == b',') {
        let Some(equals) = option.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (&option[..equals], &option[equals + 1..]);
        let role = match name {
            b"lowerdir" | b"lowerdir+" | b"datadir+" => Role::Lower,
            b"upperdir" => Role::Upper,
            b"workdir" => Role::Work,
            _ => continue,
        };
        // Only a whole list of lower directories has separators.
        let paths = if name == b"lowerdir" { at_colons(value) } else { vec![value.to_vec()] };
        layers.extend(paths.into_iter().filter(|path| !path.is_empty()).map(|path| Layer { role, path }));
    }
    layers
}

/// Splits at colons, but for those behind a backslash, which belong to a path.
fn at_colons(value: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match (byte, parts.last_mut()) {
            (b':', _) => parts.push(Vec::new()),
            (b'\\', Some(part)) => part.extend(bytes.next()),
            (_, Some(part)) => part.push(*byte),
            (_, None) => {}
        }
    }
    parts
}

impl Forest<'_> {
    /// Returns the overlay mounts of which a layer lies on the filesystem with this device number, and that layer.
    ///
    /// Their paths say nothing of the mount namespace they were meant in: they are followed, by the tables alone, in one
    /// where the overlay is mounted without being the root (`here` before others), or else in `here`. A relative path
    /// leads nowhere.
    pub fn overlays_on(&self, device: Device, here: Option<usize>) -> Vec<(MountRef, Layer)> {
        let mut overlays: HashMap<Device, Vec<MountRef>> = HashMap::new();
        for mount in self.mounts() {
            if let Some(told) = self.mount(mount).filter(|told| told.fs_type == b"overlay") {
                overlays.entry(told.device).or_default().push(mount);
            }
        }
        let mut found = Vec::new();
        for (overlay, mounts) in overlays {
            let is_root =
                |namespace: usize| self.root_of(namespace).is_some_and(|root| self.node(root).device == Some(overlay));
            let mut places: Vec<usize> = mounts.iter().map(|mount| self.node(*mount).namespace).collect();
            places.retain(|namespace| !is_root(*namespace));
            places.sort_by_key(|namespace| (Some(*namespace) != here, *namespace));
            let Some(namespace) = places.first().copied().or(here) else { continue };
            let options = self.mount(mounts[0]).map_or(&[][..], |told| &told.super_options);
            let lies_there = |layer: &Layer| {
                let place = layer.path.starts_with(b"/").then(|| self.resolve(namespace, &layer.path)).flatten();
                place.is_some_and(|place| self.node(place.mount).device == Some(device))
            };
            if let Some(layer) = layers(options).into_iter().find(lies_there).filter(|_| overlay != device) {
                found.extend(mounts.iter().map(|mount| (*mount, layer.clone())));
            }
        }
        found.sort_unstable_by_key(|(mount, _)| *mount);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NamespaceId;
    use crate::model::{MountTable, Observed};
    use crate::proc::mountinfo;

    #[test]
    fn the_options_are_taken_apart_as_the_kernel_wrote_them() {
        let told: Vec<(Role, Vec<u8>)> = layers(b"rw,lowerdir=/a:/b\\:c::/d,upperdir=/up,workdir=/w,index=off")
            .into_iter()
            .map(|layer| (layer.role, layer.path))
            .collect();
        let lower = |path: &[u8]| (Role::Lower, path.to_vec());
        let expected =
            [lower(b"/a"), lower(b"/b:c"), lower(b"/d"), (Role::Upper, b"/up".to_vec()), (Role::Work, b"/w".to_vec())];
        assert_eq!(told, expected);
        let one_by_one = layers(b"rw,lowerdir+=/a:b,datadir+=/c");
        assert_eq!(one_by_one.iter().map(|layer| &layer.path[..]).collect::<Vec<_>>(), [&b"/a:b"[..], b"/c"]);
        assert_eq!(layers(b"rw,lowerdir,size=1"), []);
    }

    #[test]
    fn an_overlay_is_found_by_where_its_layers_lie() {
        let table = |ino, lines: &str| MountTable {
            namespace: NamespaceId { ino, dev: 4 },
            owner: Observed::Gone,
            processes: Vec::new(),
            mounts: mountinfo::parse(lines.as_bytes()).mounts,
            partial: false,
            malformed: 0,
        };
        // The host has the layers on a disk at /data; the container has the overlay as its root.
        let overlay = "0:50 / {} rw - overlay overlay rw,lowerdir=/data/lower,upperdir=/up,workdir=/work";
        let at = |place: &str| overlay.replace("{}", place);
        let host =
            format!("1 1 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /data rw - ext4 /dev/b rw\n3 1 {}", at("/merged"));
        let container = format!("9 9 {}\n10 9 0:60 / /data rw - tmpfs t rw", at("/"));
        let tables = [table(1, &host), table(2, &container)];
        let forest = Forest::new(&tables);
        let on = |major, minor| {
            let found = forest.overlays_on(Device { major, minor }, Some(0));
            found.into_iter().map(|(mount, layer)| (forest.mount(mount).unwrap().id, layer.role)).collect::<Vec<_>>()
        };
        assert_eq!(on(8, 2), [(3, Role::Lower), (9, Role::Lower)]);
        assert_eq!(on(8, 1), [(3, Role::Upper), (9, Role::Upper)]);
        assert_eq!(on(0, 60), [], "what the container mounts where the layers lie outside is another thing");
        assert_eq!(on(0, 50), [], "it does not lie on itself");
    }
}
