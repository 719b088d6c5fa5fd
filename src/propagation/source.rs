//! The tree of mounts that a bind or a move takes, before it has a place.

use std::borrow::Cow;
use std::collections::HashMap;

use super::attach::{Refusal, What};
use super::forest::{Forest, MountRef, Place};
use super::groups::GroupId;
use super::lock::Lock;
use super::path::is_within;
use crate::model::Device;

/// A mount of the tree that is put somewhere, before it has a place.
#[derive(Clone)]
pub(super) struct Template<'a> {
    /// Its parent within the tree, and where on it.
    pub(super) parent: Option<(usize, Cow<'a, [u8]>)>,
    pub(super) device: Option<Device>,
    pub(super) root: Cow<'a, [u8]>,
    pub(super) shared: Option<GroupId>,
    pub(super) master: Option<GroupId>,
    pub(super) unbindable: bool,
    pub(super) lock: Lock,
    pub(super) namespace_file: bool,
}

/// A tree without some of its mounts, and which mount of the whole tree each is.
pub(super) struct Pruned<'a> {
    pub(super) mounts: Vec<Template<'a>>,
    pub(super) originals: Vec<usize>,
}

/// Leaves out the files of mount namespaces, with what is on them.
pub(super) fn without_namespace_files(tree: Vec<Template<'_>>) -> Pruned<'_> {
    let mut pruned = Pruned { mounts: Vec::with_capacity(tree.len()), originals: Vec::with_capacity(tree.len()) };
    let mut places = vec![None; tree.len()];
    for (index, mut mount) in tree.into_iter().enumerate() {
        mount.parent = match mount.parent {
            None => None,
            Some((parent, at)) => match places[parent] {
                Some(parent) => Some((parent, at)),
                None => continue,
            },
        };
        if mount.namespace_file {
            continue;
        }
        places[index] = Some(pruned.mounts.len());
        pruned.originals.push(index);
        pruned.mounts.push(mount);
    }
    pruned
}

impl<'a> Forest<'a> {
    /// Returns the tree that `what` puts somewhere.
    pub(super) fn tree_of(&self, what: &What) -> Result<Vec<Template<'a>>, Refusal> {
        match what {
            What::New => Ok(vec![Template {
                parent: None,
                device: None,
                root: Cow::Borrowed(b"/"),
                shared: None,
                master: None,
                unbindable: false,
                lock: Lock::No,
                namespace_file: false,
            }]),
            What::Bind(source) => {
                let covers_locked = self.children_below(source).any(|child| self.node(child).lock == Lock::Yes);
                if self.node(source.mount).unbindable {
                    return Err(Refusal::Unbindable);
                }
                if covers_locked {
                    return Err(Refusal::CoversLocked);
                }
                Ok(vec![self.template(source.mount, source.inside.clone().into(), None, Lock::No)])
            }
            What::BindTree(source) => {
                if self.node(source.mount).unbindable {
                    return Err(Refusal::Unbindable);
                }
                self.copy_tree(source)
            }
            What::Move(top) => Ok(self.moved_tree(*top)?),
        }
    }

    fn template(
        &self,
        mount: MountRef,
        root: Cow<'a, [u8]>,
        parent: Option<(usize, Cow<'a, [u8]>)>,
        lock: Lock,
    ) -> Template<'a> {
        let node = self.node(mount);
        let namespace_file =
            root.starts_with(b"mnt:[") && self.mount(mount).is_some_and(|mount| mount.fs_type == b"nsfs");
        Template {
            parent,
            device: node.device,
            root,
            shared: node.shared,
            master: node.master,
            unbindable: node.unbindable,
            lock,
            namespace_file,
        }
    }

    fn children_below(&self, place: &Place) -> impl Iterator<Item = MountRef> {
        self.mounts().filter(move |child| {
            let node = self.node(*child);
            node.parent == Some(place.mount) && is_within(&node.at, &place.inside)
        })
    }

    /// Copies what is seen at a place with all mounts below; unbindable ones are left out with what is on them.
    fn copy_tree(&self, source: &Place) -> Result<Vec<Template<'a>>, Refusal> {
        let children = self.children_of_all();
        let mut tree = vec![self.template(source.mount, source.inside.clone().into(), None, Lock::No)];
        let mut from = vec![source.mount];
        let mut index = 0;
        while index < tree.len() {
            for child in &children[from[index].index()] {
                let node = self.node(*child);
                if !is_within(&node.at, &tree[index].root) {
                    continue;
                }
                if node.unbindable {
                    if node.lock == Lock::Yes {
                        return Err(Refusal::UnbindableLocked);
                    }
                    continue;
                }
                tree.push(self.template(*child, node.root.clone(), Some((index, node.at.clone())), node.lock));
                from.push(*child);
            }
            index += 1;
        }
        Ok(tree)
    }

    /// Returns a mount and all that is on it, parents first.
    pub(super) fn subtree(&self, top: MountRef) -> Vec<MountRef> {
        let children = self.children_of_all();
        let mut tree = vec![top];
        let mut index = 0;
        while index < tree.len() {
            tree.extend(&children[tree[index].index()]);
            index += 1;
        }
        tree
    }

    fn moved_tree(&self, top: MountRef) -> Result<Vec<Template<'a>>, Refusal> {
        let node = self.node(top);
        let parent = node.parent.ok_or(Refusal::MovesRoot)?;
        if node.lock == Lock::Yes {
            return Err(Refusal::Locked);
        }
        if self.node(parent).shared.is_some() {
            return Err(Refusal::FromShared);
        }
        let members = self.subtree(top);
        let places: HashMap<MountRef, usize> =
            members.iter().enumerate().map(|(place, mount)| (*mount, place)).collect();
        let template = |mount: &MountRef| {
            let node = self.node(*mount);
            let parent = node.parent.filter(|_| *mount != top).and_then(|parent| places.get(&parent));
            let lock = if *mount == top { Lock::No } else { node.lock };
            self.template(*mount, node.root.clone(), parent.map(|parent| (*parent, node.at.clone())), lock)
        };
        Ok(members.iter().map(template).collect())
    }
}
